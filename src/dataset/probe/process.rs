//! A `reeldeck-probe check` process, which examines one file at a time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Alive, Answer, Level, Line, Order};
use reeldeck_process::{Event, Process, Program};

use super::{ProbeError, Setup};

/// How often cancellation and the time limit are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How many times the state of a silent process is sampled, and the time between samples.
const STATE_SAMPLES: usize = 9;
const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

/// How long a dropped process may take to end. One that waits for a hanging disk cannot be killed.
const KILL_TIMEOUT: Duration = Duration::from_millis(200);

/// A running process. Dropping it ends the process.
pub(super) struct Prober {
    process: Process,
    events: Receiver<Event<Line>>,
    orders: u64,
}

/// The result of an order.
#[derive(Debug)]
pub(super) enum Reply {
    /// The answer.
    Answer(Answer),
    /// The process has ended or broke the protocol: how, as a predicate such as `exited with code 3`.
    Ended(String),
    /// Another process or the kernel has killed the process: how, as a predicate.
    Killed(String),
    /// The process sent no message within the time limit.
    Hung {
        /// It uses the CPU. Otherwise it waits for a disk or a network.
        busy: bool,
    },
    /// The caller cancelled the order.
    Cancelled,
}

impl Prober {
    /// Starts a process and checks that it answers; `None` when cancelled. Call it from a thread that lives as long as the
    /// process: the kernel ends the process with that thread.
    ///
    /// # Errors
    /// When the process cannot be started, does not answer or is killed. The files are not the cause.
    pub(super) fn start(setup: &Setup, cancel: &AtomicBool) -> Result<Option<Self>, ProbeError> {
        let arguments = vec!["check".into(), "--memory-mib".into(), setup.memory_mib.to_string().into()];
        let program = Program { arguments, ..Program::new(&setup.program) };
        let (process, events) = Process::start_with_channel(&program)
            .map_err(|source| ProbeError::Start { program: setup.program.clone(), source })?;
        let mut prober = Self { process, events, orders: 0 };
        // A folder is not a video, and the right program answers that.
        let how = match prober.ask(Path::new("/"), Level::Quick, &Limits::default(), setup.start, cancel) {
            Reply::Answer(_) => return Ok(Some(prober)),
            Reply::Cancelled => return Ok(None),
            Reply::Killed(how) => return Err(ProbeError::Killed { program: setup.program.clone(), how }),
            Reply::Ended(how) => format!("it {how}"),
            Reply::Hung { .. } => "it does not respond".into(),
        };
        Err(ProbeError::Broken { program: setup.program.clone(), how })
    }

    /// Examines a file. After any reply but an answer the process must be replaced.
    pub(super) fn ask(
        &mut self,
        path: &Path,
        level: Level,
        limits: &Limits,
        stall: Duration,
        cancel: &AtomicBool,
    ) -> Reply {
        self.orders += 1;
        let order = Order { id: self.orders, path: path.to_owned(), level, limits: *limits };
        if let Err(error) = self.process.send(&order) {
            return Reply::Ended(format!("cannot be given the path: {error}"));
        }
        let mut last = Instant::now();
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Reply::Cancelled;
            }
            match self.events.recv_timeout(POLL_INTERVAL.min(stall)) {
                Ok(Event::Message(Line::Answer(answer))) if answer.id == order.id => return Reply::Answer(answer),
                Ok(Event::Message(Line::Alive(Alive { alive }))) if alive == order.id => last = Instant::now(),
                Ok(Event::Message(other)) => return Reply::Ended(format!("sent an unexpected message: {other:?}")),
                Ok(Event::Stderr(_)) => {}
                Ok(Event::Exited(exit)) => {
                    if exit.is_from_outside() {
                        return Reply::Killed(exit.to_string());
                    }
                    let stderr = self.process.stderr().pop();
                    return Reply::Ended(stderr.map_or(exit.to_string(), |last| format!("{exit}: {last}")));
                }
                Err(RecvTimeoutError::Disconnected) => return Reply::Ended("has ended".into()),
                Err(RecvTimeoutError::Timeout) if last.elapsed() >= stall => {
                    return Reply::Hung { busy: self.is_busy() };
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether the process is running or ready to run. Otherwise it waits for something.
    fn is_busy(&self) -> bool {
        let is_running = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.pid())).ok()?;
            // The name in brackets may contain any character; the state comes after it.
            Some(stat.rsplit_once(") ")?.1.starts_with('R'))
        };
        let running = (0..STATE_SAMPLES).filter(|_| {
            std::thread::sleep(SAMPLE_INTERVAL);
            is_running().unwrap_or(false)
        });
        running.count() > STATE_SAMPLES / 2
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.process.kill();
        self.process.wait(KILL_TIMEOUT);
    }
}
