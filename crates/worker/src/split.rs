//! Which waiting video a thread takes where cores and NVDEC share the work: the one at which it is best, beside the other.

use std::collections::HashMap;
use std::time::Duration;

use reeldeck_video::peek::CostClass;

/// Who decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A core.
    Core,
    /// A stream of NVDEC.
    Nvdec,
}

/// How much the newest video counts beside all before it: what a thread gets depends on what the others do just now.
const NEWEST: f64 = 0.2;

/// What decoding has cost so far.
#[derive(Default)]
pub struct Costs {
    /// Seconds a frame, of a core and of a stream.
    costs: HashMap<CostClass, [Option<f64>; 2]>,
}

impl Costs {
    /// A video was decoded.
    pub fn note(&mut self, by: By, kind: CostClass, frames: u64, busy: Duration) {
        if frames == 0 {
            return;
        }
        let cost = busy.as_secs_f64() / frames as f64;
        let known = &mut self.costs.entry(kind).or_default()[by as usize];
        *known = Some(known.map_or(cost, |before| before + (cost - before) * NEWEST));
    }

    /// How many times cheaper it is here than there. What was not tried here yet is tried before all else; of what the other
    /// has not tried nothing is known.
    fn gain(&self, by: By, kind: Option<CostClass>) -> f64 {
        let Some(kind) = kind else { return 1.0 };
        let costs = self.costs.get(&kind).copied().unwrap_or_default();
        let (here, there) = match by {
            By::Core => (costs[0], costs[1]),
            By::Nvdec => (costs[1], costs[0]),
        };
        match (here, there) {
            (None, _) => f64::INFINITY,
            (Some(here), Some(there)) => there / here.max(f64::MIN_POSITIVE),
            (Some(_), None) => 1.0,
        }
    }

    /// The place of the video to take; the first of those that are equally good.
    pub fn choose(&self, by: By, waiting: impl Iterator<Item = Option<CostClass>>) -> usize {
        let better = |best: (usize, f64), (place, gain): (usize, f64)| if gain > best.1 { (place, gain) } else { best };
        waiting.map(|kind| self.gain(by, kind)).enumerate().fold((0, f64::NEG_INFINITY), better).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_video::codec::CodecId;

    const SMALL: CostClass = CostClass { codec: CodecId::H264, size: 16 };
    const LARGE: CostClass = CostClass { codec: CodecId::H264, size: 20 };

    fn costs(small: [u64; 2], large: [u64; 2]) -> Costs {
        let mut costs = Costs::default();
        for (kind, [core, nvdec]) in [(SMALL, small), (LARGE, large)] {
            costs.note(By::Core, kind, 100, Duration::from_millis(core));
            costs.note(By::Nvdec, kind, 100, Duration::from_millis(nvdec));
        }
        costs
    }

    fn choose(costs: &Costs, by: By, waiting: &[Option<CostClass>]) -> usize {
        costs.choose(by, waiting.iter().copied())
    }

    #[test]
    fn each_takes_what_it_is_better_at_and_else_the_first() {
        // NVDEC is faster at both, and much faster at the large ones.
        let costs = costs([100, 90], [1000, 200]);
        for (waiting, core, nvdec) in [
            (&[Some(LARGE), Some(SMALL), Some(LARGE)][..], 1, 0),
            (&[Some(SMALL), Some(SMALL), Some(LARGE)], 0, 2),
            (&[Some(LARGE), Some(LARGE)], 0, 0),
            (&[Some(SMALL)], 0, 0),
            // Of what cannot be looked at nothing is known.
            (&[Some(LARGE), None, Some(SMALL)], 1, 0),
        ] {
            assert_eq!(choose(&costs, By::Core, waiting), core, "{waiting:?}");
            assert_eq!(choose(&costs, By::Nvdec, waiting), nvdec, "{waiting:?}");
        }
    }

    #[test]
    fn everything_is_tried_once_by_both() {
        let mut costs = Costs::default();
        assert_eq!(choose(&costs, By::Core, &[Some(LARGE), Some(SMALL)]), 0);
        costs.note(By::Core, LARGE, 100, Duration::from_secs(1));
        assert_eq!(choose(&costs, By::Core, &[Some(LARGE), Some(SMALL)]), 1);
        assert_eq!(choose(&costs, By::Nvdec, &[Some(LARGE), Some(SMALL)]), 0);
        costs.note(By::Nvdec, LARGE, 0, Duration::from_secs(1));
        assert_eq!(choose(&costs, By::Nvdec, &[None, Some(LARGE)]), 1, "without a frame nothing was tried");
    }

    #[test]
    fn what_changes_is_followed() {
        let mut costs = costs([100, 50], [100, 100]);
        assert_eq!(choose(&costs, By::Nvdec, &[Some(LARGE), Some(SMALL)]), 1);
        for _ in 0..20 {
            costs.note(By::Nvdec, SMALL, 100, Duration::from_millis(400));
        }
        assert_eq!(choose(&costs, By::Nvdec, &[Some(SMALL), Some(LARGE)]), 1);
    }
}
