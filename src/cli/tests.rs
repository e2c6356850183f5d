//! What the command line takes and what it refuses.

use super::*;

fn read(line: &str) -> Result<Cli, clap::Error> {
    Cli::read(std::iter::once("reeldeck").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn global_options_stand_before_or_after_the_subcommand() {
    let options = "--config c.toml --root d --out o --recipe r --checkpoint seeded --manifest m.json --shard 1/2 --json \
         --devices cpu*2 --limit 3 --retry-failed --redo-stale --dry-run -vv";
    let before = read(&format!("{options} extract")).unwrap();
    assert_eq!(before, read(&format!("extract {options}")).unwrap());
    assert_eq!(before.command, Some(Command::Extract(RunArgs::default())));
    let global = Global {
        config: Some("c.toml".into()),
        root: Some("d".into()),
        out: Some("o".into()),
        recipe: Some("r".into()),
        checkpoint: Some("seeded".into()),
        manifest: Some("m.json".into()),
        devices: Some("cpu*2".into()),
        limit: Some(3),
        shard: Some(Shard { index: 1, of: 2 }),
        json: true,
        retry_failed: true,
        redo_stale: true,
        dry_run: true,
        quiet: false,
        verbose: 2,
    };
    assert_eq!(before.global, global);
    let words = ["reeldeck".into(), "extract".into()].into_iter().chain(global.words());
    assert_eq!(Cli::read(words).unwrap().global, global, "as another process would read it");
    assert_eq!(read("").unwrap().global, Global::default());
}

#[test]
fn subcommands_take_their_own_options() {
    let list = |label_style, stdout| Some(Command::List(ListArgs { label_style, stdout }));
    assert_eq!(read("list").unwrap().command, list(None, false));
    let styled = read("-q list --label-style index --stdout").unwrap();
    assert_eq!(styled.command, list(Some(LabelStyle::Index), true));
    assert!(styled.global.quiet);
    let export = |args| Some(Command::Export(args));
    let plain = ExportArgs { format: vec![Format::Pkl], ..ExportArgs::default() };
    assert_eq!(read("export").unwrap().command, export(plain.clone()));
    assert_eq!(read("export --format pkl").unwrap().command, export(plain));
    let all = ExportArgs {
        format: vec![Format::Csv, Format::Npy, Format::H5],
        compact: true,
        layout: Axes::Ct,
        output: Some(Output::Pooled),
    };
    let line = "export --format csv,npy --format h5 --compact --layout ct --output pooled";
    assert_eq!(read(line).unwrap().command, export(all));
    let verify = VerifyArgs {
        sample: Some(3),
        against: Some("r.pkl".into()),
        list: Some("l.txt".into()),
        tolerance: Some(1e-3),
    };
    let line = "verify --sample 3 --against r.pkl --list l.txt --tolerance 1e-3";
    assert_eq!(read(line).unwrap().command, Some(Command::Verify(verify)));
    assert_eq!(read("verify").unwrap().command, Some(Command::Verify(VerifyArgs::default())));
    assert_eq!(read("scan").unwrap().command, Some(Command::Scan(ScanArgs::default())));
    assert!(read("scan --quick --deep").is_err());
    assert_eq!(read("missing").unwrap().command, Some(Command::Missing(WatchArgs::default())));
    assert_eq!(read("annotations --manifest m").unwrap().command, Some(Command::Annotations));
    let seeded = Command::SeededCheckpoint { path: "w.pth".into() };
    assert_eq!(read("seeded-checkpoint w.pth").unwrap().command, Some(seeded));
    assert_eq!(read("demo").unwrap().command, Some(Command::Demo { dir: "reeldeck-demo".into() }));
    assert!(read("--batch --root x").unwrap().batch);
    assert!(read("--batch --detach").unwrap().run.detach);
    assert_eq!(read("extract --detach").unwrap().command, Some(Command::Extract(RunArgs { detach: true })));
    let retry = |patterns: &[&str], failed| {
        Some(Command::Retry(RetryArgs {
            patterns: patterns.iter().map(ToString::to_string).collect(),
            failed,
            list: None,
        }))
    };
    assert_eq!(read("retry A/* v_b").unwrap().command, retry(&["A/*", "v_b"], false));
    assert_eq!(read("retry --failed").unwrap().command, retry(&[], true));
    assert_eq!(read("stop --now").unwrap().command, Some(Command::Stop { now: true }));
}

#[test]
fn what_makes_no_sense_is_refused_with_code_2_and_help_with_code_0() {
    for (line, says) in [
        ("lsit", "list"),
        ("--limit 0 extract", "1 or more"),
        ("list -q -v", "cannot be used with"),
        ("--batch list", "takes no subcommand"),
        ("list --batch", "--batch"),
        ("list --label-style minus", "minus-one"),
        ("export --format np", "npy"),
        ("export --format npy,", "pkl, csv, npy, npz, h5"),
        ("export --layout t", "tc"),
        ("export --output features", "logits or pooled"),
        ("verify --sample 0", "1 or more"),
        ("verify --list l.txt", "--against"),
        ("verify --against r.pkl --tolerance=-1", "not below zero"),
        ("seeded-checkpoint", "<PATH>"),
        ("--root", "--root"),
        ("--detach", "goes with --batch"),
        ("retry", "<PATTERN>"),
        ("retry x --failed", "cannot be used with"),
        ("extract --shard 4/4", "the last is 3/4"),
        ("--json export", "--json goes with"),
        ("verify --json", "what others print is text"),
        ("--json", "--json goes with"),
        ("stop --dry-run", "--dry-run goes with"),
        ("--dry-run retry --failed", "--dry-run goes with"),
        ("fetch --dry-run", "--dry-run goes with"),
        ("--dry-run", "--dry-run goes with"),
    ] {
        let error = read(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(says), "{line}: {error}");
    }
    let help = read("--help").unwrap_err();
    assert_eq!(help.exit_code(), 0);
    for word in ["seeded-checkpoint", "--retry-failed", "--batch", "Exit codes"] {
        assert!(help.to_string().contains(word), "{word}: {help}");
    }
    assert!(read("--version").unwrap_err().to_string().contains(env!("CARGO_PKG_VERSION")));
}
