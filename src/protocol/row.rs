//! The table of videos as clients see it: rows, filters, sort orders.

use serde::{Deserialize, Serialize};

/// The state of a video. States that need attention come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum RowState {
    /// Its extraction failed.
    Failed,
    /// It has no usable frames, as a check or an extraction has found.
    Corrupt,
    /// It is in the manifest but not on disk.
    Missing,
    /// Its duration differs from the manifest.
    WrongDuration,
    /// It is on disk more than once.
    Duplicate,
    /// Its feature was made from an older version of the file.
    Stale,
    /// Its feature file is damaged. The next run extracts it again.
    Damaged,
    /// Some frames were lost or concealed, in its feature or, without a feature, in a check.
    Degraded,
    /// A worker processes it.
    Running,
    /// It waits for a worker.
    Queued,
    /// A check found no fault, and no run has queued it.
    Ready,
    /// It is on disk and not checked yet.
    Unchecked,
    /// It is on disk but not in the manifest.
    Unlisted,
    /// Its feature exists.
    Done,
    /// The user has excluded it.
    Excluded,
    /// It is not part of this run: beyond its limit, or of another shard.
    LeftOut,
}

impl RowState {
    /// All states in their sort order.
    pub const ALL: [Self; 16] = [
        Self::Failed,
        Self::Corrupt,
        Self::Missing,
        Self::WrongDuration,
        Self::Duplicate,
        Self::Stale,
        Self::Damaged,
        Self::Degraded,
        Self::Running,
        Self::Queued,
        Self::Ready,
        Self::Unchecked,
        Self::Unlisted,
        Self::Done,
        Self::Excluded,
        Self::LeftOut,
    ];

    /// The name of the state, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Corrupt => "corrupt",
            Self::Missing => "missing",
            Self::WrongDuration => "wrong duration",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Damaged => "damaged",
            Self::Degraded => "degraded",
            Self::Queued => "queued",
            Self::Ready => "ready",
            Self::Unchecked => "unchecked",
            Self::Unlisted => "unlisted",
            Self::Done => "done",
            Self::Excluded => "excluded",
            Self::LeftOut => "left out",
        }
    }
}

/// The number of videos in each state, in the order of [`RowState::ALL`].
pub type StateCounts = [u32; RowState::ALL.len()];

/// One video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `Class/file`. A missing video has the file name from the manifest, without an extension.
    pub video: String,
    /// Its state.
    pub state: RowState,
    /// Whether it has a feature, whatever its state, such as excluded or running again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub has_feature: bool,
    /// The size of the file in bytes; 0 if it is missing.
    pub size: u64,
    /// The attempts that were charged to it in this run.
    pub attempts: u32,
    /// Why it has this state, where the state alone does not explain it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What a check or an extraction has found in the file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub facts: Option<RowFacts>,
}

/// The properties of a file that was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowFacts {
    /// Playing time in seconds.
    pub duration_s: f32,
    /// The expected number of frames.
    pub frames: u32,
    /// Width and height in pixels, as displayed.
    pub size: [u16; 2],
    /// FFmpeg's name of the codec.
    pub codec: String,
}

/// A class and the number of its videos in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRow {
    /// The class folder.
    pub class: String,
    /// The number of videos in each state.
    pub counts: StateCounts,
    /// The number of videos whose feature is up to date. A video that a check calls degraded may have none.
    #[serde(default)]
    pub done: u32,
}

/// A filter of videos. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// A part of the name, the state or the reason, in any case; no condition if empty.
    pub text: String,
    /// The accepted states; no condition if empty.
    pub states: Vec<RowState>,
    /// The class; no condition if none.
    pub class: Option<String>,
}

/// A column to sort by. Unknown values come last in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    /// Class and file name, compared as bytes.
    #[default]
    Name,
    /// The file name without the class.
    File,
    /// The state, in the order of [`RowState::ALL`].
    State,
    /// The size of the file.
    Size,
    /// Attempts in this run.
    Attempts,
    /// Playing time.
    Length,
    /// The number of pixels of a frame.
    Picture,
    /// The codec.
    Codec,
    /// The reason.
    Reason,
}

/// A sort order. Equal values are sorted by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sort {
    /// The column.
    pub by: Column,
    /// Whether the largest value comes first.
    pub descending: bool,
}

/// A selection of videos for an order: some by name, and all that pass a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// `Class/file`, as in their rows.
    pub videos: Vec<String>,
    /// Selects all videos that pass; none selects no further videos.
    pub filter: Option<Filter>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts are indexed by the number of a state and sent in the order of the list.
    #[test]
    fn states_are_listed_in_their_order() {
        for (place, state) in RowState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, place, "{state:?}");
        }
    }
}
