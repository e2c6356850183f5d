//! Carries a run out: events come in from workers, signals and the clock, `update` decides, effects are done here.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reeldeck_contract::atomic::Owner;
use reeldeck_contract::error::{ErrorKind, Failure};
use reeldeck_contract::failure::{Attempt, FailureFile};
use reeldeck_contract::layout::Layout;
use reeldeck_contract::protocol::{FromWorker, Init, ToWorker, VERSION};
use reeldeck_contract::source::SourceStamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::state::{Effect, Event, Millis, News, State, VideoId, WorkerId};
use super::update::update;
use super::worker::{Heard, Launch, Process};

/// How often time passes for the state machine and the front end.
const TICK: Duration = Duration::from_millis(250);

/// Attempts kept in a failure file.
const ATTEMPTS_KEPT: usize = 20;

/// Everything about a run that does not change.
pub struct Plan {
    /// The dataset folder.
    pub root: PathBuf,
    /// Where everything is written.
    pub layout: Layout,
    /// Named in temporary files.
    pub owner: Owner,
    /// The first message to each worker.
    pub inits: Vec<Init>,
    /// Clips a forward pass, for each worker.
    pub batches: Vec<usize>,
    /// How each worker is started.
    pub launches: Vec<Launch>,
}

/// Follows a run.
pub trait Front {
    /// Something worth telling has happened.
    fn news(&mut self, state: &State, news: &News);
    /// A quarter of a second has passed.
    fn tick(&mut self, state: &State, now: Millis);
}

struct Engine<'p> {
    plan: &'p Plan,
    state: State,
    started: (Instant, Timestamp),
    processes: HashMap<WorkerId, Process>,
    heard: mpsc::UnboundedSender<(WorkerId, Heard)>,
}

/// Runs to the end, and returns the last state.
///
/// # Errors
/// When signals cannot be caught. Whatever happens to workers and videos is part of the state instead.
pub async fn run(plan: &Plan, state: State, front: &mut dyn Front) -> io::Result<State> {
    let (heard, mut said) = mpsc::unbounded_channel();
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    // Closing the terminal must not end the run.
    let mut hang_ups = signal(SignalKind::hangup())?;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let started = (Instant::now(), Timestamp::now());
    let mut engine = Engine { plan, state, started, processes: HashMap::new(), heard };
    engine.handle(Event::Begin, front);
    while !engine.state.is_over() {
        tokio::select! {
            biased;
            _ = interrupts.recv() => engine.handle(Event::Interrupt, front),
            _ = terminations.recv() => engine.handle(Event::Interrupt, front),
            _ = hang_ups.recv() => {}
            Some((worker, heard)) = said.recv() => {
                if let Some(event) = translate(worker, heard) {
                    engine.handle(event, front);
                }
            }
            _ = ticks.tick() => {
                engine.handle(Event::Tick, front);
                front.tick(&engine.state, engine.now());
            }
        }
    }
    Ok(engine.state)
}

fn translate(worker: WorkerId, heard: Heard) -> Option<Event> {
    Some(match heard {
        Heard::Gone(how) => Event::Gone(worker, how),
        Heard::Message(FromWorker::Ready { version, .. }) if version != VERSION => {
            let text =
                format!("the worker speaks protocol {version}, the engine {VERSION}: install both from one release");
            Event::Fatal(worker, Failure::new(ErrorKind::Internal, text))
        }
        Heard::Message(FromWorker::Ready { .. }) => Event::Ready(worker),
        Heard::Message(FromWorker::Fatal { failure }) => Event::Fatal(worker, failure),
        Heard::Message(FromWorker::Progress { job, clips }) => Event::Progress(worker, job, clips),
        Heard::Message(FromWorker::Done { job, report }) => Event::Done(worker, job, report),
        Heard::Message(FromWorker::Failed { job, failure, source }) => Event::Failed(worker, job, failure, source),
    })
}

impl Engine<'_> {
    fn now(&self) -> Millis {
        self.started.0.elapsed().as_millis() as Millis
    }

    /// Takes an event and everything that follows from it at once.
    fn handle(&mut self, event: Event, front: &mut dyn Front) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let now = self.now();
            for effect in update(&mut self.state, event, now) {
                if let Effect::Tell(news) = &effect {
                    front.news(&self.state, news);
                }
                events.extend(self.carry_out(effect));
            }
        }
    }

    /// Does what was decided; a new event where that fails.
    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Spawn(worker) => return self.spawn(worker),
            Effect::Extract(worker, job, video) => {
                let name = self.state.videos.get(video)?.name.clone();
                let (path, feature) = (name.under(&self.plan.root), self.plan.layout.feature(&name));
                self.processes.get(&worker)?.send(&ToWorker::Extract {
                    job,
                    video: name,
                    path,
                    feature,
                    batch: *self.plan.batches.get(worker)?,
                });
            }
            Effect::Finish(worker) => self.processes.get(&worker)?.send(&ToWorker::Finish),
            Effect::Kill(worker) => self.processes.get_mut(&worker)?.kill(),
            Effect::Record { video, worker, since, failure, source } => {
                return match self.record(video, worker, since, failure, source) {
                    Ok(()) => None,
                    Err(error) => Some(Event::CannotWrite(format!("failed to write a failure file: {error}"))),
                };
            }
            Effect::Forget(video) => {
                let path = self.plan.layout.failure(&self.state.videos.get(video)?.name);
                // A feature beats a failure file, so one that stays does no harm.
                let _ = std::fs::remove_file(path);
            }
            Effect::Tell(_) => {}
        }
        None
    }

    fn spawn(&mut self, worker: WorkerId) -> Option<Event> {
        let (launch, init) = (self.plan.launches.get(worker)?, self.plan.inits.get(worker)?);
        match Process::start(worker, launch, self.heard.clone()) {
            Ok(process) => {
                process.send(&ToWorker::Init(Box::new(init.clone())));
                self.processes.insert(worker, process);
                None
            }
            Err(error) => {
                let text = format!("failed to start {}: {error}", launch.program.display());
                Some(Event::Fatal(worker, Failure::new(ErrorKind::Device, text)))
            }
        }
    }

    fn record(
        &self,
        video: VideoId,
        worker: WorkerId,
        since: Millis,
        failure: Failure,
        source: Option<SourceStamp>,
    ) -> io::Result<()> {
        let Some(video) = self.state.videos.get(video) else { return Ok(()) };
        let path = self.plan.layout.failure(&video.name);
        let at = |ms: Millis| self.started.1 + SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
        // The worker cannot say what the file was like when it crashed.
        let source = source.or_else(|| SourceStamp::read(&video.name.under(&self.plan.root)).ok());
        // Attempts at another version of the file explain nothing, and a broken failure file is worth nothing.
        let earlier = FailureFile::read(&path).ok().flatten().filter(|file| file.source == source);
        let mut attempts = earlier.map(|file| file.attempts).unwrap_or_default();
        attempts.push(Attempt {
            started: at(since),
            ended: at(self.now()),
            device: self.state.workers.get(worker).map(|w| w.device.clone()).unwrap_or_default(),
            failure,
            stderr: self.processes.get(&worker).map(Process::stderr).unwrap_or_default(),
        });
        attempts.drain(..attempts.len().saturating_sub(ATTEMPTS_KEPT));
        FailureFile { video: video.name.clone(), source, attempts }.write(&path, &self.plan.owner)
    }
}
