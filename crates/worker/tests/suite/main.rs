//! Tests of reeldeck-worker: the program itself, driven over its protocol as the engine drives it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod confinement;
mod failures;
mod golden;
mod harness;
mod jobs;
mod life;
mod output;
