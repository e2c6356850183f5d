//! A worker process with its pipes, and small videos and recipes for it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::error::Failure;
use reeldeck_common::feature::CheckpointId;
use reeldeck_common::limits::Limits;
use reeldeck_common::protocol::{self, CheckpointSource, FoundGpu, FromWorker, Init, JobId, Report, ToWorker, VERSION};
use reeldeck_common::recipe::Recipe;
use reeldeck_common::video::VideoName;
use reeldeck_video::synth::{self, Synth};

/// Longer than any step takes, even on a busy machine. A worker that hangs fails its test.
const TIMEOUT: Duration = Duration::from_secs(120);

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_reeldeck-worker");

/// A file in tests/golden at the root of the repository.
pub fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(file)
}

/// A recipe so small that a video takes milliseconds: 4 clips of 8 frames, 64 × 64 pixels, 5 classes.
pub fn tiny_recipe() -> Recipe {
    sized_recipe(4, 64, 4)
}

/// The same with other numbers of clips, pixels a side, and channels.
pub fn sized_recipe(clips: usize, side: usize, channels: usize) -> Recipe {
    let text = std::fs::read_to_string(golden("small.toml")).unwrap();
    let set = |text: String, key: &str, value: usize| {
        let lines = text.lines().map(|line| match line.split_once(" = ") {
            Some((name, _)) if name == key => format!("{key} = {value}\n"),
            _ => format!("{line}\n"),
        });
        lines.collect()
    };
    let values = [("clips", clips), ("short_side", side), ("crop", side), ("base_channels", channels), ("classes", 5)];
    let text = values.into_iter().fold(text, |text, (key, value)| set(text, key, value));
    let mut recipe = Recipe::parse("small.toml", &text).unwrap();
    recipe.name = "tiny".into();
    recipe
}

pub fn init(recipe: Recipe) -> Init {
    let digest = reeldeck_common::versions::SEEDED_WEIGHTS;
    Init {
        version: VERSION,
        set: recipe.set_name(digest),
        recipe,
        checkpoint: CheckpointSource::Seeded,
        checkpoint_id: CheckpointId { name: "seeded".into(), digest: digest.into(), synthetic_weights: true },
        device: "cpu".into(),
        threads: 1,
        decoders: 2,
        prefetch_frames: 16,
        algorithms: None,
        nvdec: None,
        graphs: false,
        limits: Limits::default(),
        owner: Owner::this_process(),
    }
}

/// Creates an H.264 video with B-frames.
pub fn video(path: &Path, frames: u64, seed: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let options = [("bf".into(), "2".into()), ("g".into(), "30".into())].into();
    synth::write(path, &Synth { width: 96, height: 80, frames, seed, options, ..Synth::default() }).unwrap();
}

pub fn job(number: JobId, path: &Path, feature: &Path) -> ToWorker {
    let video = VideoName::new(&format!("Class/{}", path.file_name().unwrap().to_str().unwrap())).unwrap();
    ToWorker::Extract { job: number, video, path: path.to_owned(), feature: feature.to_owned(), batch: 2 }
}

/// All files below a folder. Fails if one of them is temporary.
pub fn complete_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            assert!(!atomic::is_temporary(path.file_name().unwrap().to_str().unwrap()), "left behind: {path:?}");
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

pub struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Vec<u8>>,
    stderr: Option<JoinHandle<String>>,
    /// Results of jobs that the test has not requested yet.
    results: BTreeMap<JobId, FromWorker>,
    pub warnings: Vec<String>,
    /// What the worker has reported about its GPU.
    pub gpu: Option<FoundGpu>,
}

/// A worker that has ended.
pub struct Ended {
    pub status: ExitStatus,
    /// The remaining messages, without progress.
    pub messages: Vec<FromWorker>,
    pub stderr: String,
}

impl Worker {
    /// Starts the program and sends nothing.
    pub fn spawn(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.envs(environment.iter().copied());
        Self::over(&mut command)
    }

    /// Starts the program by another command.
    pub fn over(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let (stdin, stdout, mut stderr) =
            (child.stdin.take(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n') {
                let _ = sender.send(line.unwrap());
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, stdin, lines, stderr: Some(stderr), results: BTreeMap::new(), warnings: vec![], gpu: None }
    }

    /// Starts the program and waits until its model is loaded.
    pub fn start(init: &Init) -> Self {
        let mut worker = Self::spawn(&[]);
        worker.send(&ToWorker::Init(Box::new(init.clone())));
        worker.expect_ready();
        worker
    }

    pub fn expect_ready(&mut self) {
        let message = self.next();
        assert!(matches!(message, Some(FromWorker::Ready { version: VERSION, .. })), "{message:?}");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn send(&mut self, message: &ToWorker) {
        self.send_bytes(protocol::line(message).unwrap().as_bytes());
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The next message that is neither progress nor a warning; `None` when the worker has closed its output. Fails on invalid messages.
    pub fn next(&mut self) -> Option<FromWorker> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let line = match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the worker sends nothing"),
            };
            let message = serde_json::from_slice(&line);
            match message.unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&line))) {
                FromWorker::Progress { .. } => {}
                FromWorker::Warning { text } => self.warnings.push(text),
                FromWorker::Gpu(gpu) => self.gpu = Some(gpu),
                message => return Some(message),
            }
        }
    }

    /// The result of a job. Jobs may end in any order.
    fn result(&mut self, number: JobId) -> FromWorker {
        loop {
            if let Some(message) = self.results.remove(&number) {
                return message;
            }
            match self.next() {
                Some(message @ (FromWorker::Done { job, .. } | FromWorker::Failed { job, .. })) => {
                    assert!(self.results.insert(job, message).is_none(), "{job} twice");
                }
                other => panic!("job {number} should have ended, but: {other:?}"),
            }
        }
    }

    pub fn expect_done(&mut self, number: JobId) -> Report {
        match self.result(number) {
            FromWorker::Done { report, .. } => report,
            other => panic!("job {number} should be done, but: {other:?}"),
        }
    }

    pub fn expect_failed(&mut self, number: JobId) -> Failure {
        match self.result(number) {
            FromWorker::Failed { failure, .. } => failure,
            other => panic!("job {number} should have failed, but: {other:?}"),
        }
    }

    /// Closes the worker's input.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Kills the process that was started.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for the end of a worker that is about to end.
    pub fn end(mut self) -> Ended {
        let results = std::mem::take(&mut self.results).into_values();
        let messages = results.chain(std::iter::from_fn(|| self.next())).collect();
        let deadline = Instant::now() + TIMEOUT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the worker does not end");
            std::thread::sleep(Duration::from_millis(2));
        };
        Ended { status, messages, stderr: self.stderr.take().unwrap().join().unwrap() }
    }

    /// Sends `Finish` and waits for a successful end.
    pub fn finish(mut self) -> Ended {
        self.send(&ToWorker::Finish);
        let ended = self.end();
        assert!(ended.status.success(), "{:?}: {}", ended.status, ended.stderr);
        ended
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It still runs only if the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
