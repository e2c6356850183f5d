//! Extracts a few videos anew, by a worker of its own, and sets the result against what is stored.
//!
//! A small client of the worker's protocol that does one thing after the other: nothing here may touch the features, the
//! failures or the journal of a run.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::Feature;
use reeldeck_common::protocol::{self, FromWorker, Init, JobId, MAX_LINE, ToWorker, VERSION};
use reeldeck_common::recipe::Recipe;
use reeldeck_common::video::VideoName;

use super::check::text_of;
use super::compare::{Tolerance, compare};
use super::{Compared, Finding, Kind};
use crate::export::Watch;

/// Lines of standard error that are kept to explain an end.
const STDERR_LINES: usize = 5;
/// How often it is looked whether the user wants to stop.
const TICK: Duration = Duration::from_millis(200);

/// What is needed to extract.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The worker's program.
    pub program: PathBuf,
    /// Set for the process, over its inherited environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The first message.
    pub init: Init,
    /// Clips a forward pass.
    pub batch: usize,
    /// Longest time without a sign of life.
    pub stall: Duration,
    /// A folder of its own to extract into; it is made, and removed at the end.
    pub folder: PathBuf,
}

/// What became of extracting anew.
#[derive(Debug)]
pub enum Anew {
    /// It was compared; a finding where it is not the same.
    Compared(Compared, Option<Finding>),
    /// There is nothing to compare.
    Failed(Finding),
}

/// A worker that extracts one video at a time into a folder of its own.
#[derive(Debug)]
pub struct Extractor {
    setup: Setup,
    worker: Option<Worker>,
    jobs: JobId,
}

impl Extractor {
    /// Makes the folder. The worker is started with the first video.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(setup: Setup) -> io::Result<Self> {
        fs::create_dir_all(&setup.folder)?;
        Ok(Self { setup, worker: None, jobs: 0 })
    }

    /// Extracts a video and sets it against its stored feature. A worker that fails is replaced for the next one.
    ///
    /// # Errors
    /// Where no worker can work at all, or the user wants to stop: nothing was learned about this video.
    pub fn compare(
        &mut self,
        video: &VideoName,
        source: &Path,
        stored: &Path,
        recipe: &Recipe,
        tolerance: Tolerance,
        watch: &dyn Watch,
    ) -> Result<Anew, Failure> {
        let finding = |text: String| Finding { video: video.clone(), kind: Kind::Again, text };
        let path = self.setup.folder.join(video.class()).join(format!("{}.safetensors", video.file()));
        let extracted = match self.extract(video, source, &path, watch)? {
            Ok(()) => Feature::read(&path).map_err(|error| text_of(&error)),
            Err(failure) => Err(failure.line()),
        };
        // One at a time: the folder holds no more than one feature.
        let _ = fs::remove_file(&path);
        let (anew, stored) = match (extracted, Feature::read(stored)) {
            (Ok(anew), Ok(stored)) => (anew, stored),
            (Err(why), _) => return Ok(Anew::Failed(finding(format!("it cannot be extracted anew: {why}")))),
            (_, Err(error)) => return Ok(Anew::Failed(finding(text_of(&error)))),
        };
        let mut worst: Option<Compared> = None;
        let mut wrong = None;
        for output in &recipe.outputs {
            let name = output.name();
            let (Some(own), Some(new)) = (stored.tensors.get(name), anew.tensors.get(name)) else {
                return Ok(Anew::Failed(finding(format!("there are no {name} to compare"))));
            };
            let difference = match compare(own, new) {
                Ok(difference) => difference,
                Err(why) => return Ok(Anew::Failed(finding(format!("its {name} cannot be compared: {why}")))),
            };
            if !tolerance.allows(&difference) {
                wrong.get_or_insert_with(|| finding(format!("extracted anew, its {name} are others: {difference}")));
            }
            if worst.as_ref().is_none_or(|worst| difference.max_abs > worst.difference.max_abs) {
                worst = Some(Compared { video: video.clone(), difference });
            }
        }
        let nothing = || Anew::Failed(finding("the recipe stores nothing".into()));
        Ok(worst.map_or_else(nothing, |compared| Anew::Compared(compared, wrong)))
    }

    /// The outer error ends everything, the inner one is this video's.
    fn extract(
        &mut self,
        video: &VideoName,
        source: &Path,
        feature: &Path,
        watch: &dyn Watch,
    ) -> Result<Result<(), Failure>, Failure> {
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(&self.setup, watch)?,
        };
        self.jobs += 1;
        let job = self.jobs;
        let order = ToWorker::Extract {
            job,
            video: video.clone(),
            path: source.to_owned(),
            feature: feature.to_owned(),
            batch: self.setup.batch,
        };
        let deadline = Instant::now() + Duration::from_secs(self.setup.init.limits.wall_s);
        // A worker that does not take it any more has ended, and that is heard below.
        let _ = worker.send(&order);
        loop {
            match worker.hear(self.setup.stall, deadline, watch)? {
                Ok(FromWorker::Done { job: done, .. }) if done == job => break,
                Ok(FromWorker::Failed { job: failed, failure, .. }) if failed == job => {
                    self.worker = Some(worker);
                    return Ok(Err(failure));
                }
                Ok(FromWorker::Fatal { failure }) => return Err(failure),
                Ok(_) => {}
                // The worker goes with it, and the next video gets another one.
                Err(failure) => return Ok(Err(failure)),
            }
        }
        self.worker = Some(worker);
        Ok(Ok(()))
    }
}

impl Drop for Extractor {
    fn drop(&mut self) {
        // First the worker, then what it may still be writing to.
        self.worker = None;
        let _ = fs::remove_dir_all(&self.setup.folder);
    }
}

/// A worker process. Dropping it ends the process.
#[derive(Debug)]
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<Result<FromWorker, String>>,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

impl Worker {
    /// Starts it and waits until its model is loaded.
    fn start(setup: &Setup, watch: &dyn Watch) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(ErrorKind::Device, format!("failed to start {}: {error}", setup.program.display()))
        };
        let mut child = Command::new(&setup.program)
            .envs(setup.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group: Ctrl-C at the terminal is for us to interpret.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (say, said) = sync_channel(64);
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || listen(stdout, &say));
        }
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(pipe) = child.stderr.take() {
            let lines = Arc::clone(&stderr);
            thread::spawn(move || keep_last(pipe, &lines));
        }
        let input = child.stdin.take();
        let mut worker = Self { child, input, said, stderr };
        worker.send(&ToWorker::Init(Box::new(setup.init.clone()))).map_err(failed)?;
        let deadline = Instant::now() + setup.stall;
        match worker.hear(setup.stall, deadline, watch)?? {
            FromWorker::Ready { version, .. } if version == VERSION => Ok(worker),
            FromWorker::Ready { version, .. } => Err(Failure::new(
                ErrorKind::Device,
                format!(
                    "the worker speaks version {version} of the protocol, not {VERSION}; build all programs together"
                ),
            )),
            FromWorker::Fatal { failure } => Err(failure),
            other => Err(Failure::new(ErrorKind::Internal, format!("the worker began with {other:?}"))),
        }
    }

    fn send(&mut self, message: &ToWorker) -> io::Result<()> {
        let line = protocol::line(message)?;
        self.input.as_mut().map_or(Ok(()), |input| input.write_all(line.as_bytes()).and_then(|()| input.flush()))
    }

    /// The next message. The outer error is the user's wish to stop, the inner one the end of this worker.
    fn hear(
        &mut self,
        stall: Duration,
        deadline: Instant,
        watch: &dyn Watch,
    ) -> Result<Result<FromWorker, Failure>, Failure> {
        let quiet = Instant::now() + stall;
        loop {
            let ended = match self.said.recv_timeout(TICK) {
                Ok(Ok(message)) => return Ok(Ok(message)),
                Ok(Err(why)) => Failure::new(ErrorKind::WorkerCrashed, why),
                Err(RecvTimeoutError::Disconnected) => Failure::new(ErrorKind::WorkerCrashed, self.end()),
                Err(RecvTimeoutError::Timeout) if watch.is_interrupted() => {
                    return Err(Failure::new(ErrorKind::Interrupted, "interrupted; run the same command again"));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= quiet => {
                    Failure::new(ErrorKind::WorkerHung, format!("no sign of life for {} s", stall.as_secs()))
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    Failure::new(ErrorKind::Limit, "it took longer than `wall_s` in [limits] allows")
                }
                Err(RecvTimeoutError::Timeout) => continue,
            };
            return Ok(Err(self.explained(ended)));
        }
    }

    /// How it ended, once it has closed its output. What does not leave is ended when this value goes.
    fn end(&mut self) -> String {
        for _ in 0..40 {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("the worker ended ({status})"),
                Ok(None) => thread::sleep(Duration::from_millis(50)),
                Err(error) => return format!("the worker closed its output and cannot be waited for ({error})"),
            }
        }
        "the worker closed its output and stayed".into()
    }

    /// With the last lines of its standard error, which mostly say why.
    fn explained(&self, mut failure: Failure) -> Failure {
        // They come by another pipe, and may be a moment late.
        thread::sleep(Duration::from_millis(50));
        let lines = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        failure.chain.extend(lines.iter().cloned());
        failure
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        // The whole group, with whatever it may have started.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stdout: impl Read, say: &SyncSender<Result<FromWorker, String>>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = vec![];
        match (&mut reader).take(MAX_LINE as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let message = serde_json::from_slice(&line).map_err(|error| format!("it said what no worker says ({error})"));
        let is_over = message.is_err();
        if say.send(message).is_err() || is_over {
            return;
        }
    }
}

fn keep_last(pipe: impl Read, lines: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(pipe);
    let mut line = vec![];
    while let Ok(1..) = (&mut reader).take(1 << 16).read_until(b'\n', &mut line) {
        let text: String = String::from_utf8_lossy(&line).trim_end().chars().take(400).collect();
        line.clear();
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}
