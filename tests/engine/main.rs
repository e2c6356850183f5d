//! The engine's decisions, without processes or files.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod decide;
mod update;
