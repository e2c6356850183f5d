//! A command, the folder that it runs in, and what must hold after a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::tracer::{Kind, Tracer};
use crate::fetch::server::{Server, serve};
use crate::support::checks::{healthy, store_check};
use crate::support::made::{Set, recipe};
use crate::support::{RECIPE, Ran, fake_worker};
use reeldeck::internals::dataset::VideoFile;
use reeldeck_common::atomic;
use reeldeck_common::probe::Verdict;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use reeldeck_pickle::results::read_results;
use rustix::io::Errno;

/// All scenes. `again`: there is an older result, which a new video has outdated. An export again also lacks a video that was
/// removed, and a run again finds the journal of an engine that was killed. `annotations`, `missing` and `scan` use the results of
/// earlier checks.
pub const SCENES: [&str; 11] = [
    "batch",
    "batch again",
    HEARTBEATS,
    "export",
    "export again",
    "annotations",
    "missing",
    "verify",
    "list",
    "scan",
    "fetch",
];
/// A run that is long enough for several heartbeats, with faults on the file of its engine only.
const HEARTBEATS: &str = "batch heartbeats";

const VIDEOS: [&str; 3] = ["A/v_1.mp4", "A/v_2.mp4", "B c/v_3.webm"];
/// The video that is added before a second run or export.
const NEW: &str = "A/v_0.mp4";
/// The journal of an engine that was killed while it worked on [`NEW`].
const UNFINISHED: &str = "00000002-20261123T040000Z-gone-1-e.jsonl";
const WEIGHTS: &[u8] = include_bytes!("../../../fuzz/seeds/checkpoint/stored");
/// Files of one annotation group.
const GROUPS: [&str; 2] = ["out/annotations/", "out/missing/"];

/// The content of a folder by path.
type Files = BTreeMap<String, Vec<u8>>;

pub struct Scene {
    pub name: &'static str,
    /// Holds the prepared folder, and the one in which commands run.
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    before: Files,
    after: Files,
    reference: Ran,
    _server: Option<Server>,
}

impl Scene {
    pub fn new(name: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut server = None;
        let mut arguments: Vec<String> = match name {
            "batch" | "batch again" | HEARTBEATS => vec!["--batch".into(), "--retry-failed".into()],
            "export" | "export again" => ["export", "--format", "pkl,csv,npy,npz,h5"].map(String::from).into(),
            other => vec![other.into()],
        };
        let run = dir.path().join("run");
        prepare(&run, name);
        if name == "fetch" {
            let started = Server::start(|_, request, stream| serve(request, stream, WEIGHTS, "\"1\""));
            arguments.extend(["--checkpoint".into(), started.url("weights.pth")]);
            server = Some(started);
        }
        if ["annotations", "missing", "scan"].contains(&name) {
            arguments.extend(["--manifest".into(), "m.json".into()]);
        }
        let mut scene = Self {
            name,
            arguments,
            before: Files::new(),
            after: Files::new(),
            reference: Ran { code: 0, stdout: String::new(), stderr: String::new() },
            dir,
            _server: server,
        };
        if name.ends_with("again") {
            let ran = scene.run();
            assert_eq!(ran.code, 0, "{ran:?}");
            add(&run, NEW, name == "export again");
        }
        match name {
            "export again" => fs::remove_file(run.join("data").join(VIDEOS[0])).unwrap(),
            "batch again" => fs::write(run.join("out/.reeldeck/runs").join(UNFINISHED), started(NEW)).unwrap(),
            _ => {}
        }
        if ["annotations", "missing"].contains(&name) {
            scene.run();
            manifest(&run, 60);
        }
        fs::rename(&run, scene.dir.path().join("prepared")).unwrap();
        scene.reset();
        scene.before = files(&run);
        scene.reference = scene.run();
        scene.after = files(&run);
        assert!(scene.reference.code == 0 || scene.reference.code == 3, "{name}: {:?}", scene.reference);
        scene
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// The folder in which calls fail.
    fn attacked(&self) -> PathBuf {
        match self.name {
            HEARTBEATS => self.path().join("out/.reeldeck/engines"),
            _ => self.path(),
        }
    }

    /// Restores the prepared folder, at the same path: some results contain it.
    fn reset(&self) {
        let run = self.path();
        if run.exists() {
            fs::remove_dir_all(&run).unwrap();
        }
        // With the times of the files, which features and exports record.
        let copied = Command::new("cp").arg("-a").arg(self.dir.path().join("prepared")).arg(&run).status().unwrap();
        assert!(copied.success());
    }

    fn command(&self) -> Command {
        let run = self.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command.current_dir(&run).args(&self.arguments).stdin(Stdio::null());
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.env("REELDECK_WORKER", fake_worker()).env("HOME", &run).env_remove("XDG_CACHE_HOME");
        command.env("XDG_RUNTIME_DIR", self.dir.path());
        command
    }

    fn run(&self) -> Ran {
        Ran::to_the_end(&mut self.command())
    }

    /// The number of calls of a kind.
    pub fn count(&self, tracer: &Tracer, kind: &Kind) -> u64 {
        self.reset();
        tracer.run(kind, 0, Errno::IO, &self.attacked(), &self.command()).1
    }

    /// Injects one fault. Returns whether the exit code reports it.
    ///
    /// # Errors
    /// What is wrong after it.
    pub fn inject(&self, tracer: &Tracer, kind: &Kind, at: u64, errno: Errno) -> Result<bool, String> {
        self.reset();
        let (ran, _, failed) = tracer.run(kind, at, errno, &self.attacked(), &self.command());
        let said = format!("on {failed}; exit code {}, {}{}", ran.code, ran.stdout, ran.stderr);
        let now = files(&self.path());
        let is_equal_to_reference = ran.code == self.reference.code && self.is_complete(&now);
        self.judge(&ran, &now).map_err(|problem| format!("{problem} {said}"))?;
        // A file that ends early is a damaged one.
        if kind.name != "eof" {
            self.judge_memory(&ran, &failed).map_err(|problem| format!("{problem} {said}"))?;
        }
        let second = self.run();
        let then = files(&self.path());
        if second.code != self.reference.code {
            return Err(format!("the second run ends with {second:?} {said}"));
        }
        if let Some(name) = difference(&then, &self.after) {
            return Err(format!("{name} differs after a second run {said}"));
        }
        if let Some(left) = temporary(&self.path()) {
            return Err(format!("{left} is left after a second run {said}"));
        }
        Ok(!is_equal_to_reference)
    }

    fn is_complete(&self, now: &Files) -> bool {
        difference(now, &self.after).is_none()
    }

    /// What must hold right after a fault.
    fn judge(&self, ran: &Ran, now: &Files) -> Result<(), String> {
        // The standard library cannot start a thread without memory for its signal stack, and has no error for it.
        let is_inevitable =
            |line: &str| line.contains("fake_worker") || line.contains("sys/pal/unix/stack_overflow.rs");
        if ran.stderr.lines().any(|line| line.contains("panicked at") && !is_inevitable(line)) {
            return Err("it panicked".into());
        }
        for (name, bytes) in now.iter().filter(|(name, _)| name.starts_with("out/") && name.ends_with(".json")) {
            serde_json::from_slice::<serde_json::Value>(bytes).map_err(|error| format!("{name}: {error}"))?;
        }
        let is_reference = ran.code == self.reference.code;
        // With code 3, some results name what is missing, so they differ from those of a whole run.
        let names_missing = self.reference.code == 3 && is_reference && ran.stdout != self.reference.stdout;
        if is_reference && !names_missing && !self.is_complete(now) {
            let name = difference(now, &self.after).unwrap_or_default();
            return Err(format!("the exit code reports nothing, and {name} is not as it should be"));
        }
        if ran.code == 0 && ran.stdout != self.reference.stdout && matches!(self.name, "scan" | "verify" | "list") {
            return Err("the exit code reports nothing, and it prints something else".into());
        }
        for (name, bytes) in now {
            let is = |files: &Files| files.get(name) == Some(bytes);
            if !is(&self.before) && !is(&self.after) && !self.may_differ(name) {
                return Err(format!("{name} is wrong"));
            }
        }
        for group in GROUPS {
            let of_group =
                |files: &Files| files.range(group.to_owned()..).take_while(|(n, _)| n.starts_with(group)).count();
            let own: Vec<_> = now.iter().filter(|(name, _)| name.starts_with(group)).collect();
            let old = own
                .iter()
                .filter(|(name, bytes)| self.before.get(*name) == Some(bytes) && self.after.get(*name) != Some(bytes));
            let old = old.count();
            if old > 0 && own.len() == of_group(&self.after) && old < self.outdated(group) {
                return Err(format!("old and new files are mixed in {group}"));
            }
        }
        pair(now)?;
        described(now)
    }

    /// What an earlier command has found must not be forgotten in silence because its file cannot be read.
    fn judge_memory(&self, ran: &Ran, failed: &str) -> Result<(), String> {
        let is_silent = ran.code == self.reference.code && ran.stdout != self.reference.stdout;
        if is_silent && failed.ends_with("/probe-cache") {
            return Err("the results of earlier checks are forgotten".into());
        }
        if self.name == "batch again" && ran_among_others(&self.path(), NEW) {
            return Err(format!("{NEW}, which may have ended an engine, did not run alone"));
        }
        Ok(())
    }

    /// The number of files of a group that a run replaces by other ones.
    fn outdated(&self, group: &str) -> usize {
        let all = self.before.iter().filter(|(name, _)| name.starts_with(group));
        all.filter(|(name, bytes)| self.after.get(*name) != Some(bytes)).count()
    }

    /// Files that differ rightly when something is missing: they say so. What they say is checked elsewhere.
    fn may_differ(&self, name: &str) -> bool {
        let file = name.rsplit('/').next().unwrap_or_default();
        let describes = ["dataset.json", "missing.txt", "result.pkl", "features.hdf5", "findings.tsv", "retry.txt"];
        describes.contains(&file)
            || file.contains(".part")
            || file == "hacs_data.txt" && name.contains("exports")
            || name.contains("/annotations/")
            // It has the size of `findings.tsv`.
            || file == "complete.json" && name.contains("/verify/")
    }
}

/// A folder with a dataset, features, and a configuration.
fn prepare(run: &Path, name: &str) {
    fs::create_dir_all(run).unwrap();
    // The fake worker writes logits only.
    let text = if name.starts_with("batch") { RECIPE.to_owned() } else { recipe() };
    fs::write(run.join("tiny.toml"), text).unwrap();
    let live = if name.starts_with("batch") { "[export]\nlive = [\"csv\"]\n" } else { "" };
    let weights = if name == "fetch" { "" } else { "checkpoint = \"seeded\"\n" };
    let text = format!("recipe = \"./tiny.toml\"\n{weights}{live}[manifest]\nprefix = \"v_\"\n");
    fs::write(run.join("config.toml"), text).unwrap();
    manifest(run, 30);
    for video in VIDEOS {
        // The frames of the last video of the annotations come from its check.
        add(run, video, !name.starts_with("batch") && (name, video) != ("annotations", VIDEOS[2]));
    }
    if name == HEARTBEATS {
        fs::write(run.join("data").join(VIDEOS[0]), "slow 12000").unwrap();
    }
    if ["annotations", "missing", "scan"].contains(&name) {
        for (video, verdict) in [(VIDEOS[0], Verdict::Corrupt { reason: "it is cut".into() }), (VIDEOS[2], healthy())] {
            let stamp = SourceStamp::read(&run.join("data").join(video)).unwrap();
            let file = VideoFile { name: VideoName::new(video).unwrap(), stamp };
            store_check(&run.join("out/.reeldeck/probe-cache"), &file, verdict);
        }
    }
}

/// The journal of an engine that was killed while this video was in progress.
fn started(video: &str) -> String {
    let event = format!(r#""event":"video-assigned","video":"{video}","worker":0,"device":"cpu","alone":false"#);
    format!("{{\"schema\":2,\"time\":\"2026-11-23T04:00:00Z\",{event}}}\n")
}

/// Whether a run has handed out this video together with others.
fn ran_among_others(run: &Path, video: &str) -> bool {
    let journals =
        fs::read_dir(run.join("out/.reeldeck/runs")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let own = journals.filter(|path| !path.ends_with(UNFINISHED));
    let text: String = own.map(|path| fs::read_to_string(path).unwrap()).collect();
    text.lines().filter(|line| line.contains("\"video-assigned\"") && line.contains(video)).any(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["alone"] == false
    })
}

/// Adds a video, with its feature.
fn add(run: &Path, video: &str, with_feature: bool) {
    let set = Set::in_folder(run);
    set.video(video);
    if with_feature {
        set.layout.prepare().unwrap();
        set.feature(video, |_| {});
    }
}

/// A manifest in which all videos last `seconds`, and one is missing.
fn manifest(run: &Path, seconds: u32) {
    let entry =
        |id: &str| format!("\"{id}\": {{\"duration\": {seconds}.0, \"subset\": \"training\", \"annotations\": []}}");
    let missing = format!("gone_{seconds}");
    let entries: Vec<String> = ["1", "2", "3", &missing].map(entry).into();
    fs::write(run.join("m.json"), format!("{{\"database\": {{{}}}}}", entries.join(", "))).unwrap();
}

/// The results in a folder: everything but hidden files and failure files.
fn files(run: &Path) -> Files {
    let mut files = Files::new();
    for entry in walkdir::WalkDir::new(run).into_iter().filter_entry(|entry| {
        let name = entry.file_name().to_string_lossy();
        name == ".cache" || !name.starts_with('.') && name != "failures"
    }) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(run).unwrap().to_string_lossy().into_owned();
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// The first file in which two folders differ.
fn difference(one: &Files, other: &Files) -> Option<String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    names.into_iter().find(|name| one.get(*name) != other.get(*name)).cloned()
}

/// A temporary file, except those of an engine's folder.
fn temporary(run: &Path) -> Option<String> {
    let entries = walkdir::WalkDir::new(run).into_iter().map(Result::unwrap);
    let mut names = entries.map(|entry| entry.path().display().to_string());
    names.find(|path| atomic::is_temporary(path.rsplit('/').next().unwrap_or_default()))
}

/// Each `dataset.json` names only files that are there.
fn described(now: &Files) -> Result<(), String> {
    for (name, bytes) in now.iter().filter(|(name, _)| name.ends_with("/dataset.json")) {
        let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| format!("{name}: {error}"))?;
        let videos = json["videos"].as_array().into_iter().flatten();
        for file in videos.filter_map(|video| video["file"].as_str()) {
            if !now.contains_key(&name.replace("dataset.json", file)) {
                return Err(format!("{name} names {file}, which is not there"));
            }
        }
    }
    Ok(())
}

/// A pickle and a list that are there together belong together.
fn pair(now: &Files) -> Result<(), String> {
    for (name, bytes) in now.iter().filter(|(name, _)| name.ends_with("/result.pkl")) {
        let results = read_results(bytes).map_err(|error| format!("{name} cannot be read: {error}"))?;
        if let Some(list) = now.get(&name.replace("result.pkl", "hacs_data.txt")) {
            let lines = String::from_utf8_lossy(list).lines().count();
            if lines != results.len() {
                return Err(format!("{name} has {} videos, and the list has {lines}", results.len()));
            }
        }
    }
    Ok(())
}
