//! `[engine]`: how a run goes about its videos.

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

/// In which order videos are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Large files first: what takes longest must not begin last, when all other devices are done.
    LargestFirst,
    /// In the order of the list.
    List,
}
