//! Tests of the public interface: the fast implementation against the reference, and checkpoints.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checkpoints;
mod clips;
mod damaged;
mod fast;
#[path = "../../../pickle/tests/suite/memory.rs"]
mod memory;
mod slowfast;
mod support;
mod torchscript;
mod videomae;
