//! Which command lines are accepted and which are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reeldeck_common::recipe::Output;

use super::*;
use crate::dataset::video_list::LabelStyle;
use crate::format::{Axes, Format};

fn read(line: &str) -> Result<Cli, clap::Error> {
    Cli::read(std::iter::once("reeldeck").chain(line.split_whitespace()))
}

#[test]
fn clap_accepts_the_definition() {
    Cli::command().debug_assert();
}

#[test]
fn options_stand_before_or_after_the_subcommand() {
    let options = "--config c.toml --root d --out o --recipe r --checkpoint seeded --manifest m.json \
         --devices cpu*2 --limit 3 --retry-failed --redo-stale --strict -v";
    let before = read(&format!("{options} extract --json --dry-run")).unwrap();
    assert_eq!(before, read(&format!("extract {options} --json --dry-run")).unwrap());
    assert_eq!(read("--root=d -q list --stdout").unwrap(), read("list --root=d -q --stdout").unwrap());
    let overrides = Overrides {
        config: Some("c.toml".into()),
        root: Some("d".into()),
        out: Some("o".into()),
        recipe: Some("r".into()),
        checkpoint: Some("seeded".into()),
        manifest: Some("m.json".into()),
        devices: Some("cpu*2".into()),
        limit: Some(3),
        json: true,
        retry_failed: true,
        redo_stale: true,
        strict: true,
        dry_run: true,
        quiet: false,
        verbose: true,
    };
    assert_eq!(before.overrides(), overrides);
    assert_eq!(read("").unwrap().overrides(), Overrides::default());
}

#[test]
fn the_engine_is_started_with_the_same_overrides() {
    let typed = read("--batch --detach --root d --limit 3 --retry-failed --redo-stale --strict --devices cpu -v");
    let typed = typed.unwrap().overrides();
    let words = ["reeldeck".into(), "engine".into()].into_iter().chain(typed.words());
    assert_eq!(Cli::read(words).unwrap().overrides(), typed);
}

/// Command lines, at least one for each command, and the options that each accepts.
const COMMANDS: &[(&str, &str)] = &[
    (
        "",
        "config root out recipe checkpoint manifest devices limit retry-failed redo-stale strict theme ascii \
          low-bandwidth mouse batch",
    ),
    (
        "--batch",
        "config root out recipe checkpoint manifest devices limit retry-failed redo-stale strict detach dry-run \
                 json quiet verbose",
    ),
    ("demo", "dir"),
    ("init", "config root out recipe checkpoint manifest devices dry-run"),
    ("doctor", "config root out recipe checkpoint devices json quiet"),
    ("fetch", "config recipe checkpoint quiet"),
    ("list", "config root out label-style stdout dry-run quiet verbose"),
    (
        "extract",
        "config root out recipe checkpoint manifest devices limit retry-failed redo-stale strict detach dry-run \
                 json quiet verbose",
    ),
    ("attach", "config out plain json quiet verbose theme ascii low-bandwidth mouse"),
    ("status", "config out json"),
    ("stop", "config out quiet now"),
    ("pause", "config out quiet"),
    ("resume", "config out quiet"),
    ("retry x", "config out quiet"),
    ("retry --failed", "config out quiet"),
    ("retry --list l", "config root out recipe checkpoint dry-run quiet"),
    (
        "engine",
        "config root out recipe checkpoint manifest devices limit retry-failed redo-stale strict no-export wait address-from-stdin \
                quiet verbose",
    ),
    ("slurm init", "config dry-run"),
    ("slurm submit", "config"),
    ("slurm status", "config"),
    ("slurm add 2", "config"),
    ("slurm stop", "config now"),
    ("slurm requeue 3", ""),
    ("export", "config root out recipe checkpoint format compact float16 layout output dry-run quiet verbose"),
    ("verify", "config root out recipe checkpoint sample against dry-run quiet verbose"),
    ("verify --sample 1", "config root out recipe checkpoint devices against dry-run quiet verbose"),
    ("verify --against f", "config root out recipe checkpoint sample list tolerance dry-run quiet verbose"),
    ("scan", "config root out manifest quick deep watch dry-run json quiet verbose"),
    ("scan --watch", "config root out manifest quick deep poll dry-run json quiet verbose"),
    ("missing", "config root out manifest watch dry-run quiet"),
    ("annotations", "config root out manifest dry-run quiet"),
    ("recipes", ""),
    ("keys", ""),
    ("tune", "config recipe seconds"),
    ("seeded-checkpoint w.pth", "config recipe"),
    ("completions bash", ""),
    ("man", "dir"),
];

/// Values that differ from every default.
fn value_of(option: &str) -> &'static str {
    match option {
        "limit" | "sample" | "seconds" => "7",
        "label-style" => "index",
        "format" => "npy",
        "layout" => "ct",
        "output" => "pooled",
        "tolerance" => "0.5",
        "theme" => "night",
        _ => "value",
    }
}

#[test]
fn each_command_takes_the_options_that_it_uses_and_refuses_all_others() {
    let definition = Cli::command();
    let all: BTreeMap<String, bool> = std::iter::once(&definition)
        .chain(definition.get_subcommands())
        .flat_map(|command| command.get_arguments())
        .filter_map(|option| Some((option.get_long()?.to_owned(), option.get_action().takes_values())))
        .collect();
    let named: BTreeSet<&str> = COMMANDS.iter().flat_map(|(_, options)| options.split_whitespace()).collect();
    let failed = BTreeSet::from(["failed"]);
    let forgotten: Vec<&String> =
        all.keys().filter(|option| !named.union(&failed).any(|name| name == option)).collect();
    assert!(forgotten.is_empty(), "the table has all options but {forgotten:?}");
    let tested: BTreeSet<&str> = COMMANDS.iter().filter_map(|(line, _)| line.split(' ').next()).collect();
    assert!(definition.get_subcommands().all(|command| tested.contains(command.get_name())), "and all commands");
    for (line, taken) in COMMANDS {
        let plain = read(line).unwrap();
        for (option, takes_value) in &all {
            if line.contains(&format!("--{option}")) {
                continue;
            }
            let value = if *takes_value { format!("={}", value_of(option)) } else { String::new() };
            let typed = format!("{line} --{option}{value}");
            match (read(&typed), taken.split_whitespace().any(|name| name == option)) {
                (Ok(cli), true) => assert_ne!(cli, plain, "{typed} changes nothing"),
                (Err(error), false) => assert_eq!(error.exit_code(), 2, "{typed}: {error}"),
                (Ok(cli), false) => panic!("{typed} is taken: {cli:?}"),
                (Err(error), true) => panic!("{typed}: {error}"),
            }
        }
    }
}

#[test]
fn every_option_that_overrides_the_configuration_reaches_the_settings() {
    let overriding = "config root out recipe checkpoint manifest devices limit retry-failed redo-stale strict dry-run json \
                      quiet verbose";
    for (line, taken) in COMMANDS {
        let plain = read(line).unwrap().overrides();
        let taken = taken.split_whitespace().filter(|option| overriding.split(' ').any(|name| name == *option));
        for option in taken {
            let flag =
                matches!(option, "retry-failed" | "redo-stale" | "strict" | "dry-run" | "json" | "quiet" | "verbose");
            let value = if flag { String::new() } else { format!("={}", value_of(option)) };
            let cli = read(&format!("{line} --{option}{value}")).unwrap();
            assert_ne!(cli.overrides(), plain, "{line} --{option}");
        }
    }
}

#[test]
fn options_have_the_values_that_were_typed() {
    let Some(Command::List(list)) = read("-q list --label-style index --stdout").unwrap().command else { panic!() };
    assert_eq!((list.label_style, list.stdout), (Some(LabelStyle::Index), true));
    let Some(Command::Export(export)) = read("export").unwrap().command else { panic!() };
    assert_eq!((export.format, export.layout), (vec![Format::Pkl], Axes::Tc));
    let line = "export --format csv,npy --format h5 --compact --layout ct --output pooled";
    let Some(Command::Export(export)) = read(line).unwrap().command else { panic!() };
    assert_eq!(export.format, [Format::Csv, Format::Npy, Format::H5]);
    assert_eq!((export.compact, export.layout, export.output), (true, Axes::Ct, Some(Output::Pooled)));
    let line = "verify --sample 3 --against r.pkl --list l.txt --tolerance 1e-3";
    let Some(Command::Verify(verify)) = read(line).unwrap().command else { panic!() };
    assert_eq!((verify.sample, verify.against), (Some(3), Some("r.pkl".into())));
    assert_eq!((verify.list, verify.tolerance), (Some("l.txt".into()), Some(1e-3)));
    let Some(Command::Retry(retry)) = read("retry A/* v_b").unwrap().command else { panic!() };
    assert_eq!(retry.patterns, ["A/*", "v_b"]);
    let Some(Command::SeededCheckpoint(seeded)) = read("seeded-checkpoint w.pth").unwrap().command else { panic!() };
    assert_eq!(seeded.path, Path::new("w.pth"));
    let demo = Command::Demo { dir: "reeldeck-demo".into() };
    assert_eq!(read("demo").unwrap().command, Some(demo));
}

#[test]
fn usage_errors_exit_with_2_and_help_with_0() {
    for (line, says) in [
        ("lsit", "list"),
        ("--limit 0 extract", "1 or more"),
        ("list -q -v", "cannot be used with"),
        ("--batch list", "--batch"),
        ("list --batch", "--batch"),
        ("list --label-style minus", "minus-one"),
        ("export --format np", "npy"),
        ("export --format npy,", "pkl, csv, npy, npz, h5"),
        ("export --layout t", "tc"),
        ("export --output features", "[possible values: logits, pooled]"),
        ("--theme nosuch", "[possible values: terminal, none, night, paper, contrast]"),
        ("verify --sample 0", "1 or more"),
        ("verify --list l.txt", "--against"),
        ("verify --devices cpu", "--sample"),
        ("verify --against r.pkl --tolerance=-1", "not below zero"),
        ("verify --against r.pkl --tolerance=inf", "a finite number"),
        ("scan --quick --deep", "cannot be used with"),
        ("seeded-checkpoint", "<PATH>"),
        ("init d --root e", "cannot be used with"),
        ("--root", "--root"),
        ("--detach", "--batch"),
        ("--batch --detach --json", "cannot be used with"),
        ("--batch --detach --dry-run", "cannot be used with"),
        ("--batch --theme none", "cannot be used with"),
        ("attach --plain --ascii", "cannot be used with"),
        ("status --retry-failed", "--retry-failed"),
        ("--retry-failed status", "--retry-failed"),
        ("retry", "<PATTERN>"),
        ("retry x --failed", "cannot be used with"),
        ("retry x --root d", "cannot be used with"),
        ("--json export", "--json"),
        ("--json", "--batch"),
        ("stop --dry-run", "--dry-run"),
        ("--dry-run", "--batch"),
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
    // The short help fits on a screen, and what it omits is in the long one.
    let short = definition().term_width(80).render_help().to_string();
    let lines: Vec<&str> = short.lines().collect();
    assert!((35..=50).contains(&lines.len()) && lines.iter().all(|line| line.len() <= 80), "{}: {short}", lines.len());
    assert!(!short.contains("--strict") && short.contains("--checkpoint") && short.contains("annotations"), "{short}");
    for argument in definition().get_arguments().filter_map(clap::Arg::get_long) {
        assert!(help.to_string().contains(&format!("--{argument}")), "{argument}");
    }
    assert!(read("--version").unwrap_err().to_string().contains(env!("CARGO_PKG_VERSION")));
}
