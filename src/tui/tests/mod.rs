//! The screen as a whole, without a terminal and without an engine.

mod commands;
mod figures;
pub(super) mod fixtures;
mod harness;
mod navigation;
mod readme;
pub(super) mod render;
mod screens;
