//! The events of a run. `--json`, the journal and clients receive the same lines. docs/EVENTS.md explains them.

use std::path::PathBuf;

use jiff::Timestamp;
use reeldeck_common::clock;
use reeldeck_common::error::ErrorKind;
use reeldeck_common::json;
use reeldeck_common::protocol::Report;
use serde::{Deserialize, Serialize};

use super::snapshot::{Counts, Folder};

/// The version of the schema. It increases when a field is removed or changes its meaning, not when one is added.
pub const SCHEMA: u32 = 2;

/// One event with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The time, in RFC 3339 and UTC.
    pub time: Timestamp,
    /// The content.
    #[serde(flatten)]
    pub event: Event,
}

impl Line {
    /// An event that happens now.
    pub fn now(event: Event) -> Self {
        // Nanoseconds would only make the lines longer.
        let now = clock::now();
        Self { schema: SCHEMA, time: now.round(jiff::Unit::Microsecond).unwrap_or(now), event }
    }

    /// The event as one line, with its line break.
    pub fn text(&self) -> String {
        // Plain data with string keys always has a JSON form.
        let mut text = json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// The content of an event. Field names are part of the schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "docs/EVENTS.md explains every field, and a test holds it against these")]
pub enum Event {
    RunStarted(Box<Started>),
    WorkerReady {
        worker: usize,
        device: String,
        detail: String,
        load_ms: u64,
    },
    WorkerWarning {
        worker: usize,
        device: String,
        text: String,
    },
    WorkerRestarted {
        worker: usize,
        device: String,
        reason: String,
    },
    WorkerLost {
        worker: usize,
        device: String,
        reason: String,
    },
    BatchReduced {
        worker: usize,
        device: String,
        batch: usize,
    },
    VideoAssigned {
        video: String,
        worker: usize,
        device: String,
        alone: bool,
    },
    VideoStarted {
        video: String,
        worker: usize,
        device: String,
        attempt: u32,
        alone: bool,
    },
    VideoDone {
        video: String,
        worker: usize,
        device: String,
        degraded: bool,
        report: Report,
    },
    VideoFailed {
        video: String,
        worker: usize,
        device: String,
        attempt: u32,
        kind: ErrorKind,
        error: String,
        retry_in_s: Option<f64>,
    },
    VideoReturned {
        video: String,
        reason: String,
    },
    Paused,
    Resumed,
    Held {
        folder: Folder,
        reason: String,
    },
    OutputBack {
        lost: usize,
    },
    DatasetBack,
    Requeued {
        videos: usize,
    },
    Command {
        command: String,
        done: bool,
        message: String,
    },
    Stopping,
    StoppingNow,
    Blocked {
        reason: String,
    },
    Progress {
        counts: Counts,
        clips_per_s: Option<f64>,
        eta_s: Option<u64>,
    },
    RunEnded {
        exit: u8,
        counts: Counts,
        seconds: f64,
        reason: Option<String>,
    },
    Exported {
        videos: usize,
        missing: usize,
        path: PathBuf,
    },
    ExportFailed {
        reason: String,
    },
    DatasetChanged {
        arrived: usize,
        changed: usize,
        gone: usize,
        #[serde(default)]
        videos: ChangedVideos,
    },
}

/// The videos that have changed in the dataset folder, `Class/file`. Of each kind they are named if they are few.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "docs/EVENTS.md explains every field")]
pub struct ChangedVideos {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arrived: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

/// The beginning of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/EVENTS.md explains every field")]
pub struct Started {
    pub tool: String,
    pub host: String,
    pub pid: u32,
    pub root: PathBuf,
    pub out: PathBuf,
    pub set: String,
    pub weights: String,
    pub devices: Vec<String>,
    pub counts: Counts,
}
