//! New settings, with which the window opens again.

use crate::config::{Overrides, Settings};
use crate::protocol::Command;

/// What the window opens again with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reopening {
    pub settings: Settings,
    /// The command line without the options that the new settings replace.
    pub typed: Overrides,
    /// The names of the settings that have changed.
    pub changed: String,
    /// The commands for the engine, which are sent as soon as it is ready.
    pub then: Vec<Command>,
}

/// Settings that the engine does not use: they were saved during a run, or the engine was started with others.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum NewSettings {
    #[default]
    None,
    /// They wait until the user starts a run.
    Waiting(Box<Reopening>),
    /// The engine was asked to make room for one that uses them.
    Leaving(Box<Reopening>),
    /// The engine stays, because other clients follow it. The next run asks it again.
    Refused(Box<Reopening>),
}

impl NewSettings {
    /// What the window opens again with, if there is something new.
    pub(super) fn saved(&self) -> Option<&Reopening> {
        match self {
            Self::None => None,
            Self::Waiting(new) | Self::Leaving(new) | Self::Refused(new) => Some(new),
        }
    }

    /// They wait for the next run that the user starts.
    pub(super) fn wait(&self) -> bool {
        matches!(self, Self::Waiting(_) | Self::Refused(_))
    }
}
