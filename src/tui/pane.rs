//! The panes of the screen.

use super::keymap::Context;

/// A pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pane {
    /// The classes with their progress.
    Classes,
    /// The table of videos.
    Videos,
    /// The devices.
    Devices,
    /// The throughput over time.
    Throughput,
    /// The log.
    Log,
}

impl Pane {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Classes, Self::Videos, Self::Devices, Self::Throughput, Self::Log];

    /// Where its keys stand in the table.
    pub fn context(self) -> Context {
        match self {
            Self::Classes => Context::Classes,
            Self::Videos => Context::Videos,
            Self::Devices => Context::Devices,
            Self::Throughput => Context::Throughput,
            Self::Log => Context::Log,
        }
    }

    /// The number that leads to it.
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0) + 1
    }
}
