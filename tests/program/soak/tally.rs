//! What was killed, how often, and what it was doing then.

use std::time::Duration;

/// What was killed and what it was doing.
#[derive(Debug, Default)]
pub struct Tally {
    pub engine: usize,
    pub in_the_background: usize,
    pub worker: usize,
    pub both: usize,
    /// With videos in hand.
    pub mid_work: usize,
    /// Before the first video was handed out: the engine looked at the folders, or a worker loaded its model.
    pub before: usize,
    /// A feature or another file was half written.
    pub mid_write: usize,
    pub rounds: usize,
    pub runs: usize,
    pub slowest_orphan: Duration,
}

impl Tally {
    pub fn kills(&self) -> usize {
        self.engine + self.worker + self.both
    }

    /// Prints all of it.
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
            "with videos in hand {}, before the first {}, otherwise {}; a half-written file was left {} times",
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
