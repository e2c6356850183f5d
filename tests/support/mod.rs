//! A dataset in a temporary folder, and reeldeck run on it with the fake worker.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

pub mod prober;
pub mod processes;
pub mod real;
pub mod screen;

/// A dataset and an output folder.
pub struct Bench {
    /// Removed at the end.
    pub dir: TempDir,
}

/// A small recipe: the fake worker makes its numbers up, and small files are quick to write.
pub const RECIPE: &str = include_str!("tiny.toml");

impl Bench {
    /// "Videos" with these names and contents.
    pub fn new(videos: &[(&str, &str)]) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.path("data")).unwrap();
        fs::write(bench.path("tiny.toml"), RECIPE).unwrap();
        for (name, script) in videos {
            bench.video(name, script);
        }
        bench
    }

    /// Adds or replaces a "video".
    pub fn video(&self, name: &str, script: &str) {
        let path = self.path("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, script).unwrap();
    }

    /// A path in the temporary folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// reeldeck with the fake worker, on this dataset.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command
            .current_dir(self.dir.path())
            .env("REELDECK_WORKER", fake_worker())
            .args(["--recipe", "./tiny.toml", "--checkpoint", "seeded"])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs it to the end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::to_the_end(&mut self.command(arguments))
    }

    /// Starts it with its output kept for later.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The feature of a video in the only feature set.
    pub fn files_of(&self, video: &str) -> PathBuf {
        let sets = list(&self.path("out/features"));
        sets[0].join(format!("{video}.safetensors"))
    }

    /// `Class/file` of all files of the only feature set in `out/<kind>`, without temporary ones.
    pub fn files(&self, kind: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for set in list(&self.path("out").join(kind)) {
            for class in list(&set) {
                for file in list(&class) {
                    let name = |p: &Path| p.file_name().unwrap().to_string_lossy().into_owned();
                    found.insert(format!("{}/{}", name(&class), name(&file)));
                }
            }
        }
        found.retain(|name| !name.ends_with(".once"));
        found
    }

    /// A file in the only export folder.
    pub fn export(&self, name: &str) -> PathBuf {
        let sets = list(&self.path("out/exports"));
        assert_eq!(sets.len(), 1);
        sets[0].join(name)
    }

    /// The failure file of a video.
    pub fn failure(&self, video: &str) -> serde_json::Value {
        let set = list(&self.path("out/failures")).remove(0);
        serde_json::from_slice(&fs::read(set.join(format!("{video}.json"))).unwrap()).unwrap()
    }
}

/// The fake worker's program. `cargo test` alone builds it, `cargo test --test engine` does not: so it is asked for.
pub fn fake_worker() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built(&["--package", "reeldeck", "--example", "fake_worker"], "examples/fake_worker"))
}

/// The folder with the real programs, built as they are now.
pub fn programs() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let worker = built(&["--package", "reeldeck-worker", "--package", "reeldeck-probe"], "reeldeck-worker");
        worker.parent().unwrap().to_owned()
    })
}

/// Has cargo build something in the profile of this test, and says where it is. What `cargo test` of the whole workspace has
/// just built is taken as it is: asking for a part of it may choose other features, and build everything anew.
fn built(what: &[&str], file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_reeldeck")).with_file_name(file);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let changed = newest(&sources.join("crates")).max(newest(&sources.join("tests/support")));
    if fs::metadata(&path).is_ok_and(|m| m.modified().unwrap() > changed) {
        return path;
    }
    let profile = if path.components().any(|c| c.as_os_str() == "release") { "release" } else { "dev" };
    let mut cargo = Command::new(env!("CARGO"));
    let status = cargo.args(["build", "--quiet", "--profile", profile]).args(what).status().unwrap();
    assert!(status.success() && path.exists(), "{}", path.display());
    path
}

/// When the last of the source files in a folder was changed.
fn newest(folder: &Path) -> SystemTime {
    let times = list(folder).into_iter().map(|path| match path.is_dir() {
        true => newest(&path),
        false if path.extension().is_some_and(|e| e == "rs") => fs::metadata(&path).unwrap().modified().unwrap(),
        false => SystemTime::UNIX_EPOCH,
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

/// How a run ended and what it printed.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end, which must come: a run that hangs fails its test instead of holding it.
    pub fn to_the_end(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut guard = Command::new("sh");
        let guard = guard.arg("-c").arg(format!("sleep 120; kill -9 {}", child.id())).stdout(Stdio::null());
        let mut guard = guard.stderr(Stdio::null()).process_group(0).spawn().unwrap();
        let ran = Self::of(child.wait_with_output().unwrap());
        signal_group(&guard);
        guard.wait().unwrap();
        ran
    }

    /// From a finished process.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Waits until something holds, which it must at some time; how long that takes depends on what else the machine does.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(300), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal_group(process: &Child) {
    let group = format!("-{}", process.id());
    assert!(Command::new("kill").args(["-9", "--", &group]).status().unwrap().success());
}

/// Sends a signal to a process.
pub fn signal(process: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}
