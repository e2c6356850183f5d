//! The sections `[engine]` and `[watch]`.

use serde::{Deserialize, Serialize};

/// `[engine]`: the order of the videos, and how an engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSection {
    pub order: QueueOrder,
    pub linger_s: u64,
    pub kill_wait_s: u64,
}

impl Default for EngineSection {
    fn default() -> Self {
        Self { order: QueueOrder::LargestFirst, linger_s: 30, kill_wait_s: 0 }
    }
}

/// `[watch]`: how changes of the dataset folder are detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchSection {
    pub mode: WatchMode,
    pub settle_s: u64,
    pub poll_s: u64,
}

impl Default for WatchSection {
    fn default() -> Self {
        Self { mode: WatchMode::Auto, settle_s: 10, poll_s: 60 }
    }
}

/// How changes of the dataset folder are detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchMode {
    /// By events; by polling on file systems without events, such as network file systems.
    Auto,
    /// By events only.
    Events,
    /// By polling only.
    Polling,
    /// Not at all.
    Off,
}

/// The order in which videos are extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueOrder {
    /// Large files first, so that no device starts a long video when the others are done.
    LargestFirst,
    /// In the order of the list.
    List,
}
