//! Stops of a run by signals and by the time limit of its job. A scheduler sends SIGTERM, often to each process of a job and
//! more than once, and SIGKILL some time later: the run finishes what it can in that time, and ends cleanly before it is over.

use std::time::{Duration, Instant};

use super::{Engine, Event, Incoming, Phase};
use crate::signals::StopSignal;
use crate::slurm::{self, Job, JobState, SlurmError};

/// The least time before the limit of a job at which a run stops.
const LEAST_NOTICE: Duration = Duration::from_secs(60);

/// What is known about the stop of this run by signals and by the limit of its job.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// The Slurm job of this engine.
    job: Option<Job>,
    /// The configured time between SIGTERM and SIGKILL.
    kill_wait: Option<Duration>,
    terminated: bool,
    /// When the run stops at once.
    abort_at: Option<Instant>,
    /// The limit of the job.
    limit: Option<Instant>,
    /// The time until the limit when it was first known.
    whole: Option<Duration>,
    /// Slurm is being asked for the limit.
    asking: bool,
    /// The longest time that a video has taken.
    longest: Duration,
    announced: Option<Announced>,
}

/// Why the job ends, if Slurm may run it again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announced {
    /// Its time runs out.
    Time,
    /// Another job preempts it.
    Preemption,
}

/// An answer of Slurm about the job.
pub(super) enum JobNews {
    /// Its state after a SIGTERM, which came at this time; and the time until SIGKILL.
    Ends(Instant, Result<JobState, SlurmError>, Duration),
    /// Its time limit, if it has one; `None` if Slurm does not answer.
    Limit(Option<Option<Instant>>),
}

/// Whether a job is queued again after a run.
#[derive(Debug)]
pub(crate) enum Requeue {
    /// No: neither the time nor another job has stopped the run, or the engines share a job.
    No,
    /// No: the time of the job did not suffice for one video.
    NoProgress,
    /// No: the time ran out while the last videos were in progress, and they are finished.
    Finished,
    /// Yes.
    Yes(Job),
}

impl Stops {
    pub(super) fn new(job: Option<Job>, kill_wait_s: u64) -> Self {
        let kill_wait = (kill_wait_s > 0).then(|| Duration::from_secs(kill_wait_s));
        Self { job, kill_wait, ..Self::default() }
    }

    /// Whether the run plans its stop after this signal. Then a repeated signal does not stop it at once, because `srun` passes
    /// SIGTERM on to processes that Slurm has signalled before.
    pub(super) fn plans_for(&self, signal: StopSignal) -> bool {
        match signal {
            StopSignal::Notice => true,
            StopSignal::Terminate => self.job.is_some() || self.kill_wait.is_some(),
            StopSignal::Interrupt => false,
        }
    }

    /// Notes how long a video has taken.
    pub(super) fn took(&mut self, time: Duration) {
        self.longest = self.longest.max(time);
    }

    /// Plans the stop for SIGKILL, which comes `after` the time `from`. The margin is for the end of workers and the last writes.
    fn killed(&mut self, from: Instant, after: Duration) {
        let margin = (after / 4).clamp(Duration::from_secs(1), Duration::from_secs(5));
        self.abort_at = Some(from + after.saturating_sub(margin));
    }

    /// Whether videos that begin now might not be finished before the limit: a worker holds up to two in a row.
    fn is_time_up(&self, now: Instant) -> bool {
        let (Some(limit), Some(whole)) = (self.limit, self.whole) else { return false };
        let notice = (self.longest * 2 + LEAST_NOTICE / 2).max(LEAST_NOTICE).min(whole / 2);
        limit.saturating_duration_since(now) <= notice
    }
}

impl Engine {
    /// Handles a signal that asks the run to stop.
    pub(super) fn signalled(&mut self, signal: StopSignal) {
        if signal == StopSignal::Terminate && !std::mem::replace(&mut self.stops.terminated, true) {
            self.expect_kill();
        }
        if self.state.phase != Phase::Running && self.stops.plans_for(signal) {
            return;
        }
        if signal == StopSignal::Notice {
            self.stops.announced = Some(Announced::Time);
        }
        self.handle(Event::Interrupt);
    }

    /// Finds out when SIGKILL will follow the SIGTERM that has arrived.
    fn expect_kill(&mut self) {
        let asked = Instant::now();
        if let Some(kill_wait) = self.stops.kill_wait {
            return self.stops.killed(asked, kill_wait);
        }
        let Some(job) = self.stops.job.clone() else { return };
        let sender = self.sender.clone();
        tokio::task::spawn_blocking(move || {
            let (kill_wait, state) = (slurm::kill_wait(), job.state());
            let _ = sender.send(Incoming::Job(JobNews::Ends(asked, state, kill_wait)));
        });
    }

    pub(super) fn take_job_news(&mut self, news: JobNews) {
        match news {
            JobNews::Ends(asked, state, kill_wait) => self.job_ends(asked, state, kill_wait),
            JobNews::Limit(limit) => self.set_limit(limit),
        }
    }

    fn job_ends(&mut self, asked: Instant, state: Result<JobState, SlurmError>, kill_wait: Duration) {
        let until_kill = match state {
            // The signal came before the limit: an announcement, or a preemption with a time of grace.
            Ok(JobState { runs: true, left }) => {
                self.stops.announced.get_or_insert(Announced::Preemption);
                left.map(|left| left + kill_wait)
            }
            // Slurm ends the job. It queues it again itself after a preemption, but not after the time limit.
            Ok(JobState { runs: false, .. }) => {
                let is_limit = self.stops.limit.is_some_and(|limit| limit <= asked);
                self.stops.announced = self.stops.announced.filter(|why| *why == Announced::Time && is_limit);
                Some(kill_wait)
            }
            Err(error) => {
                tracing::warn!("{error}; the run expects SIGKILL in {} s", kill_wait.as_secs());
                Some(kill_wait)
            }
        };
        if let Some(until_kill) = until_kill {
            self.stops.killed(asked, until_kill);
        }
    }

    /// Asks for the limit of the job.
    pub(super) fn ask_for_limit(&mut self) {
        let Some(job) = self.stops.job.clone() else { return };
        self.stops.asking = true;
        let (sender, is_first) = (self.sender.clone(), self.stops.whole.is_none());
        tokio::task::spawn_blocking(move || {
            // The variable has the limit at the start of the job, which an operator may have changed since.
            let left = if is_first { job.time_left() } else { job.state().map(|state| state.left) };
            let left = left.inspect_err(|error| tracing::warn!("the time limit of the job is unknown: {error}"));
            let limit = left.map(|left| left.map(|left| Instant::now() + left)).ok();
            let _ = sender.send(Incoming::Job(JobNews::Limit(limit)));
        });
    }

    fn set_limit(&mut self, limit: Option<Option<Instant>>) {
        self.stops.asking = false;
        let is_first = self.stops.whole.is_none();
        let now = Instant::now();
        if let Some(limit) = limit {
            self.stops.limit = limit;
        }
        if is_first {
            self.stops.whole = self.stops.limit.map(|limit| limit.saturating_duration_since(now));
        } else if self.stops.is_time_up(now) && self.state.phase == Phase::Running {
            tracing::info!("the time of the job runs out");
            self.stops.announced = Some(Announced::Time);
            self.handle(Event::Interrupt);
        }
    }

    /// Stops the run before its time is over.
    pub(super) fn stop_in_time(&mut self) {
        let now = Instant::now();
        if self.stops.abort_at.is_some_and(|at| at <= now) {
            self.stops.abort_at = None;
            self.handle(Event::Abort);
        }
        if self.state.phase == Phase::Running && !self.stops.asking && self.stops.is_time_up(now) {
            self.ask_for_limit();
        }
    }

    /// Whether the job of this engine is to be queued again, seen after the run.
    pub(crate) fn requeue(&self) -> Requeue {
        let Stops { job: Some(job), announced: Some(announced), .. } = &self.stops else { return Requeue::No };
        if self.state.counts().unfinished() == 0 {
            return Requeue::Finished;
        }
        if job.is_shared {
            return Requeue::No;
        }
        match announced {
            Announced::Time if self.done_before == self.done() => Requeue::NoProgress,
            _ => Requeue::Yes(job.clone()),
        }
    }
}
