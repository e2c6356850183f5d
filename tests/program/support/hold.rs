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
        command.env("LD_PRELOAD", library()).env("REELDECK_TEST_HOLD", &self.0)
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

/// Compiles `hold.c` with `cc`, which is also the linker of Rust programs.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/support/hold.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hold.so");
        // Tests run at the same time, and a library that is in use cannot be overwritten.
        let own = library.with_extension(std::process::id().to_string());
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&own).arg(source).arg("-ldl");
        let built = compiler.status().unwrap_or_else(|error| panic!("failed to run cc: {error}"));
        assert!(built.success(), "cc could not build the library");
        fs::rename(own, &library).unwrap();
        library
    })
}
