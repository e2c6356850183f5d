//! The number of videos by status.

use serde::{Deserialize, Serialize};

/// The number of videos by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub videos: usize,
    /// With a feature, from this run or before, including degraded ones.
    pub done: usize,
    /// Those of `done` that existed before this run.
    pub resumed: usize,
    /// Those of `done` with lost or concealed frames.
    pub degraded: usize,
    /// With a feature from an older version of the file.
    pub stale: usize,
    /// Failed, and not to be retried in this run.
    pub failed: usize,
    /// Those of `failed` that failed before this run.
    pub failed_before: usize,
    /// Those of `failed` without a failed attempt: their feature or failure file cannot be read.
    #[serde(default)]
    pub unreadable: usize,
    /// Waiting for a worker.
    pub queued: usize,
    /// Processed by a worker.
    pub running: usize,
    /// Unfinished and not part of this run: beyond its limit.
    pub left_out: usize,
    /// Excluded by the user, with or without a feature.
    #[serde(default)]
    pub excluded: usize,
}

impl Counts {
    /// The videos that wait or are in progress.
    pub fn unfinished(&self) -> usize {
        self.queued + self.running
    }

    /// The videos that this run has processed or will process.
    pub fn of_this_run(&self) -> usize {
        let others = [self.resumed, self.failed_before, self.stale, self.left_out, self.excluded];
        others.into_iter().fold(self.videos, usize::saturating_sub)
    }
}
