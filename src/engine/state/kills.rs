//! Workers that were killed with SIGKILL since a video was last finished.

use std::collections::BTreeSet;

use super::{Millis, VideoId};

/// What is known of the memory when a process was killed with SIGKILL, or of another limit that killed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// The kernel has counted a process that it killed for lack of memory since the last look.
    pub is_counted: bool,
    /// The session limits each process, whatever its video.
    pub is_of_session: bool,
    /// The signal, with its name.
    pub signal: &'static str,
    /// The limit, and what to do about it, for users.
    pub advice: String,
}

/// Kills, in rounds: processes that ran at the same time may have been killed for the same reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kills {
    /// The videos that were in flight in each round.
    rounds: Vec<BTreeSet<VideoId>>,
    last: Millis,
    /// The kernel has counted such a kill.
    pub is_counted: bool,
}

impl Kills {
    /// A process that was started at `spawned` was killed at `now`.
    pub(in crate::engine) fn add(&mut self, spawned: Millis, now: Millis, videos: impl Iterator<Item = VideoId>) {
        match self.rounds.last_mut().filter(|_| spawned < self.last) {
            Some(round) => round.extend(videos),
            None => self.rounds.push(videos.collect()),
        }
        self.last = now;
    }

    /// The number of rounds, if no single video was in flight in all of them.
    pub(in crate::engine) fn on_different_videos(&self) -> Option<usize> {
        let (first, others) = self.rounds.split_first()?;
        let is_in_all = |video: &&VideoId| others.iter().all(|round| round.contains(*video));
        first.iter().find(is_in_all).is_none().then_some(self.rounds.len())
    }

    /// A video was finished.
    pub(in crate::engine) fn clear(&mut self) {
        *self = Self::default();
    }
}
