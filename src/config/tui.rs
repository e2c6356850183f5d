//! `[tui]`: how the terminal interface looks, and which keys do what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[tui]`: the terminal interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "config.example.toml is the one place that explains the keys")]
pub struct TuiSection {
    pub theme: String,
    pub ascii: bool,
    pub mouse: bool,
    pub low_bandwidth: bool,
    pub pictures: ImageProtocol,
    pub keys: BTreeMap<String, KeyChoice>,
}

impl Default for TuiSection {
    fn default() -> Self {
        Self {
            theme: "terminal".into(),
            ascii: false,
            mouse: false,
            low_bandwidth: false,
            pictures: ImageProtocol::Auto,
            keys: BTreeMap::new(),
        }
    }
}

/// The keys for an action, one or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyChoice {
    /// One.
    One(String),
    /// Several, or none.
    Several(Vec<String>),
}

/// How pictures in true pixels are to reach the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageProtocol {
    /// Whatever the terminal is known to take; over SSH none, for a picture is a hundred times the bytes of its cells.
    #[default]
    Auto,
    /// Characters alone.
    Off,
    /// kitty's protocol.
    Kitty,
    /// Sixel.
    Sixel,
}
