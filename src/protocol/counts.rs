//! The number of videos by status.

use serde::{Deserialize, Serialize};

use crate::out::count;

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
    /// Those of `failed` whose file is corrupt, so that extracting it again does not help.
    #[serde(default)]
    pub failed_corrupt: usize,
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
    /// Those of `excluded` that this run has done or failed.
    #[serde(default)]
    pub excluded_in_run: usize,
}

impl Counts {
    /// The videos that wait or are in progress.
    pub fn unfinished(&self) -> usize {
        self.queued + self.running
    }

    /// The videos that this run has done.
    pub fn done_in_run(&self) -> usize {
        self.done.saturating_sub(self.resumed)
    }

    /// The videos that this run has failed.
    pub fn failed_in_run(&self) -> usize {
        self.failed.saturating_sub(self.failed_before)
    }

    /// The videos that this run has done or failed, including those that were excluded since.
    pub fn processed_in_run(&self) -> usize {
        self.done_in_run() + self.failed_in_run() + self.excluded_in_run
    }

    /// `69 of 72 videos done, 2 failed, 1 excluded`. The parts add up to all videos; those that are zero are left out.
    pub fn in_words(&self) -> String {
        let Self { done, videos, failed, unreadable, stale, left_out, excluded, .. } = *self;
        let mut text = format!("{done} of {} done", count(videos, "video", "videos"));
        let parts = [
            (failed.saturating_sub(unreadable), "failed"),
            (unreadable, "unreadable"),
            (self.unfinished(), "queued"),
            (stale, "stale"),
            (left_out, "left out"),
            (excluded, "excluded"),
        ];
        for (number, word) in parts.into_iter().filter(|(number, _)| *number > 0) {
            text.push_str(&format!(", {number} {word}"));
        }
        text
    }

    /// What this run has done and, where earlier runs add to it, all together: `83 done, 4 failed`, or `1 done, 0 failed in
    /// this run; 83 done, 4 failed in all`. `number` formats a number.
    pub fn of_run_in_words(&self, number: impl Fn(usize) -> String) -> String {
        let words = |done, failed| format!("{} done, {} failed", number(done), number(failed));
        let run = words(self.done_in_run(), self.failed_in_run());
        match self.resumed + self.failed_before {
            0 => run,
            _ => format!("{run} in this run; {} in all", words(self.done, self.failed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_add_up_to_all_videos() {
        let counts = Counts { videos: 72, done: 69, resumed: 60, failed: 2, excluded: 1, ..Counts::default() };
        assert_eq!(counts.in_words(), "69 of 72 videos done, 2 failed, 1 excluded");
        let unreadable = Counts { unreadable: 2, ..counts };
        assert_eq!(unreadable.in_words(), "69 of 72 videos done, 2 unreadable, 1 excluded");
        let counts = Counts { done: 20, running: 2, queued: 40, stale: 3, left_out: 4, ..counts };
        assert_eq!(counts.in_words(), "20 of 72 videos done, 2 failed, 42 queued, 3 stale, 4 left out, 1 excluded");
        assert_eq!(Counts { videos: 1, queued: 1, ..Counts::default() }.in_words(), "0 of 1 video done, 1 queued");
    }

    #[test]
    fn the_results_of_a_run_are_told_apart_from_earlier_ones() {
        let counts = Counts { videos: 87, done: 83, failed: 4, ..Counts::default() };
        let words = |counts: Counts| counts.of_run_in_words(|n| n.to_string());
        assert_eq!(words(counts), "83 done, 4 failed");
        let again = Counts { resumed: 82, failed_before: 4, ..counts };
        assert_eq!(words(again), "1 done, 0 failed in this run; 83 done, 4 failed in all");
    }
}
