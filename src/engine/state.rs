//! The state of a run: every video, every worker, and what waits. Changed in `update` only.

use std::collections::{BTreeSet, VecDeque};

use reeldeck_contract::error::Failure;
use reeldeck_contract::protocol::{JobId, Report};
use reeldeck_contract::source::SourceStamp;
use reeldeck_contract::video::VideoName;

/// A video's place in the run's list.
pub type VideoId = usize;
/// A worker's place in the run's list.
pub type WorkerId = usize;
/// Milliseconds since the run began.
pub type Millis = u64;

/// One video of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// `Class/file`.
    pub name: VideoName,
    /// Where it stands.
    pub status: Status,
    /// Attempts charged to it in this run.
    pub attempts: u32,
}

/// Where a video stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Its feature is there.
    Done {
        /// Some frames were lost or concealed, but few enough.
        degraded: bool,
        /// It was there before this run.
        resumed: bool,
    },
    /// Its feature is there, but the file has changed since; not asked to do it again.
    Stale,
    /// No feature came of it, and none will be tried for in this run.
    Failed {
        /// The last attempt's.
        failure: Failure,
        /// It failed in an earlier run.
        before: bool,
    },
    /// Waits for a worker.
    Queued,
    /// A worker has it in hand.
    Running {
        /// Which.
        worker: WorkerId,
        /// The attempt.
        job: JobId,
        /// Clips done.
        clips: usize,
        /// When it was handed out.
        since: Millis,
    },
    /// Unfinished, and left out of this run by `--limit`.
    LeftOut,
}

/// One worker process and its device.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// The device, as `--devices` names it.
    pub device: String,
    /// Where it stands.
    pub status: WorkerStatus,
    /// What it has in hand, in the order given.
    pub in_hand: Vec<VideoId>,
    /// How many it may have in hand.
    pub capacity: usize,
    /// What it has in hand is suspected of bringing workers down, and runs alone.
    pub alone: bool,
    /// Ends without a video to blame, since the last good one.
    pub mishaps: u32,
    /// When it was last heard of, or last given something.
    pub heard: Millis,
    /// It was silent for too long and is being ended.
    pub hung: bool,
}

/// Where a worker stands.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerStatus {
    /// Loads its model.
    Starting,
    /// Works, or waits for work.
    Ready,
    /// Was told to leave.
    Leaving,
    /// Has left as it was told.
    Left,
    /// Will not be started again.
    Lost {
        /// Why.
        reason: String,
    },
}

/// What the run is up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Hands out videos.
    Running,
    /// Finishes what is in hand: the user asked once, or nothing more can be written.
    Finishing {
        /// What nobody asked for: why the run cannot go on.
        because: Option<String>,
    },
    /// The user asked twice: all is dropped.
    Aborting,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct State {
    /// In the order of the list.
    pub videos: Vec<Video>,
    /// One for each entry of `--devices`.
    pub workers: Vec<Worker>,
    /// What the run is up to.
    pub phase: Phase,
    /// Clips a video.
    pub clips: usize,
    /// A worker with something to do that is silent for so long is ended.
    pub stall_timeout: Millis,
    /// When the first worker was ready: rates count from here.
    pub ready_since: Option<Millis>,
    pub(super) waiting: VecDeque<VideoId>,
    pub(super) suspects: VecDeque<VideoId>,
    pub(super) later: BTreeSet<(Millis, VideoId)>,
    pub(super) next_job: JobId,
    pub(super) clips_finished: usize,
}

/// Videos by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// With a feature, now or before; degraded ones included.
    pub done: usize,
    /// Among them those that were there before this run.
    pub resumed: usize,
    /// Among them those with lost or concealed frames.
    pub degraded: usize,
    /// With a feature of an older version of the file.
    pub stale: usize,
    /// Without, and not to be tried again in this run.
    pub failed: usize,
    /// Waiting or in hand.
    pub unfinished: usize,
    /// Left out by `--limit`.
    pub left_out: usize,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The run begins.
    Begin,
    /// A worker has loaded its model.
    Ready(WorkerId),
    /// A worker cannot work, and leaves.
    Fatal(WorkerId, Failure),
    /// Clips done.
    Progress(WorkerId, JobId, usize),
    /// A feature is on disk.
    Done(WorkerId, JobId, Report),
    /// No feature came of it.
    Failed(WorkerId, JobId, Failure, Option<SourceStamp>),
    /// A worker process has ended; how, in words.
    Gone(WorkerId, String),
    /// The output folder cannot be written to.
    CannotWrite(String),
    /// The user wants the run to end.
    Interrupt,
    /// Time has passed.
    Tick,
}

/// Something to be done about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start a worker process.
    Spawn(WorkerId),
    /// Hand a video to a worker.
    Extract(WorkerId, JobId, VideoId),
    /// Tell a worker to leave when it is done.
    Finish(WorkerId),
    /// End a worker now.
    Kill(WorkerId),
    /// Write an attempt to the video's failure file.
    Record {
        /// The video.
        video: VideoId,
        /// Who tried.
        worker: WorkerId,
        /// When it was handed out.
        since: Millis,
        /// What went wrong.
        failure: Failure,
        /// The file as it was.
        source: Option<SourceStamp>,
    },
    /// Remove the video's failure file: it has a feature now.
    Forget(VideoId),
    /// Tell the front ends.
    Tell(News),
}

/// What front ends are told, besides the state itself.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// A worker has loaded its model.
    WorkerReady(WorkerId),
    /// A worker has ended unasked and is started again.
    WorkerRestarts(WorkerId, String),
    /// A worker will not be started again.
    WorkerLost(WorkerId, String),
    /// A feature is on disk.
    Done(VideoId, Report),
    /// An attempt failed; `true`: for good.
    Failed(VideoId, Failure, bool),
    /// The user asked to end: what is in hand is finished.
    Finishing,
    /// The user asked twice: all is dropped.
    Aborting,
    /// The run cannot go on.
    Blocked(String),
}

impl State {
    /// A run over `videos`, of which those that are `Queued` are to be done, on one worker for each of `devices` with at
    /// most `capacity` videos in hand, none of which may be silent for `stall_timeout`.
    pub fn new(videos: Vec<Video>, devices: Vec<String>, capacity: usize, clips: usize, stall_timeout: Millis) -> Self {
        let waiting = videos.iter().enumerate().filter(|(_, v)| v.status == Status::Queued).map(|(id, _)| id).collect();
        let worker = |device| Worker {
            device,
            status: WorkerStatus::Starting,
            in_hand: vec![],
            capacity: capacity.max(1),
            alone: false,
            mishaps: 0,
            heard: 0,
            hung: false,
        };
        Self {
            videos,
            workers: devices.into_iter().map(worker).collect(),
            phase: Phase::Running,
            clips,
            stall_timeout,
            ready_since: None,
            waiting,
            suspects: VecDeque::new(),
            later: BTreeSet::new(),
            next_job: 0,
            clips_finished: 0,
        }
    }

    /// No worker is left, and none will come.
    pub fn is_over(&self) -> bool {
        self.workers.iter().all(|w| matches!(w.status, WorkerStatus::Left | WorkerStatus::Lost { .. }))
    }

    /// Counts the videos anew.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for video in &self.videos {
            match &video.status {
                Status::Done { degraded, resumed } => {
                    counts.done += 1;
                    counts.degraded += usize::from(*degraded);
                    counts.resumed += usize::from(*resumed);
                }
                Status::Stale => counts.stale += 1,
                Status::Failed { .. } => counts.failed += 1,
                Status::Queued | Status::Running { .. } => counts.unfinished += 1,
                Status::LeftOut => counts.left_out += 1,
            }
        }
        counts
    }

    /// Clips done in this run, those of videos in hand included.
    pub fn clips_done(&self) -> usize {
        let in_hand = self.workers.iter().flat_map(|w| &w.in_hand).filter_map(|id| self.videos.get(*id));
        let running = in_hand.map(|v| if let Status::Running { clips, .. } = v.status { clips } else { 0 });
        self.clips_finished + running.sum::<usize>()
    }

    /// Why the run ended before its work was done, if it did and nobody asked for it.
    pub fn blocked(&self) -> Option<&str> {
        match &self.phase {
            Phase::Finishing { because } => because.as_deref(),
            _ => None,
        }
    }
}
