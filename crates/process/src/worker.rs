//! A worker process that extracts videos one at a time while the caller waits: for verification, tuning and benchmarks.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::{FromWorker, Init, JobId, Report, ToWorker, VERSION};
use reeldeck_common::video::VideoName;

use crate::process::{Event, Process, Program};

/// How often [`WaitLimits::is_cancelled`] is called, and the limits are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How many of the last lines of standard error explain a failure.
const STDERR_LINES: usize = 5;

/// How long a dropped worker may take to end. One that waits for a hanging disk cannot be killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// A worker process. Dropping it ends the process.
#[derive(Debug)]
pub struct Worker {
    process: Process,
    events: Receiver<Event<FromWorker>>,
    is_ready: bool,
    jobs: JobId,
}

/// How long to wait for a worker.
#[derive(Clone, Copy)]
pub struct WaitLimits<'a> {
    /// The longest time without a message.
    pub stall: Duration,
    /// The longest time altogether.
    pub total: Duration,
    /// Whether the caller has cancelled.
    pub is_cancelled: &'a dyn Fn() -> bool,
}

impl WaitLimits<'_> {
    /// Waits as long as the worker runs.
    pub const UNLIMITED: Self = Self { stall: Duration::MAX, total: Duration::MAX, is_cancelled: &|| false };
}

/// Why a worker has no result.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// [`WaitLimits::is_cancelled`] returned true.
    #[error("cancelled")]
    Cancelled,
    /// No worker can do this work, for example because the device is missing.
    #[error("{}", .0.line())]
    Fatal(Failure),
    /// This video has no feature. The worker can extract others.
    #[error("{}", .0.line())]
    Failed(Failure),
    /// The worker crashed, hung, or broke the protocol; the cause includes the last lines of its standard error. It must be
    /// replaced.
    #[error("{}", .0.line())]
    Lost(Failure),
}

impl Worker {
    /// Starts a worker, which begins to load its model.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Program, init: Init) -> io::Result<Self> {
        let (process, events) = Process::start_with_channel(program)?;
        process.send(&ToWorker::Init(Box::new(init)))?;
        Ok(Self { process, events, is_ready: false, jobs: 0 })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until the model is loaded.
    ///
    /// # Errors
    /// When that fails or takes too long; never [`WorkerError::Failed`].
    pub fn wait_ready(&mut self, patience: &WaitLimits<'_>) -> Result<(), WorkerError> {
        let started = Instant::now();
        while !self.is_ready {
            let message = self.receive(started, patience)?;
            if !self.take_ready(&message)? {
                return Err(unexpected(&message));
            }
        }
        Ok(())
    }

    /// Gives the worker a video, to be waited for with [`finish`](Self::finish): the file at `source` into the feature file
    /// `feature`, with `batch` clips a forward pass.
    ///
    /// # Errors
    /// When a path is not UTF-8.
    pub fn begin(&mut self, video: &VideoName, source: &Path, feature: &Path, batch: usize) -> io::Result<()> {
        self.jobs += 1;
        let (path, feature) = (source.to_owned(), feature.to_owned());
        self.process.send(&ToWorker::Extract { job: self.jobs, video: video.clone(), path, feature, batch })
    }

    /// Waits for the feature of the video that was given last.
    ///
    /// # Errors
    /// When there is no feature, or it takes too long.
    pub fn finish(&mut self, patience: &WaitLimits<'_>) -> Result<Report, WorkerError> {
        let started = Instant::now();
        loop {
            let message = self.receive(started, patience)?;
            match message {
                FromWorker::Done { job, report } if job == self.jobs => return Ok(report),
                FromWorker::Failed { job, failure, .. } if job == self.jobs => {
                    return Err(WorkerError::Failed(failure));
                }
                FromWorker::Progress { .. } => {}
                other if self.take_ready(&other)? => {}
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Whether the message is the one that the model is loaded.
    fn take_ready(&mut self, message: &FromWorker) -> Result<bool, WorkerError> {
        match message {
            FromWorker::Ready { version, .. } if *version != VERSION => {
                let text = format!(
                    "the worker speaks version {version} of the protocol, not {VERSION}; build all programs together"
                );
                Err(WorkerError::Fatal(Failure::new(ErrorKind::Device, text)))
            }
            FromWorker::Ready { .. } => {
                self.is_ready = true;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The next message.
    fn receive(&mut self, started: Instant, patience: &WaitLimits<'_>) -> Result<FromWorker, WorkerError> {
        let WaitLimits { stall, total, is_cancelled } = *patience;
        let last = Instant::now();
        loop {
            // Before each message: a fast worker always has one.
            if is_cancelled() {
                return Err(WorkerError::Cancelled);
            }
            let lost = match self.events.recv_timeout(POLL_INTERVAL) {
                Ok(Event::Message(FromWorker::Fatal { failure })) => return Err(WorkerError::Fatal(failure)),
                Ok(Event::Message(FromWorker::Warning { .. } | FromWorker::Gpu(_)) | Event::Stderr(_)) => continue,
                Ok(Event::Message(message)) => return Ok(message),
                Ok(Event::Exited(exit)) => Failure::new(ErrorKind::WorkerCrashed, format!("the worker {exit}")),
                Err(RecvTimeoutError::Disconnected) => Failure::new(ErrorKind::WorkerCrashed, "the worker has ended"),
                Err(RecvTimeoutError::Timeout) if last.elapsed() >= stall => {
                    Failure::new(ErrorKind::WorkerHung, format!("no message for {} s", stall.as_secs()))
                }
                Err(RecvTimeoutError::Timeout) if started.elapsed() >= total => {
                    Failure::new(ErrorKind::Limit, "it took longer than `wall_s` in [limits] allows")
                }
                Err(RecvTimeoutError::Timeout) => continue,
            };
            return Err(WorkerError::Lost(self.explain(lost)));
        }
    }

    /// Adds the last lines of standard error, which often name the cause.
    fn explain(&self, mut failure: Failure) -> Failure {
        let lines = self.process.stderr();
        failure.chain.extend(lines.into_iter().rev().take(STDERR_LINES).rev());
        failure
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The caller removes the folder that the process writes to.
        self.process.kill();
        self.process.wait(KILL_TIMEOUT);
    }
}

fn unexpected(message: &FromWorker) -> WorkerError {
    let text = format!("the worker sent an unexpected message: {message:?}");
    WorkerError::Lost(Failure::new(ErrorKind::Internal, text))
}

#[cfg(test)]
mod tests {
    use std::slice;

    use reeldeck_common::feature::CheckpointId;
    use reeldeck_common::protocol::{CheckpointSource, line};
    use reeldeck_common::recipe::Recipe;

    use super::*;

    /// A worker that sends each group of messages after it has received a line.
    fn scripted(groups: &[&[FromWorker]]) -> Worker {
        let quoted = |message: &FromWorker| format!("echo '{}'\n", line(message).unwrap().trim_end());
        let steps = groups.iter().map(|group| format!("read line\n{}", group.iter().map(quoted).collect::<String>()));
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let init = Init::on_cpu(recipe, CheckpointSource::Seeded, CheckpointId::seeded(), 1);
        let arguments = vec!["-c".into(), steps.collect::<String>().into()];
        Worker::start(&Program { arguments, ..Program::new(Path::new("sh")) }, init).unwrap()
    }

    fn begin(worker: &mut Worker) {
        let video = VideoName::new("A/v.mp4").unwrap();
        worker.begin(&video, Path::new("v.mp4"), Path::new("v.safetensors"), 2).unwrap();
    }

    fn ready(version: u32) -> FromWorker {
        FromWorker::Ready { version, device: "sh".into(), load_ms: 0 }
    }

    #[test]
    fn extracts_one_video_after_another() {
        let done = |job, clips| FromWorker::Done { job, report: Report { clips, ..Report::default() } };
        let progress = FromWorker::Progress { job: 1, clips: 1, of: Some(2), frames: 9 };
        let failure = Failure::new(ErrorKind::Corrupt, "no frames");
        let failed = FromWorker::Failed { job: 2, failure: failure.clone(), source: None };
        let mut worker =
            scripted(&[&[ready(VERSION)], &[progress, done(1, 7)], &[failed], &[done(3, 1)], &[done(9, 1)], &[]]);
        worker.wait_ready(&WaitLimits::UNLIMITED).unwrap();
        begin(&mut worker);
        assert_eq!(worker.finish(&WaitLimits::UNLIMITED).unwrap().clips, 7);
        begin(&mut worker);
        let error = worker.finish(&WaitLimits::UNLIMITED).unwrap_err();
        assert!(matches!(&error, WorkerError::Failed(reported) if *reported == failure), "{error}");
        begin(&mut worker);
        assert_eq!(worker.finish(&WaitLimits::UNLIMITED).unwrap().clips, 1);
        begin(&mut worker);
        let error = worker.finish(&WaitLimits::UNLIMITED).unwrap_err();
        assert!(matches!(&error, WorkerError::Lost(failure) if failure.kind == ErrorKind::Internal), "{error}");
        begin(&mut worker);
        let error = worker.finish(&WaitLimits::UNLIMITED).unwrap_err();
        assert_eq!(error.to_string(), "the worker exited with code 0");
    }

    #[test]
    fn does_not_require_waiting_for_the_model() {
        let done = FromWorker::Done { job: 1, report: Report::default() };
        let mut worker = scripted(&[&[ready(VERSION)], slice::from_ref(&done)]);
        begin(&mut worker);
        worker.finish(&WaitLimits::UNLIMITED).unwrap();
    }

    #[test]
    fn a_worker_that_cannot_work_is_a_fatal_error() {
        let failure = Failure::new(ErrorKind::Device, "no such device");
        let fatal = FromWorker::Fatal { failure: failure.clone() };
        let error = scripted(&[&[fatal]]).wait_ready(&WaitLimits::UNLIMITED).unwrap_err();
        assert!(matches!(error, WorkerError::Fatal(reported) if reported == failure));
        let error = scripted(&[&[ready(VERSION + 1)]]).wait_ready(&WaitLimits::UNLIMITED).unwrap_err();
        assert!(matches!(&error, WorkerError::Fatal(_)) && error.to_string().contains("build all programs together"));
    }

    #[test]
    fn a_worker_that_always_has_a_message_is_cancelled() {
        let progress = FromWorker::Progress { job: 1, clips: 1, of: Some(2), frames: 9 };
        let mut worker = scripted(&[&[ready(VERSION)], &vec![progress; 99]]);
        worker.wait_ready(&WaitLimits::UNLIMITED).unwrap();
        begin(&mut worker);
        let asked = std::cell::Cell::new(0);
        let is_cancelled = || asked.replace(asked.get() + 1) == 9;
        let error = worker.finish(&WaitLimits { is_cancelled: &is_cancelled, ..WaitLimits::UNLIMITED }).unwrap_err();
        assert!(matches!(error, WorkerError::Cancelled), "{error}");
    }

    #[test]
    fn a_silent_worker_is_given_up() {
        let wait = |patience: &WaitLimits| scripted(&[&[], &[]]).wait_ready(patience).unwrap_err();
        let short = Duration::from_millis(1);
        let error = wait(&WaitLimits { stall: short, ..WaitLimits::UNLIMITED });
        assert!(matches!(&error, WorkerError::Lost(failure) if failure.kind == ErrorKind::WorkerHung), "{error}");
        let error = wait(&WaitLimits { total: short, ..WaitLimits::UNLIMITED });
        assert!(matches!(&error, WorkerError::Lost(failure) if failure.kind == ErrorKind::Limit), "{error}");
        let error = wait(&WaitLimits { is_cancelled: &|| true, ..WaitLimits::UNLIMITED });
        assert!(matches!(error, WorkerError::Cancelled), "{error}");
    }
}
