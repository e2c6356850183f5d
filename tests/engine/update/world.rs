//! A world that obeys the effects of the state machine.

use std::sync::Arc;

use reeldeck::internals::dataset::VideoFile;
use reeldeck::internals::engine::{
    Event, Phase, Progress, ReadFailure, Rules, Shortage, Slot, State, Status, Video, VideoId, Work, WorkerId,
    WorkerProcess, WorkerStatus, update,
};
use reeldeck::internals::protocol::snapshot::Folder;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::FrameCounts;
use reeldeck_common::protocol::Report;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::Happens;
use super::model::{Model, Process};

const PROGRESS: Progress = Progress { clips: 2, of: Some(4), frames: 9 };

fn report() -> Report {
    let frames = FrameCounts { expected: 9, output: 9, concealed: 0 };
    Report { frames, clips: 4, clips_computed: 4, ..Report::default() }
}

/// Names sort as their numbers do.
fn name(video: usize) -> VideoName {
    VideoName::new(&format!("A/v_{video:02}.mp4")).unwrap()
}

/// The state, its clock, and what runs because of it.
pub struct World {
    pub state: State,
    now: u64,
    model: Model,
}

impl World {
    pub fn new(videos: usize, workers: usize, capacity: usize, suspects: usize) -> Self {
        let stamp = SourceStamp { size: 1, mtime_ns: 0 };
        let file = |i| VideoFile { name: name(i), stamp };
        let files: Arc<[VideoFile]> = (0..videos).map(file).collect();
        let mut videos: Vec<Video> = files.iter().map(|_| Video::new(Status::Queued)).collect();
        videos.iter_mut().take(suspects).for_each(|video| video.suspect = true);
        let suspects = (0..suspects.min(videos.len())).map(VideoId).collect();
        let order: Vec<VideoId> = (0..videos.len()).rev().map(VideoId).collect();
        let slots = vec![Slot { device: "cpu".into(), capacity, batch: 8 }; workers];
        let rules = Rules { clips: Some(4), stall_timeout: 60_000, wall_limit: 600_000 };
        let state = State::new(Work { files, videos: videos.into(), order }, slots, rules);
        let mut world = Self { state, now: 0, model: Model { suspects, ..Model::default() } };
        world.event(Event::EngineStarted);
        world
    }

    fn event(&mut self, event: Event) {
        let before = self.model.before(&self.state, &event);
        for effect in update(&mut self.state, event.clone(), self.now) {
            self.model.effect(&self.state, &before, effect, self.now);
        }
        self.model.after(&self.state, &before, &event, self.now);
        self.check();
    }

    /// Every video is in exactly one place, and the counts agree with counting.
    fn check(&mut self) {
        let in_flight = || self.state.workers.iter().flat_map(|w| &w.in_flight);
        for (id, video) in self.state.videos.iter_enumerated() {
            let times = in_flight().filter(|assignment| assignment.video == id).count();
            match video.status {
                Status::Running(_) => assert_eq!(times, 1, "running, in one worker"),
                _ => assert_eq!(times, 0, "{:?} in a worker", video.status),
            }
        }
        for worker in &self.state.workers {
            assert!(worker.in_flight.len() <= worker.capacity);
            // One that has exited begins nothing.
            let first = worker.in_flight.first().filter(|_| !worker.unreported);
            assert!(first.is_none_or(|first| first.begun.is_some() == first.released.is_some()), "{worker:?}");
        }
        let counts = self.state.counts();
        assert_eq!(counts, self.state.recount(), "incremental counts agree with a full count");
        let settled = counts.done + counts.failed + counts.stale + counts.excluded;
        assert_eq!(settled + counts.unfinished(), counts.videos, "{counts:?}");
        let gone = self.state.videos.iter().filter(|video| video.status == Status::Gone).count();
        assert_eq!(counts.videos + gone, self.state.videos.len());
        assert_eq!(self.state.videos.len(), self.state.files.len());
        for (id, file) in (0..).map(VideoId).zip(self.state.files.iter()) {
            assert_eq!(self.state.files.find(file.name.as_str()), Some(id), "numbers stay");
            let video = &self.state.videos[id];
            match video.status {
                Status::Excluded { .. } => assert!(video.excluded),
                Status::Running(_) | Status::Gone => {}
                _ => assert!(!video.excluded, "{video:?}"),
            }
        }
        let changed = self.state.take_changed();
        assert!(changed.iter().all(|id| id.0 < self.state.videos.len()));
    }

    pub fn step(&mut self, happens: &Happens) {
        let workers = self.state.workers.len();
        match happens {
            Happens::Ready(w) => {
                let process = self.state.process(WorkerId(w % workers));
                if self.running(process).is_some() {
                    self.event(Event::Ready(process, "a device".into(), 1));
                }
            }
            Happens::Done(w, n) => {
                if let Some((process, job)) = self.answer(w % workers, *n) {
                    self.event(Event::Done(process, job, report()));
                }
            }
            Happens::Failed(w, n, kind) => {
                let unread = matches!(kind, ErrorKind::Missing | ErrorKind::Io);
                if unread && self.model.dataset_gone {
                    let unread = self.unread(w % workers, *n, ReadFailure::DatasetGone("gone".into()));
                    assert!(!unread || !self.is_open(), "held as soon as a video cannot be read");
                } else if let Some((process, job)) = self.answer(w % workers, *n) {
                    self.event(Event::Failed(process, job, Failure::new(*kind, "no"), None));
                }
            }
            Happens::Crash(w, unreported) => self.crash(self.state.process(WorkerId(w % workers)), *unreported),
            Happens::Killed(w, is_counted) => {
                let process = self.state.process(WorkerId(w % workers));
                if self.running(process).is_some() {
                    self.event(Event::Killed(
                        process,
                        Shortage {
                            is_counted: *is_counted,
                            is_of_session: false,
                            signal: "signal 9 (SIGKILL)",
                            advice: "more".into(),
                        },
                    ));
                    self.end(process);
                }
            }
            Happens::Progress(w, job) => {
                self.event(Event::Progress(self.state.process(WorkerId(w % workers)), *job, PROGRESS))
            }
            Happens::Fatal(w) => {
                let process = self.state.process(WorkerId(w % workers));
                if self.running(process).is_some() {
                    self.event(Event::Fatal(process, Failure::new(ErrorKind::Device, "gone")));
                }
            }
            Happens::Nonsense(w, job) => {
                self.event(Event::Done(self.state.process(WorkerId(*w)), 1_000 + job, report()))
            }
            Happens::Late(p, n, kind) => self.late(*p, *n, *kind),
            Happens::Ends => self.end_those_that_leave(),
            Happens::Released(orders) => self.release(*orders),
            Happens::Interrupt => self.event(Event::Interrupt),
            Happens::Abort => self.event(Event::Abort),
            Happens::Pause => self.event(Event::Pause),
            Happens::Resume => self.event(Event::Resume),
            Happens::Retry(video) => self.event(Event::Retry(vec![VideoId(*video)])),
            Happens::Redo(video) => self.event(Event::Redo(vec![VideoId(*video)])),
            Happens::Exclude(video) => self.event(Event::Exclude(vec![VideoId(*video)], false)),
            Happens::Include(video) => self.event(Event::Exclude(vec![VideoId(*video)], true)),
            Happens::ExcludeAndInclude(video) => {
                self.event(Event::Exclude(vec![VideoId(*video)], false));
                self.event(Event::Exclude(vec![VideoId(*video)], true));
            }
            Happens::Start => self.event(Event::StartRun),
            Happens::Rest => self.event(Event::RunEnded),
            Happens::DatasetGoes(noticed) => {
                self.model.dataset_gone = true;
                if *noticed {
                    self.event(Event::DatasetGone("gone".into()));
                    assert!(!self.is_open() || self.state.is_over());
                }
            }
            Happens::ReadFails(w, n, folder) if !self.model.dataset_gone => {
                let unread = if *folder { ReadFailure::FolderGone("gone".into()) } else { ReadFailure::FileBack };
                let _ = self.unread(w % workers, *n, unread);
            }
            Happens::ReadFails(..) => {}
            Happens::DatasetChecked(back) => {
                if std::mem::take(&mut self.model.checking_dataset) {
                    self.model.dataset_gone &= !back;
                    let no = Event::StillHeld(Folder::Dataset, "no".into());
                    self.event(if *back { Event::DatasetBack } else { no });
                    assert!(!back || !self.state.waits_for_dataset(), "it resumes by itself");
                }
            }
            Happens::CannotWrite => self.event(Event::CannotWrite("no".into())),
            Happens::Checked(back, video) => {
                if std::mem::take(&mut self.model.checking) {
                    let no = Event::StillHeld(Folder::Output, "no".into());
                    self.event(if *back { Event::OutputBack(vec![VideoId(*video)]) } else { no });
                }
            }
            Happens::Seen(video, version, done) => self.see(*video, *version, *done),
            Happens::Vanished(video) => self.event(Event::Vanished(name(*video))),
            Happens::Time(ms) => {
                // In steps, as real ticks come: a longer gap would mean that the engine itself was stopped.
                for step in 0..=ms / 4_000 {
                    self.now += if step == ms / 4_000 { ms % 4_000 } else { 4_000 };
                    self.event(Event::Tick);
                }
            }
        }
        for video in std::mem::take(&mut self.model.to_look_at) {
            if !matches!(self.state.videos[video].status, Status::Running(_)) {
                let version = self.state.files.get(video).unwrap().stamp.mtime_ns as u64;
                self.see(video.0, version, true);
            }
        }
    }

    /// A process that can still report something.
    fn running(&mut self, process: WorkerProcess) -> Option<&mut Process> {
        self.model.processes.get_mut(&process).filter(|process| !process.ends)
    }

    /// Takes one of the orders that the process of a worker has received.
    fn answer(&mut self, worker: usize, n: usize) -> Option<(WorkerProcess, u64)> {
        let process = self.state.process(WorkerId(worker));
        let running = self.running(process)?;
        let received: Vec<u64> = running.received().map(|order| order.job).collect();
        let job = *received.get(n % received.len().max(1))?;
        running.orders.retain(|order| order.job != job);
        Some((process, job))
    }

    /// A worker cannot read one of its orders. False if it has none.
    fn unread(&mut self, worker: usize, n: usize, unread: ReadFailure) -> bool {
        let Some((process, job)) = self.answer(worker, n) else { return false };
        self.event(Event::ReadFailed(process, job, unread, Failure::new(ErrorKind::Missing, "no")));
        true
    }

    /// Whether videos may be handed out.
    fn is_open(&self) -> bool {
        self.state.phase == Phase::Running && self.state.hold.is_none()
    }

    /// The first orders reach their processes, also those that have ended.
    fn release(&mut self, orders: usize) {
        for _ in 0..orders {
            let Some((process, job, _)) = self.model.unreleased.pop_front() else { return };
            let orders = self.model.processes.get_mut(&process).map(|process| &mut process.orders);
            if let Some(order) = orders.and_then(|orders| orders.iter_mut().find(|order| order.job == job)) {
                order.released = true;
            }
            self.event(Event::Released(process, job));
        }
    }

    fn crash(&mut self, process: WorkerProcess, unreported: bool) {
        let Some(running) = self.running(process) else { return };
        let received = running.received().next().map(|order| order.job);
        if let Some(job) = received.filter(|_| unreported) {
            self.event(Event::Unreported(process, job, report()));
        }
        self.end(process);
    }

    fn end(&mut self, process: WorkerProcess) {
        if self.model.processes.contains_key(&process) {
            self.event(Event::Gone(process, "it ended".into()));
        }
    }

    fn end_those_that_leave(&mut self) {
        let ends = |(process, it): (&WorkerProcess, &Process)| it.ends.then_some(*process);
        let mut ending: Vec<WorkerProcess> = self.model.processes.iter().filter_map(ends).collect();
        ending.sort_by_key(|process| (process.worker, process.incarnation.0));
        ending.into_iter().for_each(|process| self.end(process));
    }

    /// What a process reports after another has followed it changes nothing.
    fn late(&mut self, process: usize, job: usize, kind: usize) {
        let current = |process: &WorkerProcess| self.state.is_current(*process);
        let late: Vec<WorkerProcess> = self.model.started.iter().filter(|p| !current(p)).copied().collect();
        let Some(process) = late.get(process % late.len().max(1)).copied() else { return };
        let jobs: Vec<u64> =
            self.state.workers.iter().flat_map(|w| &w.in_flight).map(|assignment| assignment.job).collect();
        let job = jobs.get(job % jobs.len().max(1)).copied().unwrap_or_default();
        let failure = Failure::new(ErrorKind::Corrupt, "no");
        let event = match kind {
            0 => Event::Ready(process, "a device".into(), 1),
            1 => Event::Fatal(process, failure),
            2 => Event::Progress(process, job, PROGRESS),
            3 => Event::Done(process, job, report()),
            4 => Event::Failed(process, job, failure, None),
            5 => Event::Unreported(process, job, report()),
            _ => Event::Gone(process, "it ended".into()),
        };
        let before = (self.state.workers.clone(), self.state.videos.clone());
        assert_eq!(update(&mut self.state, event.clone(), self.now), [], "{event:?}");
        assert!(before == (self.state.workers.clone(), self.state.videos.clone()), "{event:?}");
    }

    /// A file is looked at, and what the output folder holds of it.
    fn see(&mut self, video: usize, version: u64, done: bool) {
        let status = if done { Status::Done { degraded: false, resumed: true } } else { Status::Queued };
        let file = VideoFile { name: name(video), stamp: SourceStamp { size: 1 + version, mtime_ns: version as i64 } };
        // Another version of a file begins with no attempts.
        if let Some(id) = self.state.files.find(file.name.as_str()) {
            let known = &self.state.videos[id];
            let same = self.state.files.get(id).is_some_and(|known| known.stamp == file.stamp);
            let anew = known.status == Status::Gone || !same || known.recheck;
            if anew && !matches!(known.status, Status::Running(_)) {
                self.model.charged.remove(&id);
            }
        }
        self.event(Event::Seen(file, status, false));
    }

    /// From here on everything goes well: the run must come to its end.
    pub fn end_well(&mut self) {
        self.step(&Happens::Resume);
        self.model.dataset_gone = false;
        for _ in 0..10_000 {
            self.step(&Happens::Released(usize::MAX));
            self.step(&Happens::Checked(true, usize::MAX));
            self.step(&Happens::DatasetChecked(true));
            for worker in 0..self.state.workers.len() {
                self.step(&Happens::Ready(worker));
                self.step(&Happens::Done(worker, 0));
                let lost = matches!(self.state.workers[WorkerId(worker)].status, WorkerStatus::Lost { .. });
                if lost || self.state.phase == Phase::Aborting {
                    self.end(self.state.process(WorkerId(worker)));
                }
            }
            self.end_those_that_leave();
            self.step(&Happens::Time(10_000));
            if self.state.is_over() {
                return;
            }
        }
        panic!("the run does not end: {:?}", self.state);
    }
}
