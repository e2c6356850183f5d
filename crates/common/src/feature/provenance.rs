//! Where a feature comes from.

use serde::{Deserialize, Serialize};

use super::FORMAT;
use crate::recipe::{Damage, Precision, Recipe};
use crate::source::SourceStamp;
use crate::versions::SEEDED_WEIGHTS;
use crate::video::VideoName;

/// The provenance of a feature. It contains nothing that differs between two runs on the same machine, such as a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Version of this structure.
    pub format: u32,
    /// `reeldeck` and its version.
    pub tool: String,
    /// The feature set, `<recipe>-<hash8>`.
    pub set: String,
    /// The recipe.
    pub recipe: Recipe,
    /// The weights.
    pub checkpoint: CheckpointId,
    /// The video, `Class/file`.
    pub video: VideoName,
    /// The video file's stamp when it was read.
    pub source: SourceStamp,
    /// Frames of the video.
    pub frames: FrameCounts,
    /// Frames after resampling, if the recipe resamples. Clips are then sampled from these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resampled: Option<u64>,
    /// Average frame rate as numerator and denominator; 0/1 if unknown.
    pub fps: [i32; 2],
    /// Displayed width and height in pixels.
    pub size: [u32; 2],
    /// The model's arithmetic.
    pub precision: Precision,
    /// `cpu` or `cuda`.
    pub device: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// The algorithms of the model's convolutions on a CPU, in words. Features of older versions and of GPUs do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convolutions: Option<String>,
    /// Whether NVDEC decoded the video. Written only if true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nvdec: bool,
    /// Where the number of expected frames comes from. Features of older versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_from: Option<ExpectedFrom>,
}

/// Where the number of frames that a video should have comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedFrom {
    /// The table of all samples in an MP4 file, or the lists in its fragments.
    SampleTable,
    /// An index of the container, such as that of an AVI file.
    ContainerIndex,
    /// What the container says of the video track alone: its number of frames or its duration.
    TrackStatistics,
    /// The duration or the size that the container or the file has for all tracks, at the rate of the frames that are there.
    ContainerHeader,
    /// The packets that are there; the container shows that these are all.
    PacketCount,
    /// The packets that are there; nothing shows whether these are all, so the end of the file cannot be verified.
    Nothing,
}

impl ExpectedFrom {
    /// Whether something shows that the file has no end that is missing.
    pub fn is_verified(self) -> bool {
        self != Self::Nothing
    }

    /// The word for it, as in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SampleTable => "sample-table",
            Self::ContainerIndex => "container-index",
            Self::TrackStatistics => "track-statistics",
            Self::ContainerHeader => "container-header",
            Self::PacketCount => "packet-count",
            Self::Nothing => "nothing",
        }
    }
}

/// The identity of a network's weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointId {
    /// File name, or `seeded`.
    pub name: String,
    /// SHA-256 of the file in hex, or the version of the seeded weights.
    pub digest: String,
    /// Whether these are the seeded weights, so that the features are meaningless.
    #[serde(rename = "meaningless")]
    pub synthetic_weights: bool,
}

impl CheckpointId {
    /// The identity of the seeded weights, which are generated, not read from a file.
    pub fn seeded() -> Self {
        Self { name: "seeded".into(), digest: SEEDED_WEIGHTS.into(), synthetic_weights: true }
    }
}

/// Numbers of frames of a video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameCounts {
    /// Frames that the container announces.
    pub expected: u64,
    /// Frames that the decoder returned. Clips are sampled from these.
    pub output: u64,
    /// Returned frames that the decoder marked as damaged.
    pub concealed: u64,
}

impl FrameCounts {
    /// Frames that the container announces but the decoder did not return.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.output)
    }

    /// Whether any frame is lost or concealed.
    pub fn is_damaged(&self) -> bool {
        self.lost() > 0 || self.concealed > 0
    }

    /// Whether a video with these frames is extracted. Extraction, checks and commands all ask this.
    pub fn are_accepted(&self, damage: Damage) -> bool {
        self.damage() <= damage.max_lost
    }

    /// The ratio of lost and concealed frames to expected frames. It exceeds 1 if the decoder conceals frames beyond the
    /// expected number.
    pub fn damage(&self) -> f64 {
        self.lost().saturating_add(self.concealed) as f64 / self.expected.max(self.output).max(1) as f64
    }
}

impl Provenance {
    /// The current version of this structure.
    pub const FORMAT: u32 = FORMAT;

    /// The frames that clips are sampled from: those of the video, or those after resampling.
    pub fn sampled_frames(&self) -> u64 {
        self.resampled.unwrap_or(self.frames.output)
    }
}
