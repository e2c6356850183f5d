//! The panes of the screen.

use super::keymap::Context;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pane {
    Classes,
    Videos,
    Devices,
    Throughput,
    Log,
}

impl Pane {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; 5] = [Self::Classes, Self::Videos, Self::Devices, Self::Throughput, Self::Log];

    /// The context of its key bindings.
    pub(super) fn context(self) -> Context {
        match self {
            Self::Classes => Context::Classes,
            Self::Videos => Context::Videos,
            Self::Devices => Context::Devices,
            Self::Throughput => Context::Throughput,
            Self::Log => Context::Log,
        }
    }

    pub(super) fn title(self) -> &'static str {
        self.context().title()
    }

    /// The number key that focuses it.
    pub(super) fn number(self) -> usize {
        Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0) + 1
    }
}
