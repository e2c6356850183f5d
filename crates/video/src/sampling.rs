//! Which frames of a video go into which clip, and which of the clips are the same.

use reeldeck_common::recipe::Sampling;

/// The clips of one video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipPlan {
    /// Frames of the video.
    pub total: u64,
    /// The distinct clips, each with its frame indices in order of time within the clip.
    pub clips: Vec<Vec<u64>>,
    /// For each clip of the feature, which of the distinct ones it is.
    pub clip_of: Vec<usize>,
    /// All distinct frame indices, ascending.
    pub frames: Vec<u64>,
}

impl ClipPlan {
    /// Spreads the clips over `total` frames (at least one).
    ///
    /// Where each begins is [`Sampling::starts`]. Videos shorter than a clip start over from their beginning.
    pub fn new(total: u64, sampling: &Sampling) -> Self {
        let total = total.max(1);
        let offsets = sampling.starts(total);
        let mut starts = offsets.clone();
        starts.dedup(); // Offsets never decrease, so equal ones are neighbours.
        let indices =
            |start: u64| (0..sampling.length as u64).map(move |k| (start + k * sampling.interval as u64) % total);
        let clips: Vec<Vec<u64>> = starts.iter().map(|start| indices(*start).collect()).collect();
        let mut position = 0;
        let clip_of = offsets
            .iter()
            .map(|offset| {
                while starts.get(position).is_some_and(|start| start < offset) {
                    position += 1;
                }
                position
            })
            .collect();
        let mut frames: Vec<u64> = clips.iter().flatten().copied().collect();
        frames.sort_unstable();
        frames.dedup();
        Self { total, clips, clip_of, frames }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: Sampling = Sampling::spread(100, 8, 8);

    /// Rounds half to even by looking at the doubled remainder, with no floating point beyond the product itself.
    fn plain(total: u64) -> Vec<u64> {
        let last = if total > 57 { total as i64 - 57 } else { 0 };
        let mut indices = vec![];
        for i in 0..100u64 {
            let exact = i as f64 * (last as f64 / 99.0);
            let floor = exact.floor();
            let rest = exact - floor;
            let offset =
                if rest > 0.5 || (rest == 0.5 && floor % 2.0 == 1.0) { floor as u64 + 1 } else { floor as u64 };
            for k in 0..8 {
                indices.push((offset + 8 * k) % total);
            }
        }
        indices
    }

    #[test]
    fn every_length_up_to_ten_thousand_agrees_with_the_plain_formula() {
        for total in 1..=10_000 {
            let plan = ClipPlan::new(total, &RECIPE);
            let indices: Vec<u64> = plan.clip_of.iter().flat_map(|c| plan.clips[*c].iter().copied()).collect();
            assert_eq!(indices, plain(total), "{total} frames");
            assert!(plan.frames.windows(2).all(|w| w[0] < w[1]));
            if total >= 57 {
                assert_eq!(plan.frames.last(), Some(&(total - 1)), "the last frame is always asked for");
            } else {
                assert_eq!(plan.clips.len(), 1);
            }
        }
    }

    /// Computed by the original (mmaction2 1.2.0, SampleFrames with test_mode) for files of 280 and 32 frames.
    #[test]
    fn known_indices_of_the_original() {
        let plan = ClipPlan::new(280, &RECIPE);
        assert_eq!(plan.clips[1], [2, 10, 18, 26, 34, 42, 50, 58]);
        assert_eq!(plan.clips[2], [5, 13, 21, 29, 37, 45, 53, 61]);
        assert_eq!(plan.frames.len(), 270);
        assert_eq!(ClipPlan::new(32, &RECIPE).clips, [[0, 8, 16, 24, 0, 8, 16, 24]]);
        assert_eq!(ClipPlan::new(100, &RECIPE).clips.len(), 44);
        assert_eq!(ClipPlan::new(280, &Sampling::spread(1, 8, 8)).clips[0][0], 111);
    }
    /// With 100 clips no offset ever lies in the middle between two frames; with other numbers some do.
    #[test]
    fn an_offset_between_two_frames_goes_to_the_even_one() {
        let sampling = Sampling::spread(3, 1, 1);
        for (total, middle) in [(2, 0), (4, 2), (6, 2), (8, 4), (10, 4)] {
            assert_eq!(sampling.starts(total), [0, middle, total - 1]);
        }
    }
}
