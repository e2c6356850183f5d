//! The table of videos as clients see it: rows, filters, sort orders.

use serde::{Deserialize, Serialize};

/// The state of a row. Each video is in exactly one, and what is known of its file stands beside it as [`Findings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum RowState {
    /// Its extraction failed, in this run or in an earlier one.
    Failed,
    /// It is in the manifest but not on disk.
    Missing,
    /// A file that looks like a video and cannot be used, such as one outside of the layout. It is no video.
    Refused,
    /// Its feature was made from an older version of the file.
    Stale,
    /// A worker processes it.
    Running,
    /// This run extracts it, or the next one if none is active.
    Queued,
    /// Its feature exists.
    Done,
    /// The user has excluded it.
    Excluded,
    /// It is not part of this run: beyond its limit.
    LeftOut,
    /// A file that does not look like a video, or an incomplete download. It is no video.
    Ignored,
}

impl RowState {
    /// All states in their sort order.
    pub const ALL: [Self; 10] = [
        Self::Failed,
        Self::Missing,
        Self::Refused,
        Self::Stale,
        Self::Running,
        Self::Queued,
        Self::Done,
        Self::Excluded,
        Self::LeftOut,
        Self::Ignored,
    ];

    /// The name of the state, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Missing => "missing",
            Self::Refused => "refused",
            Self::Stale => "stale",
            Self::Running => "running",
            Self::Queued => "queued",
            Self::Done => "done",
            Self::Excluded => "excluded",
            Self::LeftOut => "left out",
            Self::Ignored => "ignored",
        }
    }

    /// Whether it needs attention.
    pub fn is_problem(self) -> bool {
        matches!(self, Self::Failed | Self::Missing | Self::Refused | Self::Stale)
    }

    /// Whether the row is a video, on disk or in the manifest.
    pub fn is_video(self) -> bool {
        !matches!(self, Self::Refused | Self::Ignored)
    }
}

/// The number of rows in each state, in the order of [`RowState::ALL`].
pub type StateCounts = [u32; RowState::ALL.len()];

/// Something that is known of a video's file or feature, whatever its state. A run does not change the findings of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Finding {
    /// It has no usable frames or exceeds a limit, as a check or an extraction has found.
    Corrupt,
    /// Its feature file is damaged. The next run extracts it again.
    Damaged,
    /// Its duration differs from the manifest.
    WrongDuration,
    /// It is on disk more than once.
    Duplicate,
    /// Some frames were lost or concealed, in its feature or in a check.
    Degraded,
    /// It is on disk but not in the manifest.
    Unlisted,
    /// Its file was not checked. A plain run checks nothing, so this is no fault.
    Unchecked,
}

impl Finding {
    /// All findings, the worst first.
    pub const ALL: [Self; 7] = [
        Self::Corrupt,
        Self::Damaged,
        Self::WrongDuration,
        Self::Duplicate,
        Self::Degraded,
        Self::Unlisted,
        Self::Unchecked,
    ];

    /// Whether it needs attention.
    pub fn is_problem(self) -> bool {
        matches!(self, Self::Corrupt | Self::Damaged | Self::WrongDuration | Self::Duplicate)
    }

    /// The name of the finding, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::Damaged => "damaged",
            Self::WrongDuration => "wrong duration",
            Self::Duplicate => "duplicate",
            Self::Degraded => "degraded",
            Self::Unlisted => "unlisted",
            Self::Unchecked => "unchecked",
        }
    }
}

/// The number of rows with each finding, in the order of [`Finding::ALL`]. A row may have several.
pub type FindingCounts = [u32; Finding::ALL.len()];

/// The findings of one row. In JSON, an array of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Finding>", into = "Vec<Finding>")]
pub struct Findings(u8);

impl Findings {
    /// No finding.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Whether this is one of them.
    pub fn has(self, finding: Finding) -> bool {
        self.0 & 1 << finding as u8 != 0
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.0 |= 1 << finding as u8;
    }

    /// The findings, the worst first.
    pub fn iter(self) -> impl Iterator<Item = Finding> {
        Finding::ALL.into_iter().filter(move |finding| self.has(*finding))
    }

    /// The worst finding.
    pub fn worst(self) -> Option<Finding> {
        self.iter().next()
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(all: I) -> Self {
        let mut findings = Self::default();
        all.into_iter().for_each(|finding| findings.add(finding));
        findings
    }
}

impl From<Vec<Finding>> for Findings {
    fn from(all: Vec<Finding>) -> Self {
        all.into_iter().collect()
    }
}

impl From<Findings> for Vec<Finding> {
    fn from(findings: Findings) -> Self {
        findings.iter().collect()
    }
}

/// One video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `Class/file`. A missing video has the file name from the manifest, without an extension. A refused or ignored file has
    /// its path in the dataset folder, safe for a terminal.
    pub video: String,
    /// Its state.
    pub state: RowState,
    /// What is known of its file and its feature.
    #[serde(skip_serializing_if = "Findings::is_empty", default)]
    pub findings: Findings,
    /// Whether it has a feature, whatever its state, such as excluded or running again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub has_feature: bool,
    /// Whether it is in flight and excluded afterwards.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub leaves: bool,
    /// The size of the file in bytes; 0 if it is missing.
    pub size: u64,
    /// Its failed attempts, those of earlier runs included.
    pub attempts: u32,
    /// Why it has this state or its worst finding, where their names alone do not explain it.
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

/// The class of videos whose class is unknown.
pub const NO_CLASS: &str = "(no class)";

/// A class and the number of its videos in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRow {
    /// The class folder.
    pub class: String,
    /// The number of videos in each state.
    pub counts: StateCounts,
    /// The number of videos with each finding.
    #[serde(default)]
    pub findings: FindingCounts,
    /// The number of videos whose state or findings need attention.
    #[serde(default)]
    pub problems: u32,
}

/// A filter of videos. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// A part of the name, the state, a finding or the reason, in any case; no condition if empty.
    pub text: String,
    /// The accepted states. A row passes with an accepted state or an accepted finding; no condition if both are empty.
    pub states: Vec<RowState>,
    /// The accepted findings.
    pub findings: Vec<Finding>,
    /// The class; no condition if none.
    pub class: Option<String>,
}

impl Filter {
    /// The states and findings that need attention.
    pub(crate) fn problems() -> Self {
        Self {
            states: RowState::ALL.into_iter().filter(|state| state.is_problem()).collect(),
            findings: Finding::ALL.into_iter().filter(|finding| finding.is_problem()).collect(),
            ..Self::default()
        }
    }

    /// Whether it accepts exactly what needs attention.
    pub(crate) fn is_problems(&self) -> bool {
        let problems = Self::problems();
        (&self.states, &self.findings) == (&problems.states, &problems.findings)
    }
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
    /// The state, in the order of [`RowState::ALL`], then the worst finding.
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
        for (place, finding) in Finding::ALL.into_iter().enumerate() {
            assert_eq!(finding as usize, place, "{finding:?}");
        }
    }

    #[test]
    fn findings_are_sent_as_names() {
        let findings: Findings = [Finding::Unlisted, Finding::Corrupt].into_iter().collect();
        let text = serde_json::to_string(&findings).unwrap();
        assert_eq!(text, r#"["corrupt","unlisted"]"#);
        assert_eq!(serde_json::from_str::<Findings>(&text).unwrap(), findings);
        assert_eq!((findings.worst(), Findings::default().worst()), (Some(Finding::Corrupt), None));
    }
}
