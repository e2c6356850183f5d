//! The crate from the outside: against Python's own pickle module, over files as PyTorch writes them, and over hostile ones.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checkpoints;
mod hostile;
mod memory;
mod mutated;
mod python;
mod results;
mod values;
