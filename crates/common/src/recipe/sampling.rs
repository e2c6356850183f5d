//! The frames that a recipe uses: clips spread over the video, or windows at a constant stride.

use serde::{Deserialize, Serialize};

use super::within;

/// The frames of a video to use. Its serialised form has the keys of a recipe's `[sampling]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Keys", into = "Keys")]
pub struct Sampling {
    /// Where the clips start.
    pub placement: Placement,
    /// Frames per clip.
    pub length: usize,
    /// Distance between the frames of a clip, in frames.
    pub interval: usize,
}

/// Where the clips of a video start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Placement {
    /// A fixed number of clips at regular intervals over the whole video.
    Spread {
        /// Clips per video.
        clips: usize,
    },
    /// A clip every `stride` frames, as many as fit into the video.
    Windows {
        /// Frames from the start of a clip to the start of the next.
        stride: usize,
        /// The rate in frames per second that the video is resampled to first; `None` for its own frames.
        fps: Option<f64>,
        /// What happens to a video that is shorter than a clip.
        short: Short,
    },
}

/// What happens to a video that is shorter than a clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Short {
    /// It has no clips and fails.
    #[default]
    Drop,
    /// Its last frame is repeated until there is one clip.
    RepeatLast,
}

/// The keys of a recipe. The hash of a feature set covers their order, so new keys are left out when they are absent.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clips: Option<usize>,
    length: usize,
    interval: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fps: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    short: Option<Short>,
}

impl TryFrom<Keys> for Sampling {
    type Error = &'static str;

    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let Keys { clips, length, interval, stride, fps, short } = keys;
        let placement = match (clips, stride) {
            (Some(_), Some(_)) => return Err("sampling has both `clips` and `stride`: remove one of them"),
            (None, None) => return Err("sampling has neither `clips` nor `stride`: add one of them"),
            (Some(_), None) if fps.is_some() || short.is_some() => {
                return Err("sampling has `clips`: `fps` and `short` go with `stride` only, remove them");
            }
            (Some(clips), None) => Placement::Spread { clips },
            (None, Some(stride)) => Placement::Windows { stride, fps, short: short.unwrap_or_default() },
        };
        Ok(Self { placement, length, interval })
    }
}

impl From<Sampling> for Keys {
    fn from(sampling: Sampling) -> Self {
        let Sampling { placement, length, interval } = sampling;
        let keys = Self { clips: None, length, interval, stride: None, fps: None, short: None };
        match placement {
            Placement::Spread { clips } => Self { clips: Some(clips), ..keys },
            Placement::Windows { stride, fps, short } => {
                Self { stride: Some(stride), fps, short: (short != Short::default()).then_some(short), ..keys }
            }
        }
    }
}

impl Sampling {
    /// Seconds of a video of usual length, for estimates.
    const USUAL_SECONDS: f64 = 240.0;

    /// A fixed number of clips spread over the whole video.
    pub const fn spread(clips: usize, length: usize, interval: usize) -> Self {
        Self { placement: Placement::Spread { clips }, length, interval }
    }

    /// Clips at a constant stride over the video's own frames. A video that is shorter than a clip fails.
    pub const fn windows(stride: usize, length: usize, interval: usize) -> Self {
        Self { placement: Placement::Windows { stride, fps: None, short: Short::Drop }, length, interval }
    }

    /// The rate in frames per second that a video is resampled to first; `None` for its own frames.
    pub fn fps(&self) -> Option<f64> {
        match self.placement {
            Placement::Spread { .. } => None,
            Placement::Windows { fps, .. } => fps,
        }
    }

    /// Frames from the first to the last frame of a clip, both included.
    pub fn span(&self) -> u64 {
        (self.length as u64).saturating_sub(1) * self.interval as u64 + 1
    }

    /// The number of clips of a video with `frames` frames (after resampling), which is the number of rows of its feature.
    pub fn rows(&self, frames: u64) -> usize {
        match self.placement {
            Placement::Spread { clips } => clips,
            Placement::Windows { stride, short, .. } => match frames.checked_sub(self.span()) {
                Some(last) => usize::try_from(last / stride.max(1) as u64).map_or(usize::MAX, |before| before + 1),
                None => usize::from(short == Short::RepeatLast && frames > 0),
            },
        }
    }

    /// The number of clips of every video; `None` if it depends on the video's length.
    pub fn fixed_rows(&self) -> Option<usize> {
        match self.placement {
            Placement::Spread { clips } => Some(clips),
            Placement::Windows { .. } => None,
        }
    }

    /// The number of clips of a video of usual length, for estimates before any video is known: four minutes
    /// at 30 frames per second, or at the rate of the resampling.
    pub fn usual_rows(&self) -> usize {
        self.rows((Self::USUAL_SECONDS * self.fps().unwrap_or(30.0)) as u64)
    }

    /// The first frame of each clip of a video with `frames` frames (after resampling), in ascending order.
    ///
    /// Spread clips: clip `i` of `n` starts at `round(i * (last / (n - 1)))`, rounded half to even, where `last` is the latest
    /// start of a clip that fits into the video. A single clip starts in the middle. Windows: clip `i` starts at `i * stride`.
    pub fn starts(&self, frames: u64) -> Vec<u64> {
        match self.placement {
            Placement::Spread { clips: 1 } => vec![frames.saturating_sub(self.span()) / 2],
            Placement::Spread { clips } => {
                let step = frames.saturating_sub(self.span()) as f64 / (clips - 1) as f64;
                (0..clips).map(|i| (i as f64 * step).round_ties_even() as u64).collect()
            }
            Placement::Windows { stride, .. } => (0..self.rows(frames) as u64).map(|i| i * stride as u64).collect(),
        }
    }

    /// Checks the ranges of all values.
    ///
    /// # Errors
    /// The first key that is out of range, and its valid values.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.placement {
            Placement::Spread { clips } => within("sampling.clips", clips, 1, 10_000)?,
            Placement::Windows { stride, fps, .. } => {
                within("sampling.stride", stride, 1, 100_000)?;
                if let Some(fps) = fps.filter(|fps| !(0.1..=1000.0).contains(fps)) {
                    return Err(format!("sampling.fps = {fps}: must be 0.1 to 1000"));
                }
            }
        }
        within("sampling.length", self.length, 1, 256)?;
        within("sampling.interval", self.interval, 1, 256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The original is `range(0, frames - span + 1, stride)`.
    #[test]
    fn windows_start_as_in_pythons_range() {
        for (length, interval, stride) in [(16, 1, 4), (16, 1, 16), (32, 2, 8), (1, 1, 1), (8, 8, 7)] {
            let sampling = Sampling::windows(stride, length, interval);
            for frames in 0..=10_000_u64 {
                let end = frames as i64 - sampling.span() as i64 + 1;
                let expected: Vec<u64> = (0..end.max(0)).step_by(stride).map(|start| start as u64).collect();
                assert_eq!(sampling.rows(frames), expected.len());
                if frames % 97 < 3 {
                    assert_eq!(sampling.starts(frames), expected, "{frames} frames");
                }
            }
        }
    }

    #[test]
    fn a_short_video_has_one_clip_only_if_its_last_frame_is_repeated() {
        let mut sampling = Sampling::windows(4, 16, 1);
        assert_eq!((sampling.rows(15), sampling.rows(16)), (0, 1));
        sampling.placement = Placement::Windows { stride: 4, fps: None, short: Short::RepeatLast };
        assert_eq!((sampling.rows(0), sampling.rows(1), sampling.rows(19), sampling.rows(20)), (0, 1, 1, 2));
        assert_eq!(sampling.starts(3), [0]);
    }

    #[test]
    fn the_keys_survive_a_round_trip() {
        for text in [
            r#"{"clips":100,"length":8,"interval":8}"#,
            r#"{"length":16,"interval":1,"stride":4}"#,
            r#"{"length":16,"interval":1,"stride":4,"fps":15.0,"short":"repeat-last"}"#,
        ] {
            let sampling: Sampling = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&sampling).unwrap(), text);
        }
        let said: Sampling = serde_json::from_str(r#"{"length":16,"interval":1,"stride":4,"short":"drop"}"#).unwrap();
        assert_eq!(said, Sampling::windows(4, 16, 1));
    }

    #[test]
    fn clips_and_stride_exclude_each_other() {
        for (text, says) in [
            (r#"{"clips":1,"length":8,"interval":8,"stride":1}"#, "both `clips` and `stride`"),
            (r#"{"length":8,"interval":8}"#, "neither `clips` nor `stride`"),
            (r#"{"clips":1,"length":8,"interval":8,"fps":15}"#, "go with `stride` only"),
        ] {
            let error = serde_json::from_str::<Sampling>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
