//! Child processes that exchange JSON lines with reeldeck: a client for them, a reader of bounded lines, and the rights and
//! limits that such a process gives up at its start.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
#![warn(unreachable_pub)]

pub mod confine;
mod exit;
mod lines;
mod process;
mod stderr;
#[cfg(test)]
mod tests;
mod worker;

pub use exit::Exit;
pub use lines::{LineError, LineReader};
pub use process::{Event, Input, Process, Program};
pub use worker::{WaitLimits, Worker, WorkerError};
