//! Our other programs: where they are, and what they report about this machine. Everything here may take seconds, so nothing
//! here belongs on an event loop.

mod ask;
pub(crate) mod gpus;
mod programs;
pub(crate) mod torch;

pub(crate) use ask::{AskError, ask};
pub(crate) use programs::{ProgramError, probe, reeldeck, worker};
