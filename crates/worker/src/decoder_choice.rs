//! Chooses which waiting video a decode thread takes if CPU cores and NVDEC share the work: the one for which its decoder has
//! the largest advantage over the other.

use std::collections::HashMap;
use std::time::Duration;

use reeldeck_video::peek::CostClass;

/// A decoder of video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecoderKind {
    /// A core of the CPU.
    Cpu,
    /// A stream of NVDEC.
    Nvdec,
}

/// The weight of the newest video in the moving average of costs. Old videos must lose weight, because the speed of a decoder
/// depends on the load of the others.
const NEWEST_WEIGHT: f64 = 0.2;

/// Moving averages of decoding costs.
#[derive(Default)]
pub(crate) struct DecodeCosts {
    /// Seconds per frame on the CPU and with NVDEC, as far as known.
    costs: HashMap<CostClass, [Option<f64>; 2]>,
}

impl DecodeCosts {
    /// Records that a decoder took `busy` for the frames of a video.
    pub(crate) fn record(&mut self, decoder: DecoderKind, class: CostClass, frames: u64, busy: Duration) {
        if frames == 0 {
            return;
        }
        let cost = busy.as_secs_f64() / frames as f64;
        let known = &mut self.costs.entry(class).or_default()[decoder as usize];
        *known = Some(known.map_or(cost, |before| before + (cost - before) * NEWEST_WEIGHT));
    }

    /// How many times cheaper this decoder is than the other. Infinite for a class that this decoder has not tried, so that it
    /// is tried first, and 1 if the other decoder has not tried it or the class is unknown.
    fn advantage(&self, decoder: DecoderKind, class: Option<CostClass>) -> f64 {
        let Some(class) = class else { return 1.0 };
        let costs = self.costs.get(&class).copied().unwrap_or_default();
        let (own, other) = match decoder {
            DecoderKind::Cpu => (costs[0], costs[1]),
            DecoderKind::Nvdec => (costs[1], costs[0]),
        };
        match (own, other) {
            (None, _) => f64::INFINITY,
            (Some(own), Some(other)) => other / own.max(f64::MIN_POSITIVE),
            (Some(_), None) => 1.0,
        }
    }

    /// The position of the video to take: the first one with the largest advantage.
    pub(crate) fn choose(&self, decoder: DecoderKind, waiting: impl Iterator<Item = Option<CostClass>>) -> usize {
        let better = |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
        let advantages = waiting.map(|class| self.advantage(decoder, class)).enumerate();
        advantages.fold((0, f64::NEG_INFINITY), better).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_video::codec::CodecId;

    const SMALL: CostClass = CostClass { codec: CodecId::H264, size: 16 };
    const LARGE: CostClass = CostClass { codec: CodecId::H264, size: 20 };

    fn costs(small: [u64; 2], large: [u64; 2]) -> DecodeCosts {
        let mut costs = DecodeCosts::default();
        for (class, [cpu, nvdec]) in [(SMALL, small), (LARGE, large)] {
            costs.record(DecoderKind::Cpu, class, 100, Duration::from_millis(cpu));
            costs.record(DecoderKind::Nvdec, class, 100, Duration::from_millis(nvdec));
        }
        costs
    }

    fn choose(costs: &DecodeCosts, decoder: DecoderKind, waiting: &[Option<CostClass>]) -> usize {
        costs.choose(decoder, waiting.iter().copied())
    }

    #[test]
    fn chooses_the_largest_advantage_and_otherwise_the_first() {
        // NVDEC is faster for both classes, and much faster for large videos.
        let costs = costs([100, 90], [1000, 200]);
        for (waiting, cpu, nvdec) in [
            (&[Some(LARGE), Some(SMALL), Some(LARGE)][..], 1, 0),
            (&[Some(SMALL), Some(SMALL), Some(LARGE)], 0, 2),
            (&[Some(LARGE), Some(LARGE)], 0, 0),
            (&[Some(SMALL)], 0, 0),
            // The second class is unknown.
            (&[Some(LARGE), None, Some(SMALL)], 1, 0),
        ] {
            assert_eq!(choose(&costs, DecoderKind::Cpu, waiting), cpu, "{waiting:?}");
            assert_eq!(choose(&costs, DecoderKind::Nvdec, waiting), nvdec, "{waiting:?}");
        }
    }

    #[test]
    fn both_decoders_try_each_class_once() {
        let mut costs = DecodeCosts::default();
        assert_eq!(choose(&costs, DecoderKind::Cpu, &[Some(LARGE), Some(SMALL)]), 0);
        costs.record(DecoderKind::Cpu, LARGE, 100, Duration::from_secs(1));
        assert_eq!(choose(&costs, DecoderKind::Cpu, &[Some(LARGE), Some(SMALL)]), 1);
        assert_eq!(choose(&costs, DecoderKind::Nvdec, &[Some(LARGE), Some(SMALL)]), 0);
        costs.record(DecoderKind::Nvdec, LARGE, 0, Duration::from_secs(1));
        assert_eq!(choose(&costs, DecoderKind::Nvdec, &[None, Some(LARGE)]), 1, "no frame was decoded");
    }

    #[test]
    fn costs_follow_changes() {
        let mut costs = costs([100, 50], [100, 100]);
        assert_eq!(choose(&costs, DecoderKind::Nvdec, &[Some(LARGE), Some(SMALL)]), 1);
        for _ in 0..20 {
            costs.record(DecoderKind::Nvdec, SMALL, 100, Duration::from_millis(400));
        }
        assert_eq!(choose(&costs, DecoderKind::Nvdec, &[Some(SMALL), Some(LARGE)]), 1);
    }
}
