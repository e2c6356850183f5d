//! Assigns frames of a video to clips, and finds equal clips.

use std::ops::Range;

use reeldeck_common::recipe::{Placement, Sampling, Short};

use crate::error::VideoError;

/// The clips of one video. Its size does not depend on the number of windows, except for four bytes for each frame of a video
/// that is resampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipPlan {
    /// Frames that clips are taken from: those of the video, or those after resampling.
    total: u64,
    length: u64,
    interval: u64,
    layout: Layout,
    /// For each frame after resampling, the frame of the video that it shows. Never decreases.
    shown: Option<Vec<u32>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// Clips that are spread over the video. A video shorter than a clip starts over from its beginning.
    Spread {
        /// Where the distinct clips start, ascending.
        starts: Vec<u64>,
        /// How many rows of the feature end with each distinct clip.
        ends: Vec<usize>,
    },
    /// Clips at a constant stride. A video shorter than a clip repeats its last frame.
    Windows { stride: u64, count: usize },
}

impl ClipPlan {
    /// Places the clips on the `total` frames of a video.
    ///
    /// # Errors
    /// When the video is shorter than a window and the sampling does not accept that.
    pub fn new(total: u64, sampling: &Sampling) -> Result<Self, VideoError> {
        Self::place(total, None, sampling)
    }

    /// Places the clips on frames after resampling; `shown` says which frame of the video each of them shows.
    ///
    /// # Errors
    /// As [`ClipPlan::new`].
    pub fn resampled(shown: Vec<u32>, sampling: &Sampling) -> Result<Self, VideoError> {
        Self::place(shown.len() as u64, Some(shown), sampling)
    }

    fn place(total: u64, shown: Option<Vec<u32>>, sampling: &Sampling) -> Result<Self, VideoError> {
        let (length, interval) = (sampling.length as u64, sampling.interval as u64);
        let layout = match sampling.placement {
            Placement::Spread { .. } => Layout::spread(&sampling.starts(total.max(1))),
            Placement::Windows { stride, short, .. } => {
                let count = sampling.rows(total);
                if count == 0 {
                    let can_repeat = short == Short::Drop && total > 0;
                    return Err(VideoError::Short { frames: total, span: sampling.span(), can_repeat });
                }
                Layout::Windows { stride: stride as u64, count }
            }
        };
        Ok(Self { total: total.max(1), length, interval, layout, shown })
    }

    /// Frames that clips are taken from, after resampling.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Frames after resampling, if the video was resampled.
    pub fn resampled_total(&self) -> Option<u64> {
        self.shown.as_ref().map(|shown| shown.len() as u64)
    }

    /// The number of clips of the feature, which is the number of its rows.
    pub fn rows(&self) -> usize {
        match &self.layout {
            Layout::Spread { ends, .. } => ends.last().copied().unwrap_or(0),
            Layout::Windows { count, .. } => *count,
        }
    }

    /// The number of distinct clips.
    pub fn distinct(&self) -> usize {
        match &self.layout {
            Layout::Spread { starts, .. } => starts.len(),
            Layout::Windows { count, .. } => *count,
        }
    }

    /// The number of rows that are complete when the first `distinct` clips are.
    pub fn rows_of(&self, distinct: usize) -> usize {
        match &self.layout {
            Layout::Spread { ends, .. } => {
                distinct.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0)
            }
            Layout::Windows { .. } => distinct,
        }
    }

    /// For each row of the feature, which of the distinct clips it is.
    pub fn clip_of(&self) -> impl Iterator<Item = usize> {
        (0..self.distinct()).flat_map(|clip| (self.rows_of(clip)..self.rows_of(clip + 1)).map(move |_| clip))
    }

    /// The frames of a distinct clip, in order of time within the clip.
    pub fn clip(&self, clip: usize) -> impl Iterator<Item = u64> {
        let start = match &self.layout {
            Layout::Spread { starts, .. } => starts.get(clip).copied().unwrap_or(0),
            Layout::Windows { stride, .. } => clip as u64 * stride,
        };
        (0..self.length).map(move |k| self.source(self.within(start + k * self.interval)))
    }

    /// The frames of all distinct clips, clip by clip.
    pub fn into_clips(self) -> impl Iterator<Item = Vec<u64>> + Send + use<> {
        (0..self.distinct()).map(move |clip| self.clip(clip).collect())
    }

    /// All distinct frames that clips need, ascending.
    pub fn frames(&self) -> impl Iterator<Item = u64> {
        let last = self.shown.as_ref().map_or(self.total, |shown| shown.last().map_or(0, |last| u64::from(*last) + 1));
        (0..last).filter(|frame| self.needs(*frame))
    }

    /// The first frame from this one on that a clip needs.
    pub fn next_needed(&self, from: u64) -> Option<u64> {
        let last = self.shown.as_ref().map_or(self.total, |shown| shown.last().map_or(0, |last| u64::from(*last) + 1));
        (from..last).find(|frame| self.needs(*frame))
    }

    /// Whether a clip needs this frame of the video.
    pub fn needs(&self, frame: u64) -> bool {
        self.places(frame).any(|place| self.is_taken(place))
    }

    /// A place within the frames, for one that may lie beyond a short video's end.
    fn within(&self, place: u64) -> u64 {
        match self.layout {
            Layout::Spread { .. } => place % self.total,
            Layout::Windows { .. } => place.min(self.total - 1),
        }
    }

    /// The frame of the video that is shown in this place.
    fn source(&self, place: u64) -> u64 {
        match &self.shown {
            Some(shown) => shown.get(place as usize).copied().map_or(0, u64::from),
            None => place,
        }
    }

    /// The places that show this frame of the video.
    fn places(&self, frame: u64) -> Range<u64> {
        match &self.shown {
            Some(shown) => {
                let before = |frame: u64| shown.partition_point(|other| u64::from(*other) < frame) as u64;
                before(frame)..before(frame + 1)
            }
            None => frame..(frame + 1).min(self.total),
        }
    }

    /// Whether a clip has a frame in this place.
    fn is_taken(&self, place: u64) -> bool {
        let reach = (self.length - 1) * self.interval;
        if self.total <= reach {
            // The only clip: a spread one wraps around, and a window repeats the last frame.
            return (0..self.length).any(|k| self.within(k * self.interval) == place);
        }
        let from = place.saturating_sub(reach);
        match &self.layout {
            Layout::Spread { starts, .. } => {
                let first = starts.partition_point(|start| *start < from);
                let reaching = starts[first..].iter().take_while(|start| **start <= place);
                reaching.into_iter().any(|start| (place - start).is_multiple_of(self.interval))
            }
            Layout::Windows { stride, count } => {
                let last = (place / stride).min(*count as u64 - 1);
                (from.div_ceil(*stride)..=last).any(|clip| (place - clip * stride).is_multiple_of(self.interval))
            }
        }
    }
}

impl Layout {
    /// `offsets` are the starts of all clips, ascending.
    fn spread(offsets: &[u64]) -> Self {
        let (mut starts, mut ends) = (vec![], vec![]);
        for same in offsets.chunk_by(|a, b| a == b) {
            starts.extend(same.first());
            ends.push(ends.last().copied().unwrap_or(0) + same.len());
        }
        Self::Spread { starts, ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: Sampling = Sampling::spread(100, 8, 8);

    fn indices(plan: &ClipPlan) -> Vec<u64> {
        plan.clip_of().flat_map(|clip| plan.clip(clip)).collect()
    }

    /// The frames of the clips, each once.
    fn distinct(clips: &[u64]) -> Vec<u64> {
        let mut frames = clips.to_vec();
        frames.sort_unstable();
        frames.dedup();
        frames
    }

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
            let plan = ClipPlan::new(total, &RECIPE).unwrap();
            let expected = plain(total);
            assert_eq!(indices(&plan), expected, "{total} frames");
            assert_eq!(plan.rows(), 100);
            if total % 31 == 0 || total < 500 {
                assert_eq!(plan.frames().collect::<Vec<_>>(), distinct(&expected), "{total} frames");
            }
            if total >= 57 {
                assert!(plan.needs(total - 1), "the last frame is always asked for");
            } else {
                assert_eq!(plan.distinct(), 1);
            }
        }
    }

    /// Computed by the original (mmaction2 1.2.0, SampleFrames with test_mode) for files of 280 and 32 frames.
    #[test]
    fn known_indices_of_the_original() {
        let plan = |total| ClipPlan::new(total, &RECIPE).unwrap();
        let clip = |total, clip| plan(total).clip(clip).collect::<Vec<_>>();
        assert_eq!(clip(280, 1), [2, 10, 18, 26, 34, 42, 50, 58]);
        assert_eq!(clip(280, 2), [5, 13, 21, 29, 37, 45, 53, 61]);
        assert_eq!(plan(280).frames().count(), 270);
        assert_eq!(plan(32).distinct(), 1);
        assert_eq!(clip(32, 0), [0, 8, 16, 24, 0, 8, 16, 24]);
        assert_eq!(plan(100).distinct(), 44);
        assert_eq!(ClipPlan::new(280, &Sampling::spread(1, 8, 8)).unwrap().clip(0).next(), Some(111));
    }

    /// With 100 clips no offset ever lies in the middle between two frames; with other numbers some do.
    #[test]
    fn an_offset_between_two_frames_goes_to_the_even_one() {
        let sampling = Sampling::spread(3, 1, 1);
        for (total, middle) in [(2, 0), (4, 2), (6, 2), (8, 4), (10, 4)] {
            assert_eq!(sampling.starts(total), [0, middle, total - 1]);
        }
    }

    /// `range(0, total - span + 1, stride)` of VideoMAE V2's `extract_tad_feature.py`, and the frames of each window.
    fn plain_windows(total: u64, length: u64, interval: u64, stride: u64) -> Vec<Vec<u64>> {
        let mut windows = vec![];
        let mut start = 0;
        while start + (length - 1) * interval < total {
            windows.push((0..length).map(|k| start + k * interval).collect());
            start += stride;
        }
        windows
    }

    #[test]
    fn windows_of_every_length_up_to_ten_thousand_are_those_of_the_original() {
        for (length, interval, stride) in [(16, 1, 4), (16, 1, 16), (32, 2, 8), (2, 3, 1), (16, 1, 50), (4, 7, 3)] {
            let sampling = Sampling::windows(stride, length, interval);
            for total in 1..=10_000 {
                let expected = plain_windows(total, length as u64, interval as u64, stride as u64);
                let Ok(plan) = ClipPlan::new(total, &sampling) else {
                    assert!(expected.is_empty(), "{total} frames");
                    continue;
                };
                assert_eq!((plan.rows(), plan.distinct()), (expected.len(), expected.len()), "{total} frames");
                let last = plan.clip(plan.rows() - 1).collect::<Vec<_>>();
                assert_eq!(expected.last(), Some(&last), "{total} frames");
                if total < 300 || total % 997 == 0 {
                    assert!(plan.clone().into_clips().eq(expected.iter().cloned()), "{total} frames");
                    assert_eq!(plan.frames().collect::<Vec<_>>(), distinct(&expected.concat()), "{total} frames");
                    assert!(plan.clip_of().eq(0..expected.len()));
                }
            }
        }
    }

    #[test]
    fn a_short_video_fails_or_repeats_its_last_frame() {
        let mut sampling = Sampling::windows(4, 16, 2);
        let error = ClipPlan::new(30, &sampling).unwrap_err().to_string();
        assert!(error.contains("30 frames") && error.contains("31") && error.contains("repeat-last"), "{error}");
        sampling.placement = Placement::Windows { stride: 4, fps: None, short: Short::RepeatLast };
        let plan = ClipPlan::new(5, &sampling).unwrap();
        assert_eq!((plan.rows(), indices(&plan)), (1, [vec![0, 2], vec![4; 14]].concat()));
        assert_eq!(plan.frames().collect::<Vec<_>>(), [0, 2, 4]);
        assert_eq!(indices(&ClipPlan::new(31, &sampling).unwrap()), (0..16).map(|k| k * 2).collect::<Vec<_>>());
        assert!(ClipPlan::new(0, &sampling).is_err(), "there is nothing to repeat");
    }

    #[test]
    fn windows_over_resampled_frames_take_the_frames_that_are_shown() {
        let sampling = Sampling::windows(2, 3, 1);
        let plan = ClipPlan::resampled(vec![0, 0, 2, 5, 5, 7, 8], &sampling).unwrap();
        assert_eq!((plan.total(), plan.rows()), (7, 3));
        assert_eq!(indices(&plan), [0, 0, 2, 2, 5, 5, 5, 7, 8]);
        assert_eq!(plan.frames().collect::<Vec<_>>(), [0, 2, 5, 7, 8]);
        assert_eq!((plan.next_needed(3), plan.next_needed(9)), (Some(5), None));
        assert!(!plan.needs(1) && !plan.needs(100));
    }

    #[test]
    fn a_plan_of_overlapping_windows_holds_no_lists() {
        let plan = ClipPlan::new(10_000_000, &Sampling::windows(1, 256, 1)).unwrap();
        assert_eq!(plan.rows(), 10_000_000 - 255);
        assert!(matches!(plan, ClipPlan { layout: Layout::Windows { .. }, shown: None, .. }));
    }
}
