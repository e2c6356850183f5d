//! The engine's state machine under random events: whatever happens, no video is lost, doubled or tried too often.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use reeldeck::dataset::scan::VideoFile;
use reeldeck::engine::event::{Effect, Event};
use reeldeck::engine::state::{Phase, Rules, Slot, State, Status, Video, Work, WorkerProcess, WorkerStatus};
use reeldeck::engine::update::update;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::FrameCounts;
use reeldeck_common::protocol::Report;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

const KINDS: [ErrorKind; 11] = [
    ErrorKind::Corrupt,
    ErrorKind::Limit,
    ErrorKind::Io,
    ErrorKind::Missing,
    ErrorKind::OutOfMemory,
    ErrorKind::DiskFull,
    ErrorKind::Output,
    ErrorKind::Interrupted,
    ErrorKind::WorkerCrashed,
    ErrorKind::Device,
    ErrorKind::Internal,
];

/// What the outside world does next, chosen by numbers that are reduced to what is possible.
#[derive(Clone, Debug)]
enum Happens {
    Ready(usize),
    Done(usize, usize),
    Failed(usize, usize, usize),
    Crash(usize),
    Progress(usize, u64),
    Fatal(usize),
    Nonsense(usize, u64),
    /// An event of this kind from an earlier process of a worker, about a job of its current one.
    Late(usize, usize, usize),
    /// Processes that were killed or told to leave end.
    Ends,
    Interrupt,
    Abort,
    Pause,
    Resume,
    Retry(usize),
    CannotWrite,
    /// Somebody looks at the output folder: it is back or not, and with or without this video's feature.
    Looked(bool, usize),
    Redo(usize),
    /// Of this video; no longer.
    Exclude(usize, bool),
    Start,
    Rest,
    /// A file is there, new or in this version, with a feature of it or not.
    Seen(usize, u64, bool),
    Vanished(usize),
    Time(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0..4usize).prop_map(Happens::Ready),
        10 => (0..4usize, 0..4usize).prop_map(|(w, n)| Happens::Done(w, n)),
        4 => (0..4usize, 0..4usize, 0..KINDS.len()).prop_map(|(w, n, k)| Happens::Failed(w, n, k)),
        3 => (0..4usize).prop_map(Happens::Crash),
        2 => (0..4usize, 0..50u64).prop_map(|(w, j)| Happens::Progress(w, j)),
        1 => (0..4usize).prop_map(Happens::Fatal),
        1 => (0..9usize, 0..50u64).prop_map(|(w, j)| Happens::Nonsense(w, j)),
        3 => (0..20usize, 0..4usize, 0..7usize).prop_map(|(p, n, kind)| Happens::Late(p, n, kind)),
        6 => Just(Happens::Ends),
        1 => prop_oneof![6 => Just(Happens::Time(0)), 2 => Just(Happens::Interrupt), 1 => Just(Happens::Abort)],
        1 => Just(Happens::Pause),
        2 => Just(Happens::Resume),
        2 => (0..20usize).prop_map(Happens::Retry),
        1 => Just(Happens::CannotWrite),
        3 => (any::<bool>(), 0..20usize).prop_map(|(back, video)| Happens::Looked(back, video)),
        2 => (0..20usize).prop_map(Happens::Redo),
        2 => (0..20usize, any::<bool>()).prop_map(|(video, undo)| Happens::Exclude(video, undo)),
        2 => Just(Happens::Start),
        1 => Just(Happens::Rest),
        4 => (0..24usize, 0..3u64, any::<bool>()).prop_map(|(video, version, done)| Happens::Seen(video, version, done)),
        2 => (0..24usize).prop_map(Happens::Vanished),
        6 => (0..20_000u64).prop_map(Happens::Time),
    ]
}

fn report() -> Report {
    let frames = FrameCounts { expected: 9, output: 9, concealed: 0 };
    Report { frames, clips: 4, clips_computed: 4, ..Report::default() }
}

/// Sorted as their numbers are.
fn name(video: usize) -> VideoName {
    VideoName::new(&format!("A/v_{video:02}.mp4")).unwrap()
}

/// A world that obeys the engine's effects, and watches them.
struct World {
    state: State,
    now: u64,
    /// Processes that run, and the jobs each was given and has not answered.
    alive: HashMap<WorkerProcess, Vec<(u64, usize)>>,
    leaving: Vec<WorkerProcess>,
    /// Every process that was ever started.
    started: Vec<WorkerProcess>,
    /// Attempts charged since the user last asked for another round.
    charged: HashMap<usize, u32>,
    /// Somebody was sent to look at the output folder.
    looking: bool,
    /// Files that somebody was sent to look at.
    to_look_at: Vec<usize>,
}

impl World {
    fn new(videos: usize, workers: usize, capacity: usize, suspects: usize) -> Self {
        let stamp = SourceStamp { size: 1, mtime_ns: 0 };
        let file = |i| VideoFile { name: name(i), stamp };
        let files: Arc<[VideoFile]> = (0..videos).map(file).collect();
        let mut videos: Vec<Video> = files.iter().map(|_| Video::new(Status::Queued)).collect();
        videos.iter_mut().take(suspects).for_each(|video| video.suspect = true);
        let order: Vec<usize> = (0..videos.len()).rev().collect();
        let slots = vec![Slot { device: "cpu".into(), capacity, batch: 8 }; workers];
        let rules = Rules { clips: 4, stall_timeout: 60_000, wall_limit: 600_000 };
        let state = State::new(Work { files, videos, order }, slots, rules);
        let mut world = Self {
            state,
            now: 0,
            alive: HashMap::new(),
            leaving: vec![],
            started: vec![],
            charged: HashMap::new(),
            looking: false,
            to_look_at: vec![],
        };
        world.event(Event::Begin);
        world
    }

    fn event(&mut self, event: Event) {
        if let Event::OutputBack(lost) = &event {
            // What is gone with the folder is not held against it.
            self.charged.retain(|video, _| !lost.contains(video));
        }
        let resumes =
            matches!(event, Event::Retry(_) | Event::Redo(_) | Event::Start | Event::Resume | Event::OutputBack(_));
        let rested = self.state.phase == Phase::Waiting;
        let asked = matches!(event, Event::Retry(_) | Event::Redo(_) | Event::Start);
        let closed = self.state.phase != Phase::Running || self.state.paused.is_some() || self.state.hold.is_some();
        for effect in update(&mut self.state, event, self.now) {
            match effect {
                Effect::Spawn(process) => {
                    assert!(!rested || asked, "begun without being asked for");
                    let runs = |other: &&WorkerProcess| other.worker == process.worker && !self.leaving.contains(other);
                    assert!(!self.alive.keys().any(|other| runs(&other)), "started twice");
                    assert!(self.alive.insert(process, vec![]).is_none() && !self.started.contains(&process));
                    self.started.push(process);
                }
                Effect::Extract { worker, job, video, batch } => {
                    assert!(resumes || !closed, "handed out while nothing may be");
                    assert!(batch >= 1);
                    let twice = self.alive.values().flatten().any(|(j, v)| *j == job || *v == video);
                    assert!(!twice, "video {video} runs twice at a time");
                    assert!(!self.state.videos[video].excluded, "video {video} is left alone");
                    let process = self.state.process(worker);
                    assert!(!self.leaving.contains(&process), "given to a process that leaves");
                    self.alive.get_mut(&process).expect("given to a dead worker").push((job, video));
                }
                Effect::Finish(worker) => {
                    let process = self.state.process(worker);
                    assert!(self.alive[&process].is_empty(), "sent home with work in hand");
                    self.leaving.push(process);
                }
                Effect::Kill(worker) => {
                    // A killed process answers nothing more, and its end is heard of soon.
                    let process = self.state.process(worker);
                    if let Some(jobs) = self.alive.get_mut(&process) {
                        jobs.clear();
                        self.leaving.push(process);
                    }
                }
                Effect::Record { video, .. } => {
                    let charged = self.charged.entry(video).or_default();
                    *charged += 1;
                    assert!(*charged <= 3, "attempts never exceed the limit");
                }
                Effect::LookAtOutput => {
                    assert!(!self.looking, "one look at a time");
                    self.looking = true;
                }
                Effect::LookAt(video) => self.to_look_at.push(video),
                Effect::Freeze(worker) | Effect::Thaw(worker) => {
                    assert!(self.alive.contains_key(&self.state.process(worker)), "worker {worker} has no process");
                }
                Effect::Forget(_) | Effect::Tell(_) => {}
            }
        }
        self.check();
    }

    /// Every video is in exactly one place, and the state agrees with the world about which.
    fn check(&mut self) {
        let hands = || self.state.workers.iter().flat_map(|w| &w.in_hand);
        for (id, video) in self.state.videos.iter().enumerate() {
            let in_hand = hands().filter(|hand| hand.video == id).count();
            match video.status {
                Status::Running(_) => assert_eq!(in_hand, 1, "running, in one worker's hands"),
                _ => assert_eq!(in_hand, 0, "{:?} in a worker's hands", video.status),
            }
        }
        for worker in &self.state.workers {
            assert!(worker.in_hand.len() <= worker.capacity);
            assert!(!worker.alone || worker.in_hand.len() <= 1, "a suspect runs alone");
            let begun: Vec<bool> = worker.in_hand.iter().map(|hand| hand.begun.is_some()).collect();
            assert!(begun.first().is_none_or(|first| *first), "the first in hand is being worked on");
        }
        let counts = self.state.counts();
        assert_eq!(counts, self.state.recount(), "counts that are kept agree with counting");
        let settled = counts.done + counts.failed + counts.stale + counts.excluded;
        assert_eq!(settled + counts.unfinished(), counts.videos, "{counts:?}");
        let gone = self.state.videos.iter().filter(|video| video.status == Status::Gone).count();
        assert_eq!(counts.videos + gone, self.state.videos.len());
        assert_eq!(self.state.videos.len(), self.state.files.len());
        for (id, file) in self.state.files.iter().enumerate() {
            assert_eq!(self.state.files.find(file.name.as_str()), Some(id), "numbers stay");
            let video = &self.state.videos[id];
            match video.status {
                Status::Excluded { .. } => assert!(video.excluded),
                Status::Running(_) | Status::Gone => {}
                _ => assert!(!video.excluded, "{video:?}"),
            }
        }
        let changed = self.state.take_changed();
        assert!(changed.iter().all(|id| *id < self.state.videos.len()));
    }

    fn step(&mut self, happens: &Happens) {
        let workers = self.state.workers.len();
        let job = |world: &Self, worker: usize, n: usize| {
            let jobs = world.alive.get(&world.state.process(worker))?;
            jobs.get(n % jobs.len().max(1)).map(|(job, _)| *job)
        };
        match happens {
            Happens::Ready(w) if self.runs(w % workers) => self.ready(w % workers),
            Happens::Done(w, n) => {
                if let Some(job) = job(self, w % workers, *n) {
                    self.answer(w % workers, job);
                    self.event(Event::Done(self.state.process(w % workers), job, report()));
                }
            }
            Happens::Failed(w, n, kind) => {
                if let Some(job) = job(self, w % workers, *n) {
                    self.answer(w % workers, job);
                    let failure = Failure::new(KINDS[*kind], "no");
                    self.event(Event::Failed(self.state.process(w % workers), job, failure, None));
                }
            }
            Happens::Crash(w) => self.end(self.state.process(w % workers)),
            Happens::Progress(w, job) => self.event(Event::Progress(self.state.process(w % workers), *job, 2)),
            Happens::Fatal(w) if self.runs(w % workers) => {
                self.event(Event::Fatal(self.state.process(w % workers), Failure::new(ErrorKind::Device, "gone")));
            }
            // Answers to jobs nobody has, from workers that do not exist.
            Happens::Nonsense(w, job) => self.event(Event::Done(self.state.process(*w), 1_000 + job, report())),
            Happens::Late(p, n, kind) => self.late(*p, *n, *kind),
            Happens::Ends => self.end_those_that_leave(),
            Happens::Interrupt => self.event(Event::Interrupt),
            Happens::Abort => self.event(Event::Abort),
            Happens::Pause => self.event(Event::Pause),
            Happens::Resume => self.event(Event::Resume),
            Happens::Retry(video) => {
                let failed =
                    |id: &usize| matches!(self.state.videos.get(*id).map(|v| &v.status), Some(Status::Failed { .. }));
                if failed(video) {
                    self.charged.remove(video);
                }
                self.event(Event::Retry(vec![*video]));
            }
            Happens::CannotWrite => self.event(Event::CannotWrite("no".into())),
            Happens::Redo(video) => {
                let left = |status: &Status| {
                    matches!(status, Status::Queued | Status::Running(_) | Status::Excluded { .. } | Status::Gone)
                };
                if self.state.videos.get(*video).is_some_and(|video| !left(&video.status)) {
                    self.charged.remove(video);
                }
                self.event(Event::Redo(vec![*video]));
            }
            Happens::Exclude(video, undo) => self.event(Event::Exclude(vec![*video], *undo)),
            Happens::Start => self.event(Event::Start),
            Happens::Rest => {
                self.event(Event::Rest);
            }
            Happens::Seen(video, version, done) => self.see(*video, *version, *done),
            Happens::Vanished(video) => {
                self.event(Event::Vanished(name(*video)));
            }
            Happens::Looked(back, video) => {
                if std::mem::take(&mut self.looking) {
                    self.event(if *back { Event::OutputBack(vec![*video]) } else { Event::StillHeld("no".into()) });
                }
            }
            Happens::Time(ms) => {
                // In steps, as real ticks come: a longer gap would mean that nobody was there to listen.
                for step in 0..=ms / 4_000 {
                    self.now += if step == ms / 4_000 { ms % 4_000 } else { 4_000 };
                    self.event(Event::Tick);
                }
            }
            Happens::Ready(_) | Happens::Fatal(_) => {}
        }
        for video in std::mem::take(&mut self.to_look_at) {
            if matches!(self.state.videos[video].status, Status::Running(_)) {
                continue;
            }
            let version = self.state.files.get(video).unwrap().stamp.mtime_ns as u64;
            self.see(video, version, true);
        }
    }

    /// A file is looked at, and what the output folder says of it.
    fn see(&mut self, video: usize, version: u64, done: bool) {
        let status = if done { Status::Done { degraded: false, resumed: true } } else { Status::Queued };
        let file = VideoFile { name: name(video), stamp: SourceStamp { size: 1, mtime_ns: version as i64 } };
        // What is another video now begins anew.
        if let Some(id) = self.state.files.find(file.name.as_str()) {
            let known = &self.state.videos[id];
            let same = self.state.files.get(id).is_some_and(|known| known.stamp == file.stamp);
            let anew = known.status == Status::Gone || !same || known.recheck;
            if anew && !matches!(known.status, Status::Running(_)) {
                self.charged.remove(&id);
            }
        }
        self.event(Event::Seen(file, status, false));
    }

    fn ready(&mut self, worker: usize) {
        self.event(Event::Ready(self.state.process(worker), "a device".into(), 1));
    }

    fn runs(&self, worker: usize) -> bool {
        let process = self.state.process(worker);
        self.alive.contains_key(&process) && !self.leaving.contains(&process)
    }

    fn answer(&mut self, worker: usize, job: u64) {
        self.alive.get_mut(&self.state.process(worker)).unwrap().retain(|(j, _)| *j != job);
    }

    fn end(&mut self, process: WorkerProcess) {
        if self.alive.remove(&process).is_some() {
            self.leaving.retain(|other| *other != process);
            self.event(Event::Gone(process, "it ended".into()));
        }
    }

    fn end_those_that_leave(&mut self) {
        for process in self.leaving.clone() {
            self.end(process);
        }
    }

    /// What a process reports after another has followed it changes nothing.
    fn late(&mut self, process: usize, job: usize, kind: usize) {
        let current = |process: &WorkerProcess| self.state.is_current(*process);
        let late: Vec<WorkerProcess> = self.started.iter().filter(|p| !current(p)).copied().collect();
        let Some(process) = late.get(process % late.len().max(1)).copied() else { return };
        let jobs: Vec<u64> = self.state.workers.iter().flat_map(|w| &w.in_hand).map(|hand| hand.job).collect();
        let job = jobs.get(job % jobs.len().max(1)).copied().unwrap_or_default();
        let failure = Failure::new(ErrorKind::Corrupt, "no");
        let event = match kind {
            0 => Event::Ready(process, "a device".into(), 1),
            1 => Event::Fatal(process, failure),
            2 => Event::Progress(process, job, 2),
            3 => Event::Done(process, job, report()),
            4 => Event::Failed(process, job, failure, None),
            5 => Event::Untold(process, job, report()),
            _ => Event::Gone(process, "it ended".into()),
        };
        let before = (self.state.workers.clone(), self.state.videos.clone());
        assert_eq!(update(&mut self.state, event.clone(), self.now), [], "{event:?}");
        assert!(before == (self.state.workers.clone(), self.state.videos.clone()), "{event:?}");
    }

    /// From here on everything goes well: the run must come to its end.
    fn end_well(&mut self) {
        self.step(&Happens::Resume);
        for _ in 0..10_000 {
            self.step(&Happens::Looked(true, usize::MAX));
            for worker in 0..self.state.workers.len() {
                self.step(&Happens::Ready(worker));
                self.step(&Happens::Done(worker, 0));
                let lost = matches!(self.state.workers[worker].status, WorkerStatus::Lost { .. });
                if lost || self.state.phase == Phase::Aborting {
                    self.end(self.state.process(worker));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]
    #[test]
    fn every_run_ends_with_every_video_in_one_state(
        videos in 0..20usize,
        workers in 1..4usize,
        capacity in 1..4usize,
        suspects in 0..3usize,
        events in proptest::collection::vec(happens(), 0..120),
    ) {
        let mut world = World::new(videos, workers, capacity, suspects);
        for happens in &events {
            world.step(happens);
        }
        world.end_well();
        let counts = world.state.counts();
        if world.state.phase == Phase::Running {
            prop_assert_eq!(counts.unfinished(), 0, "nothing is left when nothing kept the run from its end");
        }
        prop_assert_eq!(counts.running, 0);
    }
}
