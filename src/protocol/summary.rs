//! The summary of a run that has ended. The engine writes it to the output folder, `reeldeck status` prints it, and clients show
//! it.

use std::path::PathBuf;

use jiff::Timestamp;
use reeldeck_common::error::ErrorKind;
use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// Groups of failures beyond this number are summed up in the last one.
pub(crate) const MAX_GROUPS: usize = 8;

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// When it began.
    pub started: Timestamp,
    /// When its last worker ended.
    pub ended: Timestamp,
    /// How it ended.
    pub ending: Ending,
    /// The exit code.
    pub exit: u8,
    /// Why it ended early, unless a user stopped it.
    pub reason: Option<String>,
    /// Its duration in seconds.
    pub seconds: f64,
    /// The final counts. `done - resumed` and `failed - failed_before` are those of this run.
    pub counts: Counts,
    /// The files of the dataset folder that were refused.
    pub refused: usize,
    /// The failed videos by reason, the largest group first, at most 8 groups.
    pub failures: Vec<FailureGroup>,
    /// Clips computed in this run.
    pub clips: usize,
    /// Clips per second of the whole run.
    pub clips_per_s: f64,
    /// The exports of this run, those that ended after it included.
    pub exports: Vec<ExportSummary>,
    /// The folder of the features.
    pub features: PathBuf,
    /// What to do next, for people; none if nothing is left.
    pub next_step: Option<String>,
}

impl RunSummary {
    /// The videos that this run has done.
    pub fn done(&self) -> usize {
        self.counts.done_in_run()
    }

    /// The videos that this run has failed.
    pub fn failed(&self) -> usize {
        self.counts.failed_in_run()
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It has processed all its videos.
    Finished,
    /// A user or a signal has stopped it.
    Stopped,
    /// It could not continue; `reason` says why.
    Failed,
}

impl Ending {
    /// The name, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// Videos that failed for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureGroup {
    /// The kind of the failure; none for the sum of all smaller groups.
    pub kind: Option<ErrorKind>,
    /// The reason, for people. Numbers in it are those of the first video.
    pub reason: String,
    /// The number of videos.
    pub videos: usize,
    /// One of the videos.
    pub example: String,
}

/// An export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportSummary {
    /// Its folder, or `result.pkl`.
    pub path: PathBuf,
    /// The videos in it.
    pub videos: usize,
    /// Those that are missing from it.
    pub missing: usize,
}
