//! Tests of the program reeldeck-worker through its protocol.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod confinement;
mod cuda;
mod failures;
mod golden;
mod harness;
mod jobs;
mod life;
mod output;
mod transform;
mod windows;
