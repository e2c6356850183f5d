//! Tests of the public interface: against Python's pickle module, with PyTorch's files, and with hostile input.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checkpoints;
mod hostile;
mod memory;
mod mutated;
mod python;
mod results;
mod values;
