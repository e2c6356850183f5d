//! Where a run stands, in a size that does not depend on the number of videos.

use serde::{Deserialize, Serialize};

/// Videos by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub videos: usize,
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
    /// Among them those that had failed before this run.
    pub failed_before: usize,
    /// Waiting for a worker.
    pub queued: usize,
    /// In a worker's hands.
    pub running: usize,
    /// Unfinished, and not part of this run: beyond its limit, or of another shard.
    pub left_out: usize,
}

impl Counts {
    /// Waiting or in hand.
    pub fn unfinished(&self) -> usize {
        self.queued + self.running
    }

    /// What this run had or has to do.
    pub fn of_this_run(&self) -> usize {
        self.videos - self.resumed - self.failed_before - self.stale - self.left_out
    }
}

/// What the run is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Hands out videos.
    Running,
    /// Its workers are stopped where they were, as asked.
    Paused,
    /// Waits until the output folder can be written to again.
    Held,
    /// Finishes what is in hand.
    Finishing,
    /// Drops what is in hand.
    Stopping,
    /// Over; the engine waits for a client that wants more.
    Idle,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Goes up with every change of a video.
    pub revision: u64,
    /// What the run is up to.
    pub phase: Phase,
    /// Why, where nobody asked for it.
    pub reason: Option<String>,
    /// The exit code of the run, when it and its export are over.
    pub ended: Option<u8>,
    /// Seconds since the run began.
    pub elapsed_s: f64,
    /// Videos.
    pub counts: Counts,
    /// Clips of each video.
    pub clips_per_video: usize,
    /// Clips done in this run, those of videos in hand included.
    pub clips_done: usize,
    /// Clips a second over the last minute; none before there is anything to measure. Work done in earlier runs does
    /// not count.
    pub clips_per_s: Option<f64>,
    /// Seconds until all is done at that rate.
    pub eta_s: Option<u64>,
    /// The workers.
    pub devices: Vec<DeviceState>,
}

/// Where a worker stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceState {
    /// As `--devices` names it.
    pub device: String,
    /// `starting`, `ready`, `leaving`, `left` or `lost`.
    pub status: String,
    /// The device in its own words, or why it was given up.
    pub detail: Option<String>,
    /// Clips in one pass of the model.
    pub batch: usize,
    /// Videos done by it in this run.
    pub done: usize,
    /// Clips done by it in this run, those in hand included.
    pub clips: usize,
    /// What it has in hand, in order.
    pub in_hand: Vec<InHand>,
}

/// A video in a worker's hands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InHand {
    /// `Class/file`.
    pub video: String,
    /// Clips done.
    pub clips: usize,
    /// Seconds since it was the worker's turn to work on it; 0 while it waits behind another.
    pub seconds: f64,
}
