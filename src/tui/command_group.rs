//! Commands to the engine that belong together, and the commands that undo them.

use crate::protocol::Command;

/// Orders that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandGroup {
    /// One after the other.
    pub commands: Vec<Command>,
    /// What takes them back.
    pub undo: Option<Undo>,
    /// They were for the marked videos, whose marks go.
    pub unmark: bool,
}

impl CommandGroup {
    /// A single command that cannot be taken back.
    pub fn single(command: Command) -> Self {
        Self { commands: vec![command], ..Self::default() }
    }
}

/// What can be taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Undo {
    /// What it was, such as `exclude 3 videos`.
    pub what: String,
    /// What takes it back.
    pub commands: Vec<Command>,
}
