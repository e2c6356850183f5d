//! The table of videos as clients see it: rows, filters, orders.

use serde::{Deserialize, Serialize};

/// Where a video stands; what needs attention first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum RowState {
    /// No feature came of it.
    Failed,
    /// No frames can be had of it: a check of the file or an attempt says so.
    Corrupt,
    /// In the manifest, and not on disk.
    Missing,
    /// It plays much longer or shorter than the manifest says.
    WrongDuration,
    /// On disk more than once.
    Duplicate,
    /// Its feature is of an older version of the file.
    Stale,
    /// Some frames were lost or concealed: of its feature where it has one, as a check says where it has none.
    Degraded,
    /// A worker has it in hand.
    Running,
    /// Waits for a worker.
    Queued,
    /// Nothing wrong was seen, and no run has it in its queue.
    Ready,
    /// On disk, and not looked into yet.
    Unchecked,
    /// On disk, and not in the manifest.
    Unlisted,
    /// Its feature is there.
    Done,
    /// The user wants it left alone.
    Excluded,
    /// Not part of this run: beyond its limit, or of another shard.
    LeftOut,
}

impl RowState {
    /// All of them, in the order in which they are sorted: what needs attention first.
    pub const ALL: [Self; 15] = [
        Self::Failed,
        Self::Corrupt,
        Self::Missing,
        Self::WrongDuration,
        Self::Duplicate,
        Self::Stale,
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

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Corrupt => "corrupt",
            Self::Missing => "missing",
            Self::WrongDuration => "wrong duration",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
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

/// How many videos stand where, in the order of [`RowState::ALL`].
pub type StateCounts = [u32; RowState::ALL.len()];

/// One video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `Class/file`; of a missing video, the class and the file name without an extension that it should have.
    pub video: String,
    /// Where it stands.
    pub state: RowState,
    /// A feature of it is there, although its state may be another, such as excluded or running again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub has_feature: bool,
    /// Size of the file in bytes; 0 where it is missing.
    pub size: u64,
    /// Attempts charged to it in this run.
    pub attempts: u32,
    /// Why it stands where it stands, where there is more to say than the state.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What a check or an extraction has seen of the file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub facts: Option<RowFacts>,
}

/// What is known of a file that was looked into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowFacts {
    /// Playing time in seconds.
    pub duration_s: f32,
    /// Frames that should come out.
    pub frames: u32,
    /// Width and height in pixels, as shown.
    pub size: [u16; 2],
    /// The codec, as FFmpeg names it.
    pub codec: String,
}

/// A class and how many of its videos stand where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRow {
    /// The class folder.
    pub class: String,
    /// Videos by state.
    pub counts: StateCounts,
    /// Those that are done: with a feature of this very file. What a check calls degraded may not be.
    #[serde(default)]
    pub done: u32,
}

/// Which videos. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Part of the name, the word for the state, or the reason, in any case; empty: all.
    pub text: String,
    /// One of these states; empty: all.
    pub states: Vec<RowState>,
    /// Of this class; none: all.
    pub class: Option<String>,
}

/// What to sort by. Where a value is not known, it comes last in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    /// Class and file, by their bytes.
    #[default]
    Name,
    /// The file name alone.
    File,
    /// The state, what needs attention first.
    State,
    /// The size of the file.
    Size,
    /// Attempts in this run.
    Attempts,
    /// Playing time.
    Length,
    /// Pixels of the picture.
    Picture,
    /// The codec.
    Codec,
    /// The reason.
    Reason,
}

/// In which order; equal ones by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sort {
    /// By what.
    pub by: Column,
    /// The largest first.
    pub descending: bool,
}

/// Videos that an order means: these by name, and all that the filter lets through where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// `Class/file`, as rows name them.
    pub videos: Vec<String>,
    /// Also all of these.
    pub filter: Option<Filter>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts are looked up by the number of a state, and sent in the order of the list.
    #[test]
    fn states_are_listed_in_their_order() {
        for (place, state) in RowState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, place, "{state:?}");
        }
    }
}
