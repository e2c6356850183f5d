//! `doctor`, `init`, `completions` and `man`, also with programs that are missing, broken or of another version.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Ran, programs};

fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
    command.current_dir(folder).env("HOME", folder).env_remove("XDG_CACHE_HOME").args(arguments).stdin(Stdio::null());
    command
}

fn dataset(folder: &Path) {
    fs::create_dir_all(folder.join("data/A")).unwrap();
    fs::write(folder.join("data/A/v_1.mp4"), "a").unwrap();
}

/// A program that prints a text and exits.
fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The state, the finding and the fix of a check in the JSON report.
fn check(ran: &Ran, area: &str, name: &str) -> (String, String, String) {
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(report["schema"], 1);
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["area"] == area && check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {area}/{name}: {ran:?}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("found"), text("next"))
}

#[test]
fn doctor_reports_a_complete_machine() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    let real = |arguments: &[&str]| {
        let mut command = program(dir.path(), arguments);
        command.env("REELDECK_WORKER", programs().join("reeldeck-worker"));
        Ran::to_the_end(command.env("REELDECK_PROBE", programs().join("reeldeck-probe")))
    };
    let ran = real(&["doctor", "--json", "--checkpoint", "seeded"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let (state, found, _) = check(&ran, "programs", "decoders");
    assert_eq!(state, "ok", "{found}");
    for codec in ["h264", "hevc", "vp8", "vp9", "av1"] {
        assert!(found.contains(codec), "{found}");
    }
    for (area, name) in [("programs", "libtorch"), ("programs", "arithmetic"), ("folders", "dataset folder")] {
        assert_eq!(check(&ran, area, name).0, "ok", "{name}");
    }
    for (name, part) in [
        ("reeldeck-worker", "/reeldeck-worker"),
        ("reeldeck-probe", "/reeldeck-probe"),
        ("FFmpeg libraries", "/libavcodec.so"),
        ("libtorch libraries", "/libtorch_cpu.so"),
    ] {
        let (state, found, _) = check(&ran, "files that are run", name);
        assert!(state == "ok" && found.contains(part), "{name}: {found}");
    }
    let (_, found, _) = check(&ran, "machine", "instruction set");
    assert!(!found.contains("fast") && !found.contains("slow"), "no speed is known before it is measured: {found}");
    assert!(check(&ran, "machine", "speed").1.contains("reeldeck tune"));
    assert!(!dir.path().join("out").exists(), "it changes nothing");
    let people = real(&["doctor", "--checkpoint", "seeded"]);
    assert!(people.stdout.contains("nothing is missing") && people.stdout.contains("\nfolders\n"), "{people:?}");
}

#[test]
fn broken_programs_are_reported_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    let worker = dir.path().join("worker");
    let doctor = |probe: &Path| {
        let mut command = program(dir.path(), &["doctor", "--json", "--checkpoint", "seeded"]);
        Ran::to_the_end(command.env("REELDECK_WORKER", &worker).env("REELDECK_PROBE", probe))
    };
    let absent = dir.path().join("no such program");
    // The message of the dynamic loader if libtorch is missing.
    script(&worker, "echo 'worker: error while loading shared libraries: libtorch_cpu.so: cannot open' >&2; exit 127");
    let ran = doctor(&absent);
    assert_eq!(ran.code, 3, "{ran:?}");
    let (state, found, next) = check(&ran, "programs", "reeldeck-worker");
    assert_eq!(state, "missing");
    assert!(found.contains("libtorch_cpu.so") && next.contains("unpack the whole archive"), "{found}: {next}");
    let (state, found, _) = check(&ran, "programs", "reeldeck-probe");
    assert!(state == "missing" && found.contains("no such program"), "{found}");
    assert_eq!(check(&ran, "folders", "dataset folder").0, "ok", "the other checks still run");

    script(&worker, "kill -SEGV $$");
    assert_eq!(check(&doctor(&absent), "programs", "reeldeck-worker").0, "missing");
    script(&worker, "echo 'no memory for libtorch' >&2; kill -KILL $$");
    let (state, found, next) = check(&doctor(&absent), "programs", "reeldeck-worker");
    assert!(state == "missing" && found.contains("killed by signal 9"), "{found}");
    assert!(next.contains("enough memory is free") && !next.contains("unpack"), "{next}");

    let about = r#"{"version":"0.0.1","built_for":"2.11.0","library":"/x/libtorch_cpu.so","found":"2.10.0","threads":1,
        "onednn":false,"wrong":"3 is not 4","cuda":null}"#;
    script(&worker, &format!("echo '{}'", about.replace('\n', "")));
    let ran = doctor(&absent);
    for (name, state, part) in [
        ("reeldeck-worker", "missing", "0.0.1"),
        ("libtorch", "missing", "2.10.0"),
        ("arithmetic", "missing", "3 is not 4"),
        ("oneDNN", "warning", "without"),
    ] {
        let (is, found, next) = check(&ran, "programs", name);
        assert!(is == state && found.contains(part) && !next.is_empty(), "{name}: {is}: {found}: {next}");
    }
}

#[test]
fn a_program_that_others_may_replace_is_not_started() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    let (folder, started) = (dir.path().join("shared"), dir.path().join("started"));
    fs::create_dir(&folder).unwrap();
    let worker = folder.join("worker");
    script(&worker, &format!("touch '{}'", started.display()));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = program(dir.path(), arguments);
        Ran::to_the_end(command.env("REELDECK_WORKER", &worker))
    };
    let ran = run(&["doctor", "--json", "--checkpoint", "seeded"]);
    let (state, found, next) = check(&ran, "files that are run", "reeldeck-worker");
    assert!(state == "missing" && found.contains("mode 0777"), "{found}");
    assert!(next.contains(&format!("chmod go-w {}", folder.display())), "{next}");
    let ran = run(&["--batch", "--checkpoint", "seeded"]);
    assert!(ran.code != 0 && ran.stderr.contains("other users may write to"), "{ran:?}");
    assert!(!started.exists());
}

#[test]
fn a_broken_configuration_and_empty_folders_are_part_of_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    let doctor = |arguments: &[&str]| {
        let mut command = program(dir.path(), &["doctor", "--json"]);
        Ran::to_the_end(command.args(arguments).env("REELDECK_WORKER", &none).env("REELDECK_PROBE", &none))
    };
    let ran = doctor(&[]);
    assert_eq!((check(&ran, "folders", "dataset folder").0.as_str(), ran.code), ("missing", 3));
    let (state, _, next) = check(&ran, "weights", "checkpoint");
    assert!(state == "missing" && next.contains("published"), "{next}");
    let (state, found, _) = check(&doctor(&["--checkpoint", "published"]), "weights", "checkpoint");
    assert!(state == "note" && found.contains("wget -c https://"), "{found}");
    fs::write(dir.path().join("config.toml"), "devcies = \"cpu\"\n").unwrap();
    let ran = doctor(&[]);
    let (state, found, _) = check(&ran, "configuration", "configuration");
    assert!(state == "missing" && found.contains("did you mean `devices`?"), "{found}");
    assert_eq!(check(&ran, "machine", "processor").0, "ok");
}

#[test]
fn init_shows_no_password_and_lets_only_the_user_read_the_file() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    let address = "https://me:secret@a.org/w.pth?token=key";
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    let shown = Ran::to_the_end(&mut program(dir.path(), &["init", "data", "--dry-run", "--checkpoint", address]));
    assert!(shown.stdout.contains("\ncheckpoint = \"https://a.org/w.pth\"\n"), "{shown:?}");
    let ran = Ran::to_the_end(&mut program(dir.path(), &["init", "data", "--checkpoint", address]));
    assert!(ran.code == 0 && ran.stderr.contains("https://a.org/w.pth") && ran.stderr.contains("mode 0600"), "{ran:?}");
    for secret in ["me:secret", "secret", "token=", "=key"] {
        for ran in [&shown, &ran] {
            assert!(ran.code == 0 && !ran.stderr.contains(secret) && !ran.stdout.contains(secret), "{secret}: {ran:?}");
        }
    }
    assert!(fs::read_to_string(dir.path().join("config.toml")).unwrap().contains(address));
    assert_eq!(mode("config.toml"), 0o600);
    let plain = ["init", "data", "--config", "plain.toml", "--checkpoint", "https://a.org/w.pth"];
    assert_eq!(Ran::to_the_end(&mut program(dir.path(), &plain)).code, 0);
    assert_ne!(mode("plain.toml"), 0o600);
}

#[test]
fn init_writes_what_it_found_and_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    let manifest = r#"{"database": {"1": {"duration": 9.0, "subset": "training", "annotations": []}}}"#;
    fs::write(dir.path().join("HACS_segments_v1.1.1.json"), manifest).unwrap();
    let run = |arguments: &[&str]| Ran::to_the_end(&mut program(dir.path(), arguments));
    let shown = run(&["init", "data", "--dry-run"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(!dir.path().join("config.toml").exists());
    let ran = run(&["init", "data"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = fs::read_to_string(dir.path().join("config.toml")).unwrap();
    assert_eq!(text, shown.stdout);
    for line in ["root = \"data\"", "checkpoint = \"published\"", "path = \"HACS_segments_v1.1.1.json\""] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    let again = run(&["init", "data"]);
    assert!(again.code == 2 && again.stderr.contains("exists and is kept"), "{again:?}");
    assert_eq!(run(&["init", "data", "--config", "other.toml", "--devices", "cpu*2"]).code, 0);
    assert!(fs::read_to_string(dir.path().join("other.toml")).unwrap().contains("\ndevices = \"cpu*2\"\n"));
    let nowhere = run(&["init", "no such folder", "--config", "third.toml"]);
    assert!(nowhere.code == 2 && nowhere.stderr.contains("no such folder"), "{nowhere:?}");
    // `init` writes no configuration that would be rejected, and never writes into the dataset folder.
    let cases: [(&str, &[&str]); 3] = [
        ("data", &["init", "."]),
        ("data", &["--out", "../elsewhere", "init", "."]),
        ("", &["--out", "data/out", "init", "data"]),
    ];
    for (folder, arguments) in cases {
        let into = dir.path().join(folder);
        let mut command = program(&into, arguments);
        let ran = Ran::to_the_end(command.args(["--config", "fourth.toml"]));
        assert!(
            ran.code == 2 && ran.stderr.contains("in the dataset folder") && ran.stderr.contains("never written to"),
            "{ran:?}"
        );
        assert!(!into.join("fourth.toml").exists());
    }
    fs::create_dir(dir.path().join("nothing")).unwrap();
    let empty = run(&["init", "nothing", "--config", "fifth.toml"]);
    assert!(empty.code == 0 && empty.stderr.contains("a folder for each class"), "{empty:?}");
    // The written configuration is accepted.
    assert_eq!(run(&["--config", "other.toml", "--checkpoint", "seeded", "--batch", "--dry-run"]).code, 0);
}

/// Output for programs is complete, or the exit code reports an error.
#[test]
fn a_failed_write_to_standard_output_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    let lines: [&[&str]; 4] = [&["status", "--json"], &["doctor", "--json"], &["init", "data", "--dry-run"], &["man"]];
    for arguments in lines {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = program(dir.path(), arguments).stdout(full).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains("failed to print"), "{arguments:?}: {error}");
    }
    for arguments in [&["--help"][..], &["--version"], &["scan", "--help"], &["doctor"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = program(dir.path(), arguments).stdout(full).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let says = "failed to write to standard output";
        assert!(output.status.code() == Some(1) && error.contains(says), "{arguments:?}: {error}");
    }
}

#[test]
fn completions_and_manual_list_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let ran = Ran::to_the_end(&mut program(dir.path(), &["completions", shell]));
        assert!(ran.code == 0 && ran.stdout.contains("doctor") && ran.stdout.contains("retry-failed"), "{shell}");
    }
    let ran = Ran::to_the_end(&mut program(dir.path(), &["man"]));
    assert!(ran.code == 0 && ran.stdout.contains(".TH reeldeck") && ran.stdout.contains("130"), "{ran:?}");
    assert!(ran.stdout.contains(".nf\nGetting started:\n") && !ran.stdout.contains("EXTRA"), "{ran:?}");
    let printed = ran.stdout;
    let ran = Ran::to_the_end(&mut program(dir.path(), &["man", "--dir", "pages"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let page = |name: &str| fs::read_to_string(dir.path().join("pages").join(name)).unwrap();
    assert_eq!(page("reeldeck.1"), printed);
    let version = concat!("\"reeldeck ", env!("CARGO_PKG_VERSION"), "\"");
    for name in ["reeldeck.1", "reeldeck-export.1", "reeldeck-doctor.1", "reeldeck-slurm-init.1"] {
        assert!(page(name).contains(".SH") && page(name).contains(version), "{name}: {}", page(name));
    }
    assert!(!dir.path().join("pages/reeldeck-engine.1").exists(), "the engine is not a command for users");
    let typo = Ran::to_the_end(&mut program(dir.path(), &["docter"]));
    assert!(typo.code == 2 && typo.stderr.contains("doctor"), "{typo:?}");
}

#[test]
fn the_columns_of_the_recipes_are_separate() {
    let dir = tempfile::tempdir().unwrap();
    let ran = Ran::to_the_end(&mut program(dir.path(), &["recipes"]));
    assert!(ran.code == 0 && ran.stdout.contains(" 57  100 clips "), "{ran:?}");
}
