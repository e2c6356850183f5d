//! `reeldeck demo`: generates a small dataset, runs `reeldeck --batch` on it, and checks the result.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use reeldeck_common::atomic::{self, Owner, Sweeper, TemporaryFolder, sweep_folder};
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::Recipe;
use reeldeck_common::versions::SEEDED_WEIGHTS;
use reeldeck_common::video::VideoName;
use serde::Deserialize;

use crate::config::Config;
use crate::dataset::shown;
use crate::discovery;
use crate::error::{Exit, ExitError};
use crate::out::errln;
use crate::out::outln;
use crate::signals::{self, cancel_on_signal};

/// The first line of the configuration that a demo writes.
const MARK: &str = "# The demo's configuration: seeded weights, so that it runs without the published checkpoint.";
const DEFINITION: &str = include_str!("../../assets/demo.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    file: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: VideoName,
    #[serde(default)]
    video: serde_json::Value,
    #[serde(default)]
    otherwise: serde_json::Value,
    #[serde(default)]
    keep: Option<f64>,
    #[serde(default)]
    empty: bool,
}

impl Entry {
    fn is_healthy(&self) -> bool {
        !self.empty && self.keep.is_none()
    }
}

/// Generates the missing videos, runs `reeldeck --batch` on them, and compares the result with the expected one.
///
/// # Errors
/// When the dataset cannot be generated, or the result differs.
pub(crate) fn run_demo(dir: &Path) -> Result<Exit> {
    let definition: Definition = toml::from_str(DEFINITION).context("failed to read the demo's definition")?;
    fs::create_dir_all(dir).with_context(|| format!("failed to create {}", shown(dir)))?;
    let dir = fs::canonicalize(dir).with_context(|| format!("failed to open {}", shown(dir)))?;
    if let Some(path) = not_ours(&dir, &definition)? {
        let (path, dir) = (shown(&path), shown(&dir));
        let message = format!(
            "{path} is not a file of the demo, which never changes other files; name another folder than {dir} with --dir"
        );
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    let cancelled = cancel_on_signal(None).context("failed to catch signals")?;
    sweep_folder(&dir, &Sweeper::of_command()).with_context(|| format!("failed to list {}", shown(&dir)))?;
    make_dataset(&dir.join("data"), &definition, &cancelled)?;
    let config = dir.join("config.toml");
    if !config.exists() {
        let text = format!("{MARK}\nroot = \"data\"\nout = \"out\"\ncheckpoint = \"seeded\"\n");
        atomic::write(&config, &Owner::this_process(), |writer| writer.write_all(text.as_bytes()))
            .with_context(|| format!("failed to write {}", shown(&config)))?;
    }
    let own = discovery::reeldeck()?;
    errln!("running: {} --batch --config {}", shown(&own), shown(&config));
    let run = Command::new(&own).arg("--batch").arg("--config").arg(&config).stdin(Stdio::null()).spawn();
    let status = signals::wait_for(&mut run.context("failed to start reeldeck")?, &cancelled);
    let code = status.context("failed to wait for reeldeck")?.code();
    if cancelled.load(Ordering::Relaxed) || code == Some(i32::from(Exit::Interrupted.code())) {
        return Err(ExitError::interrupted().into());
    }
    ensure!(
        code == Some(i32::from(Exit::Incomplete.code())),
        "the demo has broken videos, so its run must end with exit code 3; it ended with {code:?}"
    );
    check(&dir, &definition)?;
    let healthy = definition.file.iter().filter(|e| e.is_healthy()).count();
    let broken = definition.file.len() - healthy;
    outln!("demo passed: {healthy} videos done and {broken} failed, as expected");
    outln!("run the same dataset again: {} --batch --config {}", shown(&own), shown(&config));
    Ok(Exit::Done)
}

/// A file in the folder that is not from a demo, if any. The folder may then be a real dataset, and the demo must not write to it.
fn not_ours(dir: &Path, definition: &Definition) -> Result<Option<PathBuf>> {
    let (data, config, out) = (dir.join("data"), dir.join("config.toml"), dir.join("out"));
    // A link to a file that is missing belongs to the user, too.
    let is_other =
        config.symlink_metadata().is_ok() && !fs::read_to_string(&config).is_ok_and(|text| text.starts_with(MARK));
    if is_other {
        return Ok(Some(config));
    }
    if !data.exists() {
        return Ok(out.exists().then_some(out));
    }
    let ours: BTreeSet<PathBuf> = definition.file.iter().map(|entry| entry.name.under(&data)).collect();
    for entry in walkdir::WalkDir::new(&data).min_depth(1).max_depth(2) {
        let entry = entry.with_context(|| format!("failed to list {}", shown(&data)))?;
        let is_class = entry.depth() == 1 && entry.file_type().is_dir();
        if !is_class && !ours.contains(entry.path()) {
            return Ok(Some(entry.into_path()));
        }
    }
    Ok(None)
}

fn make_dataset(root: &Path, definition: &Definition, cancelled: &AtomicBool) -> Result<()> {
    let missing: Vec<&Entry> = definition.file.iter().filter(|entry| !entry.name.under(root).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    errln!("making {} videos in {}", missing.len(), shown(root));
    // Complete videos are moved into the dataset, so that an interrupted demo leaves no half video.
    let beside = root.parent().unwrap_or(root);
    let made = TemporaryFolder::create(beside, &Owner::this_process());
    let made = made.with_context(|| format!("failed to create a folder in {}", shown(beside)))?;
    let workshop = made.path();
    let path_in = |folder: &Path, entry: &Entry| entry.name.under(folder);
    let jobs: Vec<serde_json::Value> = missing
        .iter()
        .filter(|entry| !entry.empty)
        .map(|entry| serde_json::json!({ "file": path_in(workshop, entry), "video": entry.video, "otherwise": entry.otherwise }))
        .collect();
    discovery::synthesize(&discovery::probe()?, &jobs, cancelled)?;
    for entry in missing {
        let (made, place) = (path_in(workshop, entry), path_in(root, entry));
        for folder in [made.parent(), place.parent()].into_iter().flatten() {
            fs::create_dir_all(folder).with_context(|| format!("failed to create {}", shown(folder)))?;
        }
        damage(&made, entry).with_context(|| format!("failed to write {}", shown(&made)))?;
        fs::rename(&made, &place).with_context(|| format!("failed to write {}", shown(&place)))?;
    }
    Ok(())
}

fn damage(path: &Path, entry: &Entry) -> std::io::Result<()> {
    if entry.empty {
        fs::write(path, b"")?;
    }
    if let Some(share) = entry.keep {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len((file.metadata()?.len() as f64 * share) as u64)?;
    }
    Ok(())
}

fn check(dir: &Path, definition: &Definition) -> Result<()> {
    let recipe = Recipe::find(&Config::default().recipe)?;
    let layout = Layout::new(&dir.join("out"), &recipe.set_name(SEEDED_WEIGHTS));
    let mut differences = vec![];
    for (folder, ending, healthy) in [(layout.features(), "safetensors", true), (layout.failures(), "json", false)] {
        let entries = definition.file.iter().filter(|entry| entry.is_healthy() == healthy);
        let expected: BTreeSet<String> = entries.map(|entry| format!("{}.{ending}", entry.name)).collect();
        let found = files(&folder)?;
        differences
            .extend(expected.difference(&found).map(|name| format!("{} is missing", folder.join(name).display())));
        differences
            .extend(found.difference(&expected).map(|name| format!("{} should not be", folder.join(name).display())));
    }
    for name in ["result.pkl", "hacs_data.txt"] {
        let path = layout.exports().join(name);
        if !fs::metadata(&path).is_ok_and(|m| m.len() > 0) {
            differences.push(format!("{} is missing", path.display()));
        }
    }
    if !differences.is_empty() {
        bail!("the result of the demo is wrong: {}", differences.join("; "));
    }
    Ok(())
}

/// The files two levels down, as `Class/file`.
fn files(folder: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(folder).min_depth(2).max_depth(2) {
        let entry = entry.with_context(|| format!("failed to list {}", shown(folder)))?;
        let relative = entry.path().strip_prefix(folder)?;
        found.insert(relative.to_string_lossy().into_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_does_not_write_into_an_existing_folder() {
        let definition: Definition = toml::from_str(DEFINITION).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let not_ours = || not_ours(dir.path(), &definition).unwrap();
        assert_eq!(not_ours(), None);
        let write = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let config = write("config.toml");
        assert_eq!(not_ours(), Some(config.clone()));
        // An empty folder of the user beside it.
        fs::create_dir(dir.path().join("data")).unwrap();
        assert_eq!(not_ours(), Some(config.clone()));
        fs::remove_file(&config).unwrap();
        std::os::unix::fs::symlink("/nonexistent", &config).unwrap();
        assert_eq!(not_ours(), Some(config.clone()), "a link to a file that is missing");
        fs::remove_file(&config).unwrap();
        fs::write(&config, format!("{MARK}\nroot = \"data\"\n")).unwrap();
        write("data/Archery/v_9CTDjFHldemo.mp4");
        assert_eq!(not_ours(), None, "a demo that was interrupted");
        for theirs in ["data/Archery/v_mine.mp4", "data/v_mine.mp4", "data/train/Archery/v_mine.mp4"] {
            let path = write(theirs);
            assert!(not_ours().is_some_and(|found| path.starts_with(found)), "{theirs}");
            fs::remove_file(path).unwrap();
            let _ = fs::remove_dir_all(dir.path().join("data/train"));
        }
        // A refused folder stays empty.
        let mine = write("data/Archery/v_mine.mp4");
        let error = run_demo(dir.path()).unwrap_err();
        assert!(error.to_string().contains("v_mine.mp4 is not a file of the demo"), "{error}");
        assert!(mine.exists() && fs::read_dir(dir.path().join("data/Archery")).unwrap().count() == 2);
    }
}
