//! Tests of all readers of external data, with damaged and hostile input.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod changes;
mod hostile;
#[path = "../../../pickle/tests/suite/memory.rs"]
mod memory;
mod mutated;
mod readers;
