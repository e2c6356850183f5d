//! Our other programs: where they are, and what they report about this machine. Everything here may take seconds, so nothing
//! here belongs on an event loop.

mod ask;
pub mod gpus;
mod programs;
pub mod torch;

pub use ask::{AskError, ask};
pub use programs::{ProgramError, probe, reeldeck, worker};
