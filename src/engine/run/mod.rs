//! Runs the engine: passes events of workers, clients, signals and the clock to `update`, and carries its effects out.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reeldeck_claims::Load;
use reeldeck_common::clock;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::{FromWorker, JobId, Report};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use reeldeck_process::Process;
use tokio::sync::mpsc;

use super::assess::StoredResult;
use super::background_tasks::{Cancel, Reply, TaskResult};
use super::claims::{ClaimsEvent, Wait};
use super::control::{ClientRequest, Request};
use super::dataset_folder::may_be_unread;
use super::event::{Event, ReadFailure};
use super::inspector::InspectRequest;
use super::journal_writer::{JournalEntry, JournalWriter};
use super::other_files::OtherFiles;
use super::output::OutputState;
use super::plan::Plan;
use super::publish::{self, RunObserver};
use super::rate::Rate;
use super::state::{Millis, Phase, State, Status, Video, VideoId, WorkerId, WorkerProcess};
use super::update::update;
use super::worker::{End, Starter, WorkerMessage};
use crate::dataset::scan::VideoFile;
use crate::format::Format;
use crate::monitor::{Monitor, Reading};
use crate::protocol::event::{Event as PublishedEvent, Line};
use crate::protocol::snapshot::{Folder, Phase as PublishedPhase, Snapshot};
use crate::protocol::summary::{ExportSummary, RunSummary};
use crate::protocol::words::describe;
use crate::signals::StopSignals;
use crate::slurm::Job;

mod after;
mod claims;
mod dataset;
mod effects;
mod lost;
mod memory;
mod observers;
mod requests;
mod stops;
mod summary;
mod worker_messages;

use observers::ticks;

pub(crate) use stops::Requeue;

/// The interval of progress events.
const PROGRESS: Millis = 10_000;

/// How long a run that was stopped at once waits for its journal and failure files, because their disk may not respond.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Input of the engine, other than ticks, signals and requests of clients.
enum Incoming {
    /// A process has started, or why it could not.
    Started(WorkerProcess, io::Result<Process>),
    Worker(WorkerProcess, WorkerMessage),
    /// A worker process has exited; with the jobs that it finished without a report.
    Ended(WorkerProcess, End, Vec<(JobId, Report)>),
    /// The journal names the video of an order, which the process now receives.
    Released(WorkerProcess, JobId),
    CannotWrite(String),
    Looked(Result<OutputState, String>),
    LookedAtDataset(Result<(), String>),
    /// A video failed; with what is known of its folder, if its own file is not at fault.
    LookedInto(WorkerProcess, JobId, Failure, Option<SourceStamp>, Option<ReadFailure>),
    DatasetGone(String),
    /// The videos whose results are lost.
    Lost(Vec<VideoId>),
    /// A file is new or has changed; with what the output folder holds of it.
    Seen(VideoFile, StoredResult),
    /// A file was removed.
    Vanished(VideoName),
    /// An export could not use the feature of a video that was done; with what the output folder holds of it now.
    Missed(VideoId, StoredResult),
    /// A scan has found these files that are no videos.
    Others(OtherFiles),
    /// A background task has finished.
    Finished(TaskResult),
    /// The way in which the dataset folder is watched has changed.
    Watched(String),
    /// A measurement of the machine.
    Measured(Reading),
    /// An answer of Slurm about the job.
    Job(stops::JobNews),
    /// Checks have found that these files are corrupt.
    Corrupt(Vec<(VideoId, SourceStamp)>),
    /// A message of the claims.
    Claims(ClaimsEvent),
    /// The summary of the run, with what other engines have written.
    SummedUp(Box<RunSummary>),
}

/// The engine: one run after another over the same state.
pub(crate) struct Engine {
    plan: Plan,
    state: State,
    started: (Instant, Timestamp),
    begun: bool,
    run_began: Millis,
    over: Option<Millis>,
    ended: Option<u8>,
    /// The last run of the output folder, of this engine or of an earlier one.
    last_run: Option<Box<RunSummary>>,
    /// The exports since the run began.
    exports: Vec<ExportSummary>,
    /// The processes that have started.
    processes: HashMap<WorkerId, Process>,
    starters: HashMap<WorkerId, Starter>,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    sender: mpsc::UnboundedSender<Incoming>,
    worker_sender: mpsc::UnboundedSender<(WorkerProcess, WorkerMessage)>,
    journal_writer: JournalWriter,
    observers: Vec<Box<dyn RunObserver>>,
    /// The number of events that were published.
    told: usize,
    rate: Rate,
    next_progress: Millis,
    /// Requests to the inspector.
    inspector: std::sync::mpsc::Sender<InspectRequest>,
    dataset: dataset::Dataset,
    /// Background tasks that are not finished.
    background_tasks: usize,
    /// The number of videos that were done when the last run started.
    done_before: usize,
    /// The number of clips that were computed when the last run started.
    clips_before: usize,
    /// Cancels the export that is running, if there is one.
    exporting: Option<Cancel>,
    /// The run is over except for its export.
    run_concludes: bool,
    /// A client has asked the engine to exit.
    leaves: bool,
    /// The number of videos that the claims know.
    claimable: usize,
    /// Other engines that take part in a run while this one does not, and while it does.
    others: usize,
    partners: usize,
    /// Whether this engine waits for the videos of others.
    wait: Wait,
    /// The load that was last sent to the claims.
    load: Option<Load>,
    monitor: Option<Monitor>,
    measured: Option<(Instant, Reading)>,
    stops: stops::Stops,
    memory: memory::MemoryWatch,
}

impl Engine {
    /// An engine over `state` that tells `observers` about it.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(crate) fn new(
        mut plan: Plan,
        state: State,
        observers: Vec<Box<dyn RunObserver>>,
        inspector: std::sync::mpsc::Sender<InspectRequest>,
    ) -> io::Result<Self> {
        let (sender, incoming) = mpsc::unbounded_channel();
        let on_error = {
            let sender = sender.clone();
            move |why| drop(sender.send(Incoming::CannotWrite(why)))
        };
        let journal_writer =
            JournalWriter::start(plan.layout.clone(), plan.owner.clone(), plan.journal.clone(), on_error)?;
        let (worker_sender, mut worker_messages) = mpsc::unbounded_channel();
        let forward = sender.clone();
        tokio::spawn(async move {
            while let Some((process, message)) = worker_messages.recv().await {
                let _ = forward.send(Incoming::Worker(process, message));
            }
        });
        Self::hear_claims(plan.news.take(), sender.clone());
        let dataset = dataset::Dataset::begin(&mut plan, &sender);
        let last_run = plan.last_run.take();
        Ok(Self {
            inspector,
            dataset,
            background_tasks: 0,
            done_before: 0,
            clips_before: 0,
            exporting: None,
            run_concludes: false,
            leaves: false,
            stops: stops::Stops::new(Job::of_this_process(), plan.kill_wait_s),
            memory: memory::MemoryWatch::start(),
            monitor: None,
            measured: None,
            claimable: state.files.len(),
            others: 0,
            partners: 0,
            wait: Wait::No,
            load: None,
            plan,
            state,
            started: (Instant::now(), clock::now()),
            begun: false,
            run_began: 0,
            over: None,
            ended: None,
            last_run,
            exports: vec![],
            processes: HashMap::new(),
            starters: HashMap::new(),
            incoming,
            sender,
            worker_sender,
            journal_writer,
            observers,
            told: 0,
            rate: Rate::default(),
            next_progress: PROGRESS,
        })
    }

    /// Runs until no worker is left.
    pub(crate) async fn run(
        &mut self,
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
    ) {
        (self.run_began, self.over, self.ended) = (self.now(), None, None);
        self.state.paused_for = 0;
        if self.begun || self.plan.waits {
            self.join_claims();
        }
        self.done_before = self.done();
        self.rate.begin();
        self.clips_before = self.state.clips_done();
        self.exports.clear();
        self.leaves = false;
        self.ask_for_limit();
        let mut ticks = ticks();
        // An engine that waits was started by the request of a client.
        if !std::mem::replace(&mut self.begun, true) && !self.plan.waits {
            self.handle(Event::EngineStarted);
        }
        while !self.state.is_over() {
            tokio::select! {
                biased;
                signal = signals.received() => self.signalled(signal),
                Some(asked) = clients.recv() => self.answer(asked),
                Some(incoming) = self.incoming.recv() => self.take(incoming),
                _ = ticks.tick() => self.tick(),
            }
        }
        self.over = Some(self.now());
        self.tick();
    }

    /// Whether a video was done since the last run started.
    pub(crate) fn has_new(&self) -> bool {
        self.done_before < self.done()
    }

    /// The number of videos done by all workers.
    pub(crate) fn done(&self) -> usize {
        self.state.workers.iter().map(|worker| worker.done).sum()
    }

    /// The current state.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Waits until everything is on the disk, but not for long after a stop at once, and until a signal at most. Returns how
    /// many attempts are not recorded.
    pub(crate) async fn finish(self, signals: &mut StopSignals) -> usize {
        let limit = (self.state.phase == Phase::Aborting).then_some(FLUSH_TIMEOUT);
        let Self { journal_writer, observers, stops, .. } = self;
        let unrecorded = journal_writer.unrecorded();
        let writing = tokio::task::spawn_blocking(move || {
            // An incremental export finishes its files when it is dropped.
            drop(observers);
            journal_writer.finish(limit);
        });
        let cut = async { while stops.plans_for(signals.received().await) {} };
        tokio::select! {
            _ = writing => {}
            () = cut => {}
        }
        unrecorded.load(Ordering::Relaxed)
    }

    fn now(&self) -> Millis {
        self.started.0.elapsed().as_millis() as Millis
    }

    fn tick(&mut self) {
        self.stop_in_time();
        self.handle(Event::Tick);
        let now = self.now();
        self.tell_of_dataset(now);
        self.rate.sample(&self.state, now);
        self.show();
        if now >= self.next_progress && !self.state.is_over() {
            self.next_progress = now + PROGRESS;
            let Snapshot { counts, clips_per_s, eta_s, .. } = self.snapshot();
            self.tell(PublishedEvent::Progress { counts, clips_per_s, eta_s });
        }
    }

    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Started(process, started) => self.started(process, started),
            Incoming::Worker(process, WorkerMessage::Gone(end)) => self.look_for_unreported(process, end),
            Incoming::Ended(process, end, unreported) => {
                for (job, report) in unreported {
                    self.handle(Event::Unreported(process, job, report));
                }
                let shortage = match end {
                    End { was_killed: true, .. } => Some(self.memory.look()),
                    End { reached_cpu_limit: true, .. } => Some(memory::cpu_limit()),
                    _ => None,
                };
                if let Some(shortage) = shortage {
                    self.handle(Event::Killed(process, shortage));
                }
                self.handle(Event::Gone(process, end.how));
            }
            Incoming::Worker(process, WorkerMessage::Message(FromWorker::Failed { job, failure, source }))
                if failure.kind == ErrorKind::Corrupt || may_be_unread(failure.kind) =>
            {
                self.look_for_cause(process, job, failure, source);
            }
            Incoming::Worker(process, WorkerMessage::Message(FromWorker::Gpu(gpu))) => {
                self.found_gpu(process, &gpu);
            }
            Incoming::Worker(process, message) => {
                if let Some(event) = worker_messages::translate(process, message) {
                    self.handle(event);
                }
            }
            Incoming::Released(process, job) => self.handle(Event::Released(process, job)),
            Incoming::CannotWrite(why) => {
                tracing::warn!("{why}");
                self.handle(Event::CannotWrite(why));
            }
            Incoming::Looked(Err(why)) => self.handle(Event::StillHeld(Folder::Output, why)),
            Incoming::LookedAtDataset(Err(why)) => self.handle(Event::StillHeld(Folder::Dataset, why)),
            Incoming::LookedAtDataset(Ok(())) => self.handle(Event::DatasetBack),
            Incoming::DatasetGone(why) => self.handle(Event::DatasetGone(why)),
            Incoming::LookedInto(process, job, failure, source, cause) => self.handle(match cause {
                Some(cause) => Event::ReadFailed(process, job, cause, failure),
                None => Event::Failed(process, job, failure, source),
            }),
            Incoming::Looked(Ok(OutputState::Unchanged)) => self.back(vec![]),
            Incoming::Looked(Ok(OutputState::Recreated)) => self.find_lost(),
            Incoming::Lost(videos) => self.back(videos),
            Incoming::Seen(file, found) => self.seen(file, found),
            Incoming::Vanished(name) => self.vanished(name),
            Incoming::Missed(id, found) => {
                let Video { status, damaged, .. } = self.plan.policy.video(found);
                self.handle(Event::ExportMissed(id, status, damaged));
            }
            Incoming::Watched(words) => self.dataset.words = Some(words),
            Incoming::Others(others) => self.set_others(others),
            Incoming::Finished(task) => self.finished(task),
            Incoming::Job(news) => self.take_job_news(news),
            Incoming::Measured(reading) => self.measured = Some((Instant::now(), reading)),
            Incoming::Corrupt(videos) => self.found_corrupt(&videos),
            Incoming::Claims(news) => self.take_news(news),
            Incoming::SummedUp(whole) => self.last_run = Some(whole),
        }
    }

    /// Handles an event and the events that follow from its effects.
    fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let now = self.now();
            for effect in update(&mut self.state, event, now) {
                events.extend(self.carry_out(effect));
            }
        }
        let changed = self.state.take_changed();
        self.tell_claims(&changed);
        if !changed.is_empty() {
            for observer in &mut self.observers {
                observer.changed(&self.state, &changed);
            }
        }
    }
}
