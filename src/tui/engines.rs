//! The engines of the output folder, and the lines of the pane of devices.

use std::time::Duration;

use crate::client::overview::{Engine, Overview};
use crate::protocol::snapshot::DeviceState;

/// What the files of the engines have said last.
#[derive(Debug, Default)]
pub(super) struct Engines {
    pub overview: Overview,
    /// When it was read, on the clock of the window.
    pub received: Duration,
    /// The engine that the window is connected with, or was: its process and its feature set.
    pub own: Option<(u32, String)>,
}

/// A line of the pane of devices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum DeviceLine<'a> {
    /// An engine, before its devices; none is the window's own one. Left out if there is no other engine.
    Engine(Option<&'a Engine>),
    /// A device of an engine, by its place; none is the window's own engine.
    Device(Option<&'a Engine>, usize, &'a DeviceState),
    /// So many devices did not fit into the file of the engine.
    More(&'a Engine),
}

impl<'a> DeviceLine<'a> {
    /// The other engine that it belongs to.
    pub(super) fn engine(&self) -> Option<&'a Engine> {
        match self {
            Self::Engine(engine) | Self::Device(engine, ..) => *engine,
            Self::More(engine) => Some(engine),
        }
    }
}
