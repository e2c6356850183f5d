//! The table of videos as clients see it: rows, filters, orders.

use serde::{Deserialize, Serialize};

/// Where a video stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum RowState {
    /// A worker has it in hand.
    Running,
    /// Waits for a worker.
    Queued,
    /// No feature came of it.
    Failed,
    /// Its feature is of an older version of the file.
    Stale,
    /// Its feature is there, and some frames were lost or concealed.
    Degraded,
    /// Its feature is there.
    Done,
    /// Not part of this run.
    LeftOut,
}

impl RowState {
    /// All of them, in the order in which they are sorted.
    pub const ALL: [Self; 7] =
        [Self::Running, Self::Queued, Self::Failed, Self::Stale, Self::Degraded, Self::Done, Self::LeftOut];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Queued => "queued",
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Degraded => "degraded",
            Self::Done => "done",
            Self::LeftOut => "left-out",
        }
    }
}

/// One video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `Class/file`.
    pub video: String,
    /// Where it stands.
    pub state: RowState,
    /// Size of the file in bytes.
    pub size: u64,
    /// Attempts charged to it in this run.
    pub attempts: u32,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// A class and how many of its videos stand where, in the order of [`RowState::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRow {
    /// The class folder.
    pub class: String,
    /// Videos by state.
    pub counts: [u32; RowState::ALL.len()],
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

/// What to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    /// The name, by its bytes.
    #[default]
    Name,
    /// The state, what needs attention first.
    State,
    /// The size of the file.
    Size,
    /// Attempts in this run.
    Attempts,
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
