//! A disk that hangs: programs wait when they open certain files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Bench;

/// Files that hang for the programs that [`Hold::prepare`] has prepared.
pub struct Hold(PathBuf);

impl Hold {
    /// No file hangs yet.
    pub fn new(bench: &Bench) -> Self {
        Self::in_folder(bench.path("held"))
    }

    /// The same, with a folder for its own files.
    pub fn in_folder(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Whether a program waits for a file of this name.
    pub fn is_waited_for(&self, name: &str) -> bool {
        self.0.join(format!("{name}.waits")).exists()
    }

    /// Lets a program and its children wait for the files that hang.
    pub fn prepare<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        static BUILT: OnceLock<PathBuf> = OnceLock::new();
        command.env("LD_PRELOAD", BUILT.get_or_init(|| library("hold"))).env("REELDECK_TEST_HOLD", &self.0)
    }

    /// From now on, files of this name hang.
    pub fn hold(&self, name: &str) {
        fs::write(self.0.join(name), "").unwrap();
    }

    /// Nothing hangs any more.
    pub fn release(&self) {
        for entry in fs::read_dir(&self.0).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

/// Compiles `NAME.c` beside this file with `cc`, which is also the linker of Rust programs, to a library that is preloaded.
pub fn library(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/program/support/{name}.c"));
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.so"));
    // Tests run at the same time, and a library that is in use cannot be overwritten.
    let own = library.with_extension(std::process::id().to_string());
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&own).arg(source).arg("-ldl");
    let built = compiler.status().unwrap_or_else(|error| panic!("failed to run cc: {error}"));
    assert!(built.success(), "cc could not build the library");
    fs::rename(own, &library).unwrap();
    library
}
