//! A worker of a run: its device, its process, and the videos that are in flight in it.

use reeldeck_common::protocol::JobId;

use super::{Millis, Shortage, VideoId, WorkerId};

/// Tells the processes of one worker apart: goes up with each that is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u32);

/// One process of a worker. What it reports never counts for the process that was started after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerProcess {
    /// The worker.
    pub worker: WorkerId,
    /// Which of its processes.
    pub incarnation: Incarnation,
}

/// How far a video in flight has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Clips computed so far.
    pub clips: usize,
    /// Clips of its feature, once its frames are counted.
    pub of: Option<usize>,
    /// Packets that were read, which shows progress while its frames are counted.
    pub frames: u64,
}

impl Progress {
    /// The share that is done, from 0 to 1; 0 while its frames are counted.
    pub(in crate::engine) fn share(self) -> f64 {
        self.of.filter(|of| *of > 0).map_or(0.0, |of| (self.clips as f64 / of as f64).min(1.0))
    }

    /// The share that is done of a number that stands for the whole video.
    fn share_of(self, whole: u64) -> u64 {
        (whole as f64 * self.share()) as u64
    }
}

/// A video that was handed to a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The video.
    pub video: VideoId,
    /// The attempt.
    pub job: JobId,
    /// It is a suspect: no other video may join it.
    pub alone: bool,
    /// Clips in one pass of the model for this video.
    pub batch: usize,
    /// How far it has come.
    pub progress: Progress,
    /// Size of its file in bytes.
    pub bytes: u64,
    /// When it was handed out.
    pub given: Millis,
    /// When the worker was sent the assignment; none while the assignment waits for the journal to reach the disk.
    pub released: Option<Millis>,
    /// When it became the first in flight, the one that the worker computes.
    pub begun: Option<Millis>,
    /// Its beginning was published.
    pub is_published: bool,
}

/// Why the engine kills a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// It reported nothing for too long.
    Silent,
    /// Its first video took too long.
    Overdue,
    /// Its device has a fault.
    Broken,
}

/// One worker process and its device.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// The device, as `--devices` names it.
    pub device: String,
    /// The worker's description of its device.
    pub detail: Option<String>,
    /// The status of its process.
    pub status: WorkerStatus,
    /// Its last process.
    pub incarnation: Incarnation,
    /// The videos in flight; the first is the one that it computes.
    pub in_flight: Vec<Assignment>,
    /// How many videos may be in flight.
    pub capacity: usize,
    /// Clips in one pass of the model.
    pub batch: usize,
    /// Consecutive exits and device faults that no video is charged for.
    pub consecutive_faults: u32,
    /// When it last reported something or received an assignment while idle.
    pub heard: Millis,
    /// It is being killed for this reason.
    pub kill_reason: Option<KillReason>,
    /// When its process was started.
    pub spawned: Millis,
    /// Another process or the kernel has killed it with SIGKILL.
    pub killed: Option<Shortage>,
    /// It exited after it had finished a video and before it reported that. No other video in flight is charged for the exit.
    pub unreported: bool,
    /// Videos done by it.
    pub done: usize,
    /// The clips of those videos.
    pub clips: usize,
    /// How often its process was restarted after an unexpected exit.
    pub restarts: u32,
}

impl Worker {
    /// Whether it works on a suspect, which no other video may join.
    pub fn is_isolated(&self) -> bool {
        self.in_flight.iter().any(|assignment| assignment.alone)
    }

    /// Whether it has not begun this video, because it works on another one first.
    pub fn has_next(&self, video: VideoId) -> bool {
        let mut others = self.in_flight.iter().skip(1);
        others.any(|next| next.video == video && next.begun.is_none() && next.progress.clips == 0)
    }

    /// Whether it was sent an assignment that it has not answered.
    pub fn has_orders(&self) -> bool {
        self.in_flight.iter().any(|assignment| assignment.released.is_some())
    }

    /// Clips computed by it, those of videos in flight included.
    pub fn all_clips(&self) -> usize {
        self.clips + self.in_flight.iter().map(|assignment| assignment.progress.clips).sum::<usize>()
    }

    /// Bytes of the parts of videos in flight that are computed.
    pub fn bytes_in_flight(&self) -> u64 {
        self.in_flight.iter().map(|assignment| assignment.progress.share_of(assignment.bytes)).sum()
    }
}

/// The status of a worker's process.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerStatus {
    /// It loads its model.
    Starting,
    /// It accepts orders.
    Ready,
    /// It was told to exit.
    Leaving,
    /// It has exited as told.
    Left,
    /// It is given up.
    Lost {
        /// The reason, for users.
        reason: String,
    },
}

impl WorkerStatus {
    /// Whether it has no process and is not restarted by itself.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Left | Self::Lost { .. })
    }
}
