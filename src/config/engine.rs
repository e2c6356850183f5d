//! `[engine]` and `[watch]`: how a run goes about its videos, and how new ones are noticed.

use serde::{Deserialize, Serialize};

/// `[engine]`: how a run goes about its videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "config.example.toml is the one place that explains the keys")]
pub struct EngineSection {
    pub order: Order,
    pub linger_s: u64,
}

impl Default for EngineSection {
    fn default() -> Self {
        Self { order: Order::LargestFirst, linger_s: 30 }
    }
}

/// `[watch]`: how new videos are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "config.example.toml is the one place that explains the keys")]
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

/// How the dataset folder is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchMode {
    /// By events, and by polling where there are none, as on network file systems.
    Auto,
    /// By events.
    Events,
    /// By polling.
    Polling,
    /// Not at all.
    Off,
}

/// In which order videos are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Large files first: what takes longest must not begin last, when all other devices are done.
    LargestFirst,
    /// In the order of the list.
    List,
}
