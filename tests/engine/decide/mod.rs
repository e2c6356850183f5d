//! Single decisions of the engine's state machine.

use reeldeck::internals::dataset::VideoFile;
use reeldeck::internals::engine::{
    Effect, Event, Progress, Rules, Shortage, Slot, State, Status, Video, VideoId, Work, WorkerId, WorkerProcess,
    update,
};
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::FrameCounts;
use reeldeck_common::protocol::Report;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

mod assign;
mod dataset;
mod failures;
mod memory;
mod output;
mod requests;

/// A run whose workers have loaded their models at 0 ms.
struct Run {
    state: State,
    now: u64,
    disk_hangs: bool,
    /// Videos that are not yet in the journal.
    unreleased: Vec<(WorkerProcess, u64)>,
}

fn run(videos: usize, workers: usize, capacity: usize, set: impl FnOnce(&mut Work)) -> Run {
    let mut run = started(videos, workers, capacity, set);
    (0..workers).for_each(|worker| drop(run.ready(worker)));
    run
}

/// A run whose workers load their models.
fn loading(videos: usize, workers: usize, capacity: usize) -> Run {
    started(videos, workers, capacity, |_| {})
}

fn started(videos: usize, workers: usize, capacity: usize, set: impl FnOnce(&mut Work)) -> Run {
    let stamp = SourceStamp { size: 1000, mtime_ns: 0 };
    let file = |i| VideoFile { name: VideoName::new(&format!("A/v_{i}.mp4")).unwrap(), stamp };
    let mut work = Work {
        files: (0..videos).map(file).collect(),
        videos: vec![Video::new(Status::Queued); videos].into(),
        order: (0..videos).map(VideoId).collect(),
    };
    set(&mut work);
    let slots = vec![Slot { device: "cuda".into(), capacity, batch: 8 }; workers];
    let rules = Rules { clips: Some(4), stall_timeout: 60_000, wall_limit: 600_000 };
    let state = State::new(work, slots, rules);
    let mut run = Run { state, now: 0, disk_hangs: false, unreleased: vec![] };
    run.event(Event::EngineStarted);
    run
}

fn report() -> Report {
    let frames = FrameCounts { expected: 9, output: 9, concealed: 0 };
    Report { frames, clips: 4, clips_computed: 4, ..Report::default() }
}

impl Run {
    /// Applies an event, releases every video that it assigns, and answers checks outside of holds, unless the disk hangs.
    fn event(&mut self, event: Event) -> Vec<Effect> {
        let effects = update(&mut self.state, event, self.now);
        for effect in &effects {
            if let Effect::Extract { worker, job, .. } = effect {
                self.unreleased.push((self.state.process(*worker), *job));
            }
        }
        if !self.disk_hangs {
            self.release();
            self.answer_checks();
        }
        effects
    }

    fn release(&mut self) {
        for (process, job) in std::mem::take(&mut self.unreleased) {
            self.event(Event::Released(process, job));
        }
    }

    fn answer_checks(&mut self) {
        if self.state.hold.is_none() && self.state.checks.dataset.asked.is_some() {
            self.event(Event::DatasetBack);
        }
        if self.state.hold.is_none() && self.state.checks.output.asked.is_some() {
            self.event(Event::OutputBack(vec![]));
        }
    }

    /// Advances the time in steps of a quarter of a second.
    fn wait(&mut self, ms: u64) -> Vec<Effect> {
        (0..ms / 250)
            .flat_map(|_| {
                self.now += 250;
                self.event(Event::Tick)
            })
            .collect()
    }

    fn assignments(&self, worker: usize) -> Vec<usize> {
        self.state.workers[WorkerId(worker)].in_flight.iter().map(|assignment| assignment.video.0).collect()
    }

    fn job(&self, worker: usize) -> u64 {
        self.state.workers[WorkerId(worker)].in_flight[0].job
    }

    fn ready(&mut self, worker: usize) -> Vec<Effect> {
        self.event(Event::Ready(self.state.process(WorkerId(worker)), "GPU".into(), 1))
    }

    fn progress(&mut self, worker: usize, job: u64, clips: usize) -> Vec<Effect> {
        self.event(Event::Progress(
            self.state.process(WorkerId(worker)),
            job,
            Progress { clips, of: Some(4), frames: 9 },
        ))
    }

    fn done(&mut self, worker: usize) -> Vec<Effect> {
        self.event(Event::Done(self.state.process(WorkerId(worker)), self.job(worker), report()))
    }

    fn fail(&mut self, worker: usize, kind: ErrorKind) -> Vec<Effect> {
        self.event(Event::Failed(
            self.state.process(WorkerId(worker)),
            self.job(worker),
            Failure::new(kind, "no"),
            None,
        ))
    }

    fn gone(&mut self, worker: usize, how: &str) -> Vec<Effect> {
        self.event(Event::Gone(self.state.process(WorkerId(worker)), how.into()))
    }

    /// Something kills the process of a worker with SIGKILL.
    fn killed(&mut self, worker: usize, is_counted: bool) -> Vec<Effect> {
        let shortage = Shortage {
            is_counted,
            is_of_session: false,
            signal: "signal 9 (SIGKILL)",
            advice: "there are 1.50 GiB".into(),
        };
        self.event(Event::Killed(self.state.process(WorkerId(worker)), shortage));
        self.gone(worker, "was killed by signal 9")
    }

    fn attempts(&self, video: usize) -> u32 {
        self.state.videos[VideoId(video)].attempts
    }
}

/// A finished run of several videos that now waits for commands.
fn rested(videos: usize) -> Run {
    let mut run = self::run(videos, 1, 2, |_| {});
    (0..videos).for_each(|_| drop(run.done(0)));
    run.gone(0, "it left");
    run.event(Event::RunEnded);
    assert!(run.state.is_over());
    run
}

fn seen(video: usize, version: i64, status: Status) -> Event {
    let name = VideoName::new(&format!("A/v_{video}.mp4")).unwrap();
    Event::Seen(VideoFile { name, stamp: SourceStamp { size: 1, mtime_ns: version } }, status, false)
}

fn spawns(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Spawn(_)))
}
