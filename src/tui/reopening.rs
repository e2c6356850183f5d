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
    /// A command for the engine, which is sent as soon as it is ready.
    pub then: Option<Command>,
}

/// Settings that were saved and are not in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum NewSettings {
    #[default]
    None,
    /// They wait until no run is active.
    Waiting(Box<Reopening>),
    /// The engine was asked to make room for one that uses them.
    Leaving(Box<Reopening>),
    /// The engine stays, because other clients follow it. The next run asks it again.
    Refused(Box<Reopening>),
}
