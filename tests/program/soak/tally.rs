//! Counts of kills, by target and by its activity.

use std::time::Duration;

/// Counts of kills, by target and by its activity.
#[derive(Debug, Default)]
pub struct Tally {
    pub engine: usize,
    pub in_the_background: usize,
    pub worker: usize,
    pub both: usize,
    /// With videos in progress.
    pub mid_work: usize,
    /// Before the first video was assigned: the engine scanned the folders, or a worker loaded its model.
    pub before: usize,
    /// While a file was half written.
    pub mid_write: usize,
    pub rounds: usize,
    pub runs: usize,
    pub slowest_orphan: Duration,
}

impl Tally {
    pub fn kills(&self) -> usize {
        self.engine + self.worker + self.both
    }

    /// Prints the counts.
    pub fn tell(&self, took: Duration) {
        println!(
            "{} kills: the engine {}, a worker {}, both within a millisecond {}; of the engines {} in the background",
            self.kills(),
            self.engine,
            self.worker,
            self.both,
            self.in_the_background,
        );
        println!(
            "with videos in progress {}, before the first {}, otherwise {}; a half-written file was left {} times",
            self.mid_work,
            self.before,
            self.kills() - self.mid_work - self.before,
            self.mid_write,
        );
        println!(
            "{} runs in {} output folders, {:.0} s; workers outlived their engine by {:.1} s at most",
            self.runs,
            self.rounds,
            took.as_secs_f64(),
            self.slowest_orphan.as_secs_f64(),
        );
    }
}
