//! Tests of the whole interface without a terminal and without an engine.

mod commands;
mod figures;
pub(super) mod fixtures;
mod harness;
mod key_list;
mod navigation;
pub(super) mod render;
mod screens;
