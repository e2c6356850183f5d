//! Builds and runs the tracer that injects faults.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::Ran;
use rustix::io::Errno;

/// A kind of system calls, and the errors that they can return. The first word of `name` is the tracer's.
pub struct Kind {
    pub name: &'static str,
    pub errors: &'static [Errno],
}

/// All kinds.
pub const KINDS: [Kind; 13] = [
    Kind { name: "write", errors: &[Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::INTR, Errno::STALE] },
    Kind { name: "short", errors: &[Errno::IO] },
    Kind { name: "fsync", errors: &[Errno::IO, Errno::NOSPC, Errno::DQUOT] },
    Kind { name: "rename", errors: &[Errno::IO, Errno::NOSPC, Errno::ACCESS, Errno::ROFS, Errno::STALE, Errno::XDEV] },
    Kind { name: "open", errors: &[Errno::IO, Errno::ACCESS, Errno::MFILE, Errno::STALE, Errno::ROFS, Errno::INTR] },
    Kind { name: "read", errors: &[Errno::IO, Errno::STALE, Errno::INTR, Errno::NOMEM] },
    Kind { name: "eof", errors: &[Errno::IO] },
    Kind { name: "stat", errors: &[Errno::IO, Errno::ACCESS, Errno::STALE, Errno::NOMEM] },
    Kind { name: "list", errors: &[Errno::IO, Errno::STALE] },
    Kind { name: "mkdir", errors: &[Errno::NOSPC, Errno::IO, Errno::ACCESS, Errno::ROFS] },
    Kind { name: "unlink", errors: &[Errno::IO, Errno::ACCESS, Errno::ROFS] },
    Kind { name: "map", errors: &[Errno::NOMEM, Errno::AGAIN] },
    Kind { name: "thread", errors: &[Errno::AGAIN, Errno::NOMEM] },
];

/// The tracer's program.
pub struct Tracer(PathBuf);

impl Tracer {
    /// Compiles `faults.c` with `cc`, which is also the linker of Rust programs.
    pub fn build() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/attack/faults.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
        // Tests run at the same time, and a program that runs cannot be overwritten.
        let own = program.with_extension(std::process::id().to_string());
        let built = Command::new("cc").args(["-O1", "-Wall", "-Werror", "-o"]).arg(&own).arg(source).status();
        let built = built.unwrap_or_else(|error| panic!("failed to run cc, which builds the tracer: {error}"));
        assert!(built.success(), "cc failed to build the tracer");
        fs::rename(own, &program).unwrap();
        Self(program)
    }

    /// Runs a command and lets the n-th call of a kind on a file in `folder` fail; with 0, none. Returns how it ended, the
    /// number of calls, and the file that a call failed for.
    pub fn run(&self, kind: &Kind, at: u64, errno: Errno, folder: &Path, command: &Command) -> (Ran, u64, String) {
        // Not in the command's folder, where a call that fails may leave nothing.
        let report = tempfile::NamedTempFile::new().unwrap();
        let mut traced = Command::new(&self.0);
        traced.arg(kind.name).arg(at.to_string()).arg(errno.raw_os_error().to_string());
        traced.arg(folder).arg(report.path()).arg(command.get_program()).args(command.get_args());
        traced.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => traced.env(name, value),
                None => traced.env_remove(name),
            };
        }
        let ran = Ran::to_the_end(&mut traced);
        assert!(ran.code != 125, "this machine cannot trace processes, so no fault can be injected: {}", ran.stderr);
        let report = fs::read_to_string(report.path()).unwrap();
        let (count, failed) = report.split_once('\n').unwrap();
        (ran, count.parse().unwrap(), failed.trim_end().to_owned())
    }
}
