//! Everything about one video, for a client that shows it.

use std::path::PathBuf;

use jiff::Timestamp;
use reeldeck_common::failure::Attempt;
use serde::{Deserialize, Serialize};

use super::row::Row;

/// The number of classes of the network that a timeline names. The others are shown as one.
pub const NAMED_CLASSES: usize = 8;

/// Everything about one video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Its row in the table.
    pub row: Row,
    /// The absolute path of the file; none if it is missing.
    pub path: Option<PathBuf>,
    /// When the file was last modified.
    pub modified: Option<Timestamp>,
    /// FFmpeg's name of the container.
    pub container: Option<String>,
    /// The average frame rate, in frames per second.
    pub fps: Option<f64>,
    /// The failed attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// The next step for its state, for people.
    pub next_step: Option<String>,
    /// Its entry in the manifest.
    pub listed: Option<ListedVideo>,
    /// Its feature, if one exists and can be read.
    pub feature: Option<FeatureDetails>,
    /// Why its feature cannot be read.
    pub feature_error: Option<String>,
}

/// The entry of a video in the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedVideo {
    /// The id, without prefix and extension.
    pub id: String,
    /// Playing time in seconds.
    pub duration_s: Option<f64>,
    /// `training`, `validation`, `testing`.
    pub subset: Option<String>,
    /// Where it can be downloaded.
    pub url: Option<String>,
    /// The annotated segments.
    pub segments: Vec<Segment>,
}

/// An annotated segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The label, with spaces.
    pub label: String,
    /// Seconds from the beginning.
    pub start_s: f64,
    /// Seconds from the beginning.
    pub end_s: f64,
}

/// A feature and a summary of its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureDetails {
    /// The file.
    pub path: PathBuf,
    /// When it was written.
    pub written: Option<Timestamp>,
    /// Tensors with their shapes, such as `logits` 100×700.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// The feature set: recipe and hash.
    pub set: String,
    /// The checkpoint's name.
    pub checkpoint: String,
    /// Seeded weights: the feature is meaningless.
    pub synthetic_weights: bool,
    /// The precision, as in the recipe.
    pub precision: String,
    /// The kind of device.
    pub device: String,
    /// The number of expected, decoded and concealed frames.
    pub frames: [u64; 3],
    /// For each clip, the index in `classes` of the class with the largest logit, or `classes.len()` if it is none of them.
    /// Empty if the feature has no logits.
    pub top1: Vec<u8>,
    /// The most frequent top classes with their number of clips, at most [`NAMED_CLASSES`], most frequent first.
    pub classes: Vec<(String, u32)>,
    /// For a feature without logits, how alike each clip is to the first one: the cosine of their angle, -1 to 1, in as many
    /// equal parts of the video as `heat` has. Empty for a feature with logits.
    #[serde(default)]
    pub similarity: Vec<f32>,
    /// The rows of a heat map, with a value for each clip, or for equal parts of a video with very many clips. A row is the mean of neighbouring columns, scaled to 0 to 255 over
    /// the range of the whole feature.
    pub heat: Vec<Vec<u8>>,
}
