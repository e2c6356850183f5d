//! The throughput of the last half hour, with a sample every five seconds.

use std::collections::VecDeque;
use std::time::Instant;

use crate::protocol::snapshot::{History, Phase, Snapshot};

/// The length of a sample in milliseconds.
const SAMPLE_MS: u64 = 5_000;
/// The number of samples in half an hour.
const MAX_SAMPLES: usize = 360;

/// The samples of the throughput.
#[derive(Debug)]
pub(super) struct Samples {
    began: Instant,
    samples: VecDeque<Option<f32>>,
    /// The start of the current sample and the clips that were done then.
    since: Option<(u64, usize)>,
    /// Whether the run could work during the whole current sample.
    worked: bool,
}

impl Default for Samples {
    fn default() -> Self {
        Self { began: Instant::now(), samples: VecDeque::new(), since: None, worked: true }
    }
}

impl Samples {
    /// Takes the state of the run into account.
    pub(super) fn take(&mut self, snapshot: &Snapshot) {
        let works = matches!(snapshot.phase, Phase::Running | Phase::Finishing);
        let loaded = snapshot.devices.iter().any(|device| matches!(device.status.as_str(), "ready" | "leaving"));
        let now = self.began.elapsed().as_millis() as u64;
        self.sample(now, snapshot.clips_done, works && loaded);
    }

    fn sample(&mut self, now: u64, clips: usize, works: bool) {
        let Some((since, before)) = self.since else {
            // Sampling starts when the run can first work.
            if works {
                self.since = Some((now, clips));
            }
            return;
        };
        self.worked &= works;
        let passed = now.saturating_sub(since);
        if passed < SAMPLE_MS {
            return;
        }
        // The clips of a worker that has died are lost, so the count may decrease.
        let rate = clips.saturating_sub(before) as f32 / (passed as f32 / 1000.0);
        // After a longer gap, the mean fills all samples in it.
        for _ in 0..(passed / SAMPLE_MS).min(MAX_SAMPLES as u64) {
            self.samples.push_back(Some(rate).filter(|rate| self.worked || *rate > 0.0));
        }
        while self.samples.len() > MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.since = Some((now, clips));
        self.worked = works;
    }

    /// The samples for a chart.
    pub(super) fn history(&self) -> History {
        History { every_s: SAMPLE_MS as f32 / 1000.0, clips_per_s: self.samples.iter().copied().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_mean_of_five_seconds_or_none_without_work() {
        let mut samples = Samples::default();
        samples.sample(0, 0, false);
        assert!(samples.history().clips_per_s.is_empty());
        for (now, clips, works) in [
            (10_000, 0, true),
            (12_000, 30, true),
            (15_000, 50, true),
            (20_000, 50, true),
            (22_000, 50, false),
            (25_000, 50, false),
            (30_000, 50, false),
            (31_000, 50, true),
            (35_000, 90, true),
            (40_000, 60, true),
            (50_000, 160, true),
        ] {
            samples.sample(now, clips, works);
        }
        let rates = samples.history().clips_per_s;
        assert_eq!(rates, [Some(10.0), Some(0.0), None, None, Some(8.0), Some(0.0), Some(10.0), Some(10.0)]);
        for i in 0..1_000 {
            samples.sample(60_000 + i * 5_000, 200, true);
        }
        assert_eq!(samples.history().clips_per_s.len(), MAX_SAMPLES);
    }
}
