//! A dataset of small real videos in a temporary folder. reeldeck runs on it with the real worker.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{RECIPE, programs};

/// A dataset; output folders are created beside it.
pub struct Real {
    /// Removed on drop, but kept if the test fails.
    pub dir: TempDir,
}

impl Real {
    /// Creates a video for each name `Class/file` and description as `reeldeck-probe synth` takes it.
    pub fn new(videos: &[(&str, Value)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        synth(&dir.path().join("videos"), videos);
        // MMAction2's instructions link the dataset into the working folder.
        std::os::unix::fs::symlink(dir.path().join("videos"), dir.path().join("data")).unwrap();
        fs::write(dir.path().join("tiny.toml"), RECIPE).unwrap();
        Self { dir }
    }

    /// A path in the temporary folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A video of the dataset.
    pub fn video(&self, name: &str) -> PathBuf {
        self.path("videos").join(name)
    }

    /// `reeldeck --batch` on this dataset into the output folder of that name, or another command with the small recipe.
    pub fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        if more.first().is_some_and(|word| !word.starts_with('-')) {
            command.args(["--recipe", "./tiny.toml"]);
        } else {
            command.args(["--batch", "--recipe", "./tiny.toml", "--checkpoint", "seeded", "--out", out]);
        }
        command.current_dir(self.dir.path()).args(more).stdin(Stdio::null());
        command
    }

    /// Every file under `out/<kind>` with its bytes.
    pub fn files(&self, out: &str, kind: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.path(out).join(kind);
        let read = |path: PathBuf| (path.strip_prefix(&root).unwrap().to_owned(), fs::read(&path).unwrap());
        everything(&root).into_iter().map(read).collect()
    }

    /// Every failure file in `out`, by video.
    pub fn failures(&self, out: &str) -> BTreeMap<String, Value> {
        let failures = self.files(out, "failures").into_values();
        let read = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
        failures.map(read).map(|file| (file["video"].as_str().unwrap().to_owned(), file)).collect()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A rare failure may not be reproducible.
            self.dir.disable_cleanup(true);
            eprintln!("left for a look: {}", self.dir.path().display());
        }
    }
}

/// Creates videos in a folder with `reeldeck-probe synth`.
pub fn synth(folder: &Path, videos: &[(&str, Value)]) {
    let job = |(name, video): &(&str, Value)| json!({"file": folder.join(name), "video": video});
    let jobs: Vec<Value> = videos.iter().map(job).collect();
    let mut probe = Command::new(programs().join("reeldeck-probe")).arg("synth").stdin(Stdio::piped()).spawn().unwrap();
    probe.stdin.take().unwrap().write_all(Value::from(jobs).to_string().as_bytes()).unwrap();
    assert!(probe.wait().unwrap().success());
}

/// Every file below a folder. Files that are removed meanwhile are left out.
pub fn everything(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found
}
