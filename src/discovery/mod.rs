//! Our other programs: where they are, and what they report about this machine. Everything here may take seconds, so nothing
//! here belongs on an event loop.

mod ask;
pub(crate) mod gpus;
mod programs;
mod search_path;
mod synth;
pub(crate) mod torch;
pub(crate) mod trust;
mod visible;

pub(crate) use ask::{AskError, ask};
pub(crate) use programs::{ProgramError, probe, reeldeck, worker};
pub(crate) use search_path::{had_relative_libraries, remove_relative_entries};
pub(crate) use synth::synthesize;
pub(crate) use visible::Visible;
