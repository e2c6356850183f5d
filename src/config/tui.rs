//! The section `[tui]`: the look and the keys of the terminal interface.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[tui]`: the terminal interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

/// The keys of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyChoice {
    /// One key.
    One(String),
    /// Any number of keys.
    Several(Vec<String>),
}

/// The protocol for images in the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageProtocol {
    /// The protocol that the terminal supports. Over SSH `Off`: an image has a hundred times the bytes of its cells.
    #[default]
    Auto,
    /// Characters instead of pixels.
    Off,
    /// kitty's protocol.
    Kitty,
    /// Sixel.
    Sixel,
}
