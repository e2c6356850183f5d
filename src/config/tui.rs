//! The section `[tui]`: the look and the keys of the terminal interface.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The names of the themes, the default first.
pub(crate) const THEMES: [&str; 5] = ["terminal", "none", "night", "paper", "contrast"];

/// `[tui]`: the terminal interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuiSection {
    pub theme: String,
    pub ascii: bool,
    pub mouse: bool,
    pub low_bandwidth: bool,
    pub pictures: ImageProtocol,
    pub notify: Notification,
    pub bell: bool,
    pub progress: Progress,
    pub keys: BTreeMap<String, KeyChoice>,
}

impl Default for TuiSection {
    fn default() -> Self {
        Self {
            theme: THEMES[0].into(),
            ascii: false,
            mouse: false,
            low_bandwidth: false,
            pictures: ImageProtocol::Auto,
            notify: Notification::Auto,
            bell: true,
            progress: Progress::Auto,
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

/// The notification of the desktop at the end of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notification {
    /// The escape sequence that the terminal is known to understand.
    #[default]
    Auto,
    /// iTerm2's, which most terminals understand.
    Osc9,
    /// urxvt's.
    Osc777,
    /// None.
    Off,
}

/// Whether the terminal shows the progress of a run in its taskbar or tab (OSC 9;4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// If the terminal is known to support it: some show a notification instead.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
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
