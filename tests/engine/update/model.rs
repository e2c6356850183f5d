//! What the state machine promises about single videos, kept apart from its own state and checked at each of its effects.

use reeldeck::internals::engine::{
    Effect, Event, HoldUntil, KillReason, Notice, Phase, State, Status, VideoId, WorkerProcess, WorkerStatus,
};
use std::collections::{HashMap, HashSet, VecDeque};

use reeldeck_common::error::ErrorKind;

/// A video that was handed to a process.
#[derive(Clone, Debug)]
pub struct Order {
    pub job: u64,
    pub video: VideoId,
    /// The process has received it.
    pub released: bool,
}

/// A process that runs.
#[derive(Debug, Default)]
pub struct Process {
    /// Those that it has not answered.
    pub orders: Vec<Order>,
    /// It was killed or told to leave: it answers nothing more and will end.
    pub ends: bool,
}

impl Process {
    pub fn received(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().filter(|order| order.released)
    }
}

/// What is known from the effects so far.
#[derive(Debug, Default)]
pub struct Model {
    pub processes: HashMap<WorkerProcess, Process>,
    /// Every process that was ever started.
    pub started: Vec<WorkerProcess>,
    /// Orders that wait for the journal, and since when, the oldest first.
    pub unreleased: VecDeque<(WorkerProcess, u64, u64)>,
    /// Videos that must run alone.
    pub suspects: HashSet<VideoId>,
    /// When the next attempt at a video may begin.
    pub not_before: HashMap<VideoId, u64>,
    /// Attempts charged since a user last asked for another round.
    pub charged: HashMap<VideoId, u32>,
    /// A check of the output folder is going on.
    pub checking: bool,
    /// A check of the dataset folder is going on.
    pub checking_dataset: bool,
    /// The dataset folder is gone.
    pub dataset_gone: bool,
    /// Files that are to be looked at again.
    pub to_look_at: Vec<VideoId>,
}

/// What is noted before an event, because it explains the effects.
pub struct Before {
    /// The phase permits handing out.
    open: bool,
    waiting: bool,
    paused: Option<u64>,
    unreleased: usize,
    /// The event is the end of a process that was not killed for another reason than its silence: the videos it had received.
    crashed_with: Option<Vec<VideoId>>,
    asked: bool,
    reopens: bool,
    /// The run waits for the dataset folder.
    without_dataset: bool,
    /// The event is the end of a process.
    ends: bool,
    /// The run does not wait for a disk.
    disks_respond: bool,
}

impl Model {
    /// Notes what an event changes by itself.
    pub fn before(&mut self, state: &State, event: &Event) -> Before {
        let mut crashed_with = None;
        match event {
            Event::OutputBack(lost) => self.charged.retain(|video, _| !lost.contains(video)),
            Event::Retry(videos) | Event::Redo(videos) => {
                let redo = matches!(event, Event::Redo(_));
                for video in videos {
                    let again = match state.videos.get(*video).map(|video| &video.status) {
                        Some(Status::Failed { .. }) => true,
                        Some(Status::Done { .. } | Status::Stale) => redo,
                        _ => false,
                    };
                    if again {
                        self.charged.remove(video);
                        self.suspects.remove(video);
                        self.not_before.remove(video);
                    }
                }
            }
            Event::Gone(process, _) if state.is_current(*process) => {
                let ending = state.workers[process.worker].kill_reason;
                // While a user stops the run, the end of a process is charged to no video.
                let stopped = state.phase == Phase::Aborting
                    || (state.phase == Phase::Finishing { because: None } && ending.is_none());
                // Nor while the dataset folder is gone.
                let stopped = stopped || state.waits_for_dataset();
                if !stopped && !matches!(ending, Some(KillReason::Broken | KillReason::Overdue)) {
                    let received = self.processes.get(process).into_iter().flat_map(Process::received);
                    crashed_with = Some(received.map(|order| order.video).collect());
                }
                self.processes.remove(process);
            }
            Event::Gone(process, _) => drop(self.processes.remove(process)),
            _ => {}
        }
        Before {
            open: state.phase == Phase::Running && state.paused.is_none() && state.hold.is_none(),
            waiting: state.phase == Phase::Waiting,
            without_dataset: state.waits_for_dataset(),
            ends: matches!(event, Event::Gone(..)),
            disks_respond: state.hold.as_ref().is_none_or(|hold| hold.until != HoldUntil::Responds),
            paused: state.paused,
            unreleased: self.unreleased.len(),
            crashed_with,
            asked: matches!(event, Event::Retry(_) | Event::Redo(_) | Event::StartRun),
            reopens: matches!(
                event,
                Event::Retry(_)
                    | Event::Redo(_)
                    | Event::StartRun
                    | Event::Resume
                    | Event::OutputBack(_)
                    | Event::DatasetBack
                    | Event::Released(..)
            ) || (*event == Event::Tick
                && state.hold.as_ref().is_some_and(|h| h.until == HoldUntil::Responds)),
        }
    }

    /// Checks one effect and takes note of it.
    pub fn effect(&mut self, state: &State, before: &Before, effect: Effect, now: u64) {
        match effect {
            Effect::Spawn(process) => {
                assert!(!before.waiting || before.asked, "a run starts without a request");
                let runs = |(other, it): (&WorkerProcess, &Process)| other.worker == process.worker && !it.ends;
                assert!(!self.processes.iter().any(runs), "{process:?} is started while another runs");
                assert!(!self.started.contains(&process), "{process:?} is started twice");
                self.processes.insert(process, Process::default());
                self.started.push(process);
            }
            Effect::Extract { worker, job, video, batch } => {
                assert!(before.open || before.reopens, "assigned although assigning is not permitted");
                assert!(batch >= 1);
                self.hand_out(state, state.process(worker), Order { job, video, released: false }, now);
            }
            Effect::Finish(worker) => {
                let process = self.processes.get_mut(&state.process(worker)).unwrap();
                assert!(process.orders.is_empty(), "told to exit with work in progress");
                process.ends = true;
            }
            Effect::Kill(worker) => {
                let Some(process) = self.processes.get_mut(&state.process(worker)) else { return };
                let ending = state.workers[worker].kill_reason;
                if ending == Some(KillReason::Silent) {
                    assert!(
                        state.checks.succeeded_since(state.workers[worker].heard),
                        "killed before a look at the disks"
                    );
                    assert!(before.disks_respond, "killed while a disk does not respond");
                }
                if matches!(ending, Some(KillReason::Silent | KillReason::Overdue)) {
                    let may_be_silent = state.workers[worker].status == WorkerStatus::Ready;
                    assert!(!may_be_silent || process.received().count() > 0, "killed for work that it never received");
                }
                process.ends = true;
            }
            Effect::Record { video, failure, .. } => {
                assert!(!(before.without_dataset && before.ends), "charged for a process that lost the dataset folder");
                let unread = matches!(failure.kind, ErrorKind::Missing | ErrorKind::Io);
                assert!(!(self.dataset_gone && unread), "charged although the dataset folder is gone");
                let crashed = matches!(failure.kind, ErrorKind::WorkerCrashed | ErrorKind::WorkerHung);
                if let Some(videos) = before.crashed_with.as_ref().filter(|_| crashed) {
                    assert_eq!(*videos, [video], "only a video that was alone is charged for a crash");
                }
                let charged = self.charged.entry(video).or_default();
                *charged += 1;
                assert!(*charged <= 3, "attempts never exceed the limit");
            }
            Effect::LookAtOutput => {
                assert!(!std::mem::replace(&mut self.checking, true), "one check at a time");
            }
            Effect::LookAtDataset(_) => {
                assert!(!std::mem::replace(&mut self.checking_dataset, true), "one check at a time");
            }
            Effect::LookAt(video) => self.to_look_at.push(video),
            Effect::Freeze(worker) | Effect::Thaw(worker) => {
                assert!(self.processes.contains_key(&state.process(worker)), "{worker:?} has no process");
            }
            Effect::Notify(Notice::Done(_, video, _)) => drop(self.suspects.remove(&video)),
            Effect::Notify(Notice::Failed(_, video, failure, again)) => {
                match again {
                    None => drop(self.suspects.remove(&video)),
                    Some(_) if matches!(failure.kind, ErrorKind::WorkerCrashed | ErrorKind::WorkerHung) => {
                        self.suspects.insert(video);
                    }
                    Some(_) => {}
                }
                if let Some(wait) = again {
                    self.not_before.insert(video, now + wait);
                }
            }
            Effect::Notify(Notice::Returned(video, _)) => {
                if before.crashed_with.as_ref().is_some_and(|videos| videos.contains(&video)) {
                    self.suspects.insert(video);
                }
            }
            Effect::Forget(_) | Effect::Notify(_) => {}
        }
    }

    fn hand_out(&mut self, state: &State, process: WorkerProcess, order: Order, now: u64) {
        let Order { job, video, .. } = order;
        let running = self.processes.values().filter(|process| !process.ends).flat_map(|process| &process.orders);
        assert!(running.clone().all(|other| other.job != job && other.video != video), "{video:?} runs twice");
        assert!(!state.videos[video].excluded, "{video:?} is excluded");
        let not_before = self.not_before.get(&video).copied().unwrap_or_default();
        assert!(now >= not_before, "{video:?} is retried at {now} and not after {not_before}");
        let process_state = self.processes.get_mut(&process).expect("handed to a process that does not run");
        assert!(!process_state.ends, "handed to a process that ends");
        let orders = &process_state.orders;
        assert!(orders.is_empty() || !self.suspects.contains(&video), "suspect {video:?} joins other videos");
        assert!(!orders.iter().any(|other| self.suspects.contains(&other.video)), "{video:?} joins a suspect");
        process_state.orders.push(order);
        self.unreleased.push_back((process, job, now));
    }

    /// Checks what must hold after every event.
    pub fn after(&mut self, state: &State, before: &Before, event: &Event, now: u64) {
        if let (Some(since), None) = (before.paused, state.paused) {
            // Paused time does not count.
            self.unreleased.iter_mut().take(before.unreleased).for_each(|(.., waits)| *waits += now - since);
        }
        for (id, video) in state.videos.iter_enumerated() {
            assert_eq!(video.suspect, self.suspects.contains(&id), "{id:?} is in the wrong lane");
        }
        let order = self.unreleased.front().map(|(.., since)| *since);
        let mut asked = [order, state.checks.output.asked, state.checks.dataset.asked].into_iter().flatten();
        let late = asked.any(|since| now.saturating_sub(since) > 10_000);
        if !matches!(event, Event::Tick | Event::Released(..)) {
            return;
        }
        match &state.hold {
            Some(hold) if hold.until == HoldUntil::Responds => assert!(late, "held though the disk responds"),
            None if state.paused.is_none() => assert!(!late, "not held though the disk does not respond"),
            _ => {}
        }
    }
}
