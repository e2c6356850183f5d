//! The readers of everything that comes from outside, given what nobody would write on purpose, and what somebody would.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod changes;
mod hostile;
#[path = "../../../pickle/tests/suite/memory.rs"]
mod memory;
mod mutated;
mod readers;
