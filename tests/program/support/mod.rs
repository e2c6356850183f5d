//! A dataset in a temporary folder. reeldeck runs on it with the fake worker.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use reeldeck_common::atomic::Owner;
use reeldeck_common::feature::Feature;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

pub mod checks;
pub mod hdf5;
pub mod hold;
pub mod made;
pub mod prober;
pub mod processes;
pub mod real;

/// A dataset and an output folder.
pub struct Bench {
    /// Removed on drop.
    pub dir: TempDir,
}

/// A recipe with small outputs, so that feature files are quick to write.
pub const RECIPE: &str = include_str!("tiny.toml");

impl Bench {
    /// A dataset of "videos" with these names and contents.
    pub fn new(videos: &[(&str, &str)]) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.path("data")).unwrap();
        fs::write(bench.path("tiny.toml"), RECIPE).unwrap();
        bench.configure("");
        for (name, script) in videos {
            bench.video(name, script);
        }
        bench
    }

    /// Writes a configuration with the small recipe and seeded weights, and with these sections.
    pub fn configure(&self, sections: &str) {
        let text = format!("recipe = \"./tiny.toml\"\ncheckpoint = \"seeded\"\n{sections}");
        fs::write(self.path("config.toml"), text).unwrap();
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

    /// reeldeck with the fake worker and these arguments, in the temporary folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command.current_dir(self.dir.path()).env("REELDECK_WORKER", fake_worker()).args(arguments).stdin(Stdio::null());
        command
    }

    /// The same on a host of another name.
    pub fn command_on(&self, host: &str, arguments: &[&str]) -> Command {
        let run = self.command(arguments);
        // In a user namespace, a host name needs no root.
        let script = "echo $0 > /proc/sys/kernel/hostname && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-ru", "sh", "-c", script, host]).arg(run.get_program()).args(run.get_args());
        command.envs(run.get_envs().filter_map(|(key, value)| Some((key, value?)))).current_dir(self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs [`Bench::command`] until it ends.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::to_the_end(&mut self.command(arguments))
    }

    /// Starts [`Bench::command`] with its output piped.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts [`Bench::command`] with its standard error in a file, which [`Bench::log`] reads.
    pub fn start_logged(&self, arguments: &[&str]) -> Child {
        self.spawn_logged(&mut self.command(arguments))
    }

    /// The same with another command.
    pub fn spawn_logged(&self, command: &mut Command) -> Child {
        let stderr = fs::File::create(self.path("stderr")).unwrap();
        command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap()
    }

    /// Adds an output to a feature that the recipe does not store.
    pub fn add_pooled(&self, video: &str) {
        let path = self.files_of(video);
        let mut feature = Feature::read(&path).unwrap();
        let pooled = feature.tensors["logits"].clone();
        feature.tensors.insert("pooled".into(), pooled);
        feature.write(&path, &Owner::this_process()).unwrap();
    }

    /// Whether a worker was given a video, by the journals.
    pub fn is_assigned(&self, video: &str) -> bool {
        let journals = fs::read_dir(self.path("out/.reeldeck/runs")).into_iter().flatten().flatten();
        let event = format!("\"video-assigned\",\"video\":\"{video}\"");
        journals.filter_map(|entry| fs::read_to_string(entry.path()).ok()).any(|text| text.contains(&event))
    }

    /// The standard error so far of a run from [`Bench::start_logged`].
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }

    /// Waits until a run from [`Bench::start_logged`] ends.
    pub fn finish(&self, mut run: Child) -> Ran {
        let mut code = None;
        wait_for("the run ends", || {
            code = run.try_wait().unwrap();
            code.is_some()
        });
        Ran { code: code.unwrap().code().unwrap_or(-1), stdout: String::new(), stderr: self.log() }
    }

    /// The feature file of a video in the first feature set.
    pub fn files_of(&self, video: &str) -> PathBuf {
        let sets = list(&self.path("out/features"));
        sets[0].join(format!("{video}.safetensors"))
    }

    /// `Class/file` of all files in the feature sets of `out/<kind>`, without the markers of the fake worker.
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

    /// The file of the engine, while one runs.
    pub fn engine_file(&self) -> PathBuf {
        engine_file(&self.path("out"))
    }

    /// The log of the engines on this host.
    pub fn engine_log(&self) -> String {
        let mut logs = list(&self.path("out/.reeldeck/log"));
        logs.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("start-")));
        fs::read_to_string(&logs[0]).unwrap()
    }

    /// A file in the only export folder; panics if there is more than one folder.
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

/// The file of the engine that uses this output folder; a file that does not exist if there is none.
pub fn engine_file(out: &Path) -> PathBuf {
    let folder = out.join(".reeldeck/engines");
    list(&folder).into_iter().find(|path| path.extension().is_some_and(|e| e == "json")).unwrap_or(folder.join("none"))
}

/// The fake worker, an example of this package.
pub fn fake_worker() -> PathBuf {
    built("examples/fake_worker")
}

/// The folder with the programs of this workspace.
pub fn programs() -> PathBuf {
    built("reeldeck-probe");
    let mut folder = built("reeldeck-worker");
    folder.pop();
    folder
}

/// A program beside reeldeck's own. `cargo test` of the whole workspace builds all programs, `cargo test` of one test binary
/// does not. Panics if the program is missing or older than its sources.
fn built(name: &str) -> PathBuf {
    const HINT: &str = "build the programs in this test's profile: cargo build --workspace --bins --examples";
    let path = Path::new(env!("CARGO_BIN_EXE_reeldeck")).with_file_name(name);
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    let built = modified(&path).unwrap_or_else(|error| panic!("{}: {error}; {HINT}", path.display()));
    // The program's sources, as `program: source source …`. `cargo build` writes this list, `cargo test` does not.
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    for source in sources.trim_end().split(' ').skip(1) {
        let is_newer = modified(Path::new(source)).is_ok_and(|modified| modified > built);
        assert!(!is_newer, "{} is older than {source}; {HINT}", path.display());
    }
    path
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The exit code and the output of a process.
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
    /// Runs a command until it ends, and kills it after two minutes, so that a hang fails the test.
    pub fn to_the_end(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Another process may get the id of one that has ended.
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let limit = Timespec { tv_sec: 120, tv_nsec: 0 };
                if poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).unwrap() == 0 {
                    pidfd_send_signal(&process, Signal::KILL).unwrap();
                }
            });
            Self::of(child.wait_with_output().unwrap())
        })
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

/// Waits until a condition holds; panics after five minutes. The limit is generous because the machine may be busy.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(300), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removes a folder into which processes write: it may not exist yet, and they may add a file while it is removed.
pub fn remove_in_use(folder: &Path) {
    wait_for("the folder is removed", || fs::remove_dir_all(folder).is_ok());
}

/// Sends a signal to a process.
pub fn signal(process: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}
