//! The crate from the outside: the fast formulation against the plain one, and checkpoints of all kinds.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checkpoints;
mod clips;
mod damaged;
mod fast;
#[path = "../../../pickle/tests/suite/memory.rs"]
mod memory;
mod support;
