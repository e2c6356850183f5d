//! Limits of a session (`ulimit`), and disks without room: a command fails with a reason, and leaves no half file.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::support::hold::library;
use crate::support::{Bench, Ran, programs};

/// Runs reeldeck with the real worker under limits that a shell sets.
fn run_under(bench: &Bench, limits: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new("sh");
    command.current_dir(bench.dir.path()).env("REELDECK_WORKER", programs().join("reeldeck-worker"));
    command.args(["-c", &format!("{limits} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_reeldeck")]).args(arguments);
    Ran::to_the_end(&mut command)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_that_may_not_be_written_whole_is_not_there() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    let new = bench.path("new");
    fs::create_dir(&new).unwrap();
    // A block has 512 or 1024 bytes.
    for arguments in [&["init", "data", "--config", "new/config.toml"][..], &["seeded-checkpoint", "new/w.pth"]] {
        let ran = run_under(&bench, "ulimit -f 1", arguments);
        assert!(ran.code == 1 && ran.stderr.contains("ulimit -f"), "{ran:?}");
        assert!(!ran.stderr.contains("ZipWriter"), "the text of a library: {ran:?}");
        assert_eq!(names(&new), [""; 0], "{arguments:?}");
    }
    let ran = bench.run(&["init", "data", "--config", "new/config.toml"]);
    assert_eq!((ran.code, names(&new)), (0, vec!["config.toml".to_owned()]), "{ran:?}");
    let whole = fs::read(new.join("config.toml")).unwrap();
    let ran = bench.run(&["init", "data", "--config", "new/config.toml"]);
    assert!(ran.code == 2 && ran.stderr.contains("exists and is kept"), "{ran:?}");
    assert_eq!(fs::read(new.join("config.toml")).unwrap(), whole);
}

#[test]
fn a_small_stack_is_raised_or_refused() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    let ran = run_under(&bench, "ulimit -s 64", &["list"]);
    assert!(ran.code == 2 && ran.stderr.contains("64 KiB") && ran.stderr.contains("ulimit -s 8192"), "{ran:?}");
    for small in ["ulimit -S -s 64", "export RUST_MIN_STACK=1"] {
        let ran = run_under(&bench, small, &["status"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

#[test]
fn no_clock_makes_a_command_panic() {
    let library = library("clock");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    // The years 1970 and 2038, the last day of the year 9999, and later ones.
    for clock in [0, 1 << 31, 253_402_290_000, 253_402_300_800, 1 << 45, 1 << 58] {
        let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "fail corrupt")]);
        let all =
            [&["--batch"][..], &["--batch", "--json"], &["status"], &["status", "--json"], &["scan"], &["verify"]];
        for arguments in all {
            let mut command = bench.command(arguments);
            command.env("LD_PRELOAD", &library).env("REELDECK_TEST_CLOCK", (clock - now).to_string());
            let ran = Ran::to_the_end(&mut command);
            assert!([0, 3].contains(&ran.code) && !ran.stderr.contains("panicked"), "{clock}: {arguments:?}: {ran:?}");
        }
        assert_eq!(bench.files("features").len(), 1, "{clock}");
    }
}
