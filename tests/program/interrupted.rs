//! Signals to `demo` and `tune`: their temporary folders are removed at once, or by the next one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::{signal, wait_for};
use reeldeck_common::atomic::is_temporary;
use tempfile::TempDir;

/// A folder with a prober that never ends before reeldeck does.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir(bench.temporary()).unwrap();
        fs::write(bench.0.path().join("script"), "#!/bin/sh\nexec tail -f /dev/null --pid=$PPID\n").unwrap();
        fs::set_permissions(bench.0.path().join("script"), fs::Permissions::from_mode(0o755)).unwrap();
        // Written by another process, see tests/program/watch.rs.
        let copied = Command::new("cp").arg(bench.0.path().join("script")).arg(bench.prober()).status();
        assert!(copied.unwrap().success());
        bench
    }

    /// The folder of a demo, and the one for temporary files.
    fn temporary(&self) -> PathBuf {
        self.0.path().join("tmp")
    }

    fn prober(&self) -> PathBuf {
        self.0.path().join("prober")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command.current_dir(self.0.path()).env("REELDECK_PROBE", self.prober()).env("TMPDIR", self.temporary());
        command.env("XDG_CACHE_HOME", self.0.path()).arg(name);
        command.args(if name == "demo" { &["--dir", "tmp"][..] } else { &[] });
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.temporary()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).filter(|name| is_temporary(name)).collect()
    }

    /// Starts a command, and signals it when its temporary folder is there.
    fn stopped(&self, name: &str, with: &str) -> Option<i32> {
        let mut child: Child = self.command(name).spawn().unwrap();
        wait_for("the temporary folder", || !self.left().is_empty());
        signal(&child, with);
        child.wait().unwrap().code()
    }
}

#[test]
fn a_signal_ends_demo_and_tune_and_leaves_no_folder() {
    for name in ["demo", "tune"] {
        for with in ["-INT", "-TERM"] {
            let bench = Bench::new();
            assert_eq!(bench.stopped(name, with), Some(130), "{name} {with}");
            let left: Vec<_> = fs::read_dir(bench.temporary()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "{name} {with}: {left:?}");
        }
    }
}

#[test]
fn demo_and_tune_remove_the_folders_of_killed_ones() {
    for name in ["demo", "tune"] {
        let bench = Bench::new();
        assert_eq!(bench.stopped(name, "-KILL"), None);
        assert_eq!(bench.left().len(), 1, "{name}");
        // This one fails at once.
        assert!(Command::new("cp").arg("/bin/false").arg(bench.prober()).status().unwrap().success());
        assert_eq!(bench.command(name).status().unwrap().code(), Some(1), "{name}");
        assert_eq!(bench.left(), [""; 0], "{name}");
    }
}
