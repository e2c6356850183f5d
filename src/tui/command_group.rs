//! A group of commands to the engine that one action sends, and the commands that undo it.

use crate::protocol::Command;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CommandGroup {
    /// In the order in which they are sent.
    pub commands: Vec<Command>,
    /// The commands that undo it.
    pub undo: Option<Vec<Command>>,
    /// The commands are for the marked videos: the marks are cleared when they are sent.
    pub unmark: bool,
}

impl CommandGroup {
    /// A single command without undo.
    pub(super) fn single(command: Command) -> Self {
        Self { commands: vec![command], ..Self::default() }
    }
}
