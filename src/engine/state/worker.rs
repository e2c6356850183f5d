//! A worker of a run: its process, its device, and what it has in hand.

use reeldeck_common::protocol::JobId;

use super::{Millis, VideoId, WorkerId};

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

/// A video in a worker's hands.
#[derive(Clone, Debug, PartialEq)]
pub struct Hand {
    /// Which.
    pub video: VideoId,
    /// The attempt.
    pub job: JobId,
    /// It is a suspect: no other video may join it.
    pub alone: bool,
    /// Clips done.
    pub clips: usize,
    /// When it was handed out.
    pub given: Millis,
    /// When the worker was sent the order; none while the order waits for the journal to reach the disk.
    pub released: Option<Millis>,
    /// When it became the first in hand, which is the one that is worked on as far as the worker has said.
    pub begun: Option<Millis>,
}

/// Why the engine is ending a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was silent for too long.
    Silent,
    /// Its first video took too long.
    Overdue,
    /// It has met a fault of its device.
    Broken,
}

/// One worker process and its device.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// The device, as `--devices` names it.
    pub device: String,
    /// The device in its own words.
    pub detail: Option<String>,
    /// Where it stands.
    pub status: WorkerStatus,
    /// Its last process.
    pub incarnation: Incarnation,
    /// What it has in hand, in the order given.
    pub in_hand: Vec<Hand>,
    /// How many it may have in hand.
    pub capacity: usize,
    /// Clips in one pass of the model.
    pub batch: usize,
    /// Ends without a video to failure_policy, since the last good one.
    pub mishaps: u32,
    /// When it was last heard of, or last given something.
    pub heard: Millis,
    /// It is being ended.
    pub ending: Option<Ending>,
    /// It has ended with something done that it could not tell of: what else it had in hand need not be the reason.
    pub untold: bool,
    /// Videos done by it.
    pub done: usize,
    /// Clips of them.
    pub clips: usize,
    /// How often its process was started again because it had ended unasked.
    pub restarts: u32,
}

impl Worker {
    /// Whether it works on a suspect, which no other video may join.
    pub fn is_isolated(&self) -> bool {
        self.in_hand.iter().any(|hand| hand.alone)
    }

    /// Whether it was sent an order that it has not answered.
    pub fn has_orders(&self) -> bool {
        self.in_hand.iter().any(|hand| hand.released.is_some())
    }

    /// Starts the clock of the first video in hand, unless its order waits for the journal.
    pub(in crate::engine) fn begin_first(&mut self, now: Millis) {
        if let Some(first) = self.in_hand.first_mut().filter(|hand| hand.released.is_some()) {
            first.begun.get_or_insert(now);
        }
    }

    /// Clips done by it, those of videos in hand included.
    pub fn all_clips(&self) -> usize {
        self.clips + self.in_hand.iter().map(|hand| hand.clips).sum::<usize>()
    }
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

impl WorkerStatus {
    /// It has no process, and gets none by itself.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Left | Self::Lost { .. })
    }
}
