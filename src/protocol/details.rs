//! All there is to know about one video, for a client that shows it.

use std::path::PathBuf;

use jiff::Timestamp;
use reeldeck_common::failure::Attempt;
use serde::{Deserialize, Serialize};

use super::row::Row;

/// Classes of the network that a timeline names at most; the others are shown as one.
pub const NAMED_CLASSES: usize = 8;

/// One video in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// As in the table.
    pub row: Row,
    /// The file, absolute; none where it is missing.
    pub path: Option<PathBuf>,
    /// When the file was changed last.
    pub modified: Option<Timestamp>,
    /// The container, as FFmpeg names it.
    pub container: Option<String>,
    /// Average frame rate, frames a second.
    pub fps: Option<f64>,
    /// Attempts that gave no feature, oldest first.
    pub attempts: Vec<Attempt>,
    /// What to do about its state, for people.
    pub next_step: Option<String>,
    /// What the manifest says of it.
    pub listed: Option<ListedVideo>,
    /// Its feature, where there is one that can be read.
    pub feature: Option<FeatureDetails>,
    /// Why its feature cannot be read, where that is so.
    pub feature_error: Option<String>,
}

/// What the manifest says of a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedVideo {
    /// The id, without prefix and extension.
    pub id: String,
    /// Playing time in seconds.
    pub duration_s: Option<f64>,
    /// `training`, `validation`, `testing`.
    pub subset: Option<String>,
    /// Where it can be fetched.
    pub url: Option<String>,
    /// What happens when.
    pub segments: Vec<Segment>,
}

/// An annotated span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The label, with spaces.
    pub label: String,
    /// Seconds from the beginning.
    pub start_s: f64,
    /// Seconds from the beginning.
    pub end_s: f64,
}

/// A feature and a look inside.
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
    /// The weights are made up: the numbers mean nothing.
    pub meaningless: bool,
    /// As the recipe names it.
    pub precision: String,
    /// The kind of device.
    pub device: String,
    /// Frames that should have come out, that came out, and that were seen to be broken.
    pub frames: [u64; 3],
    /// For each clip, the place in `classes` of the class with the largest logit; `classes.len()` where it is none of them.
    /// Empty where the feature has no logits.
    pub top1: Vec<u8>,
    /// The most frequent top classes, at most [`NAMED_CLASSES`], the most frequent first: name and number of clips.
    pub classes: Vec<(String, u32)>,
    /// Rows of a heat map, each with a value a clip, 0 to 255 over the range of the whole feature: groups of neighbouring
    /// columns, their mean.
    pub heat: Vec<Vec<u8>>,
}
