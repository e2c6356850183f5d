//! Tests of the whole interface without a terminal and without an engine.

mod commands;
mod copying;
mod figures;
pub(super) mod fixtures;
mod footer;
mod harness;
mod helping;
mod key_list;
mod many_engines;
mod navigation;
pub(super) mod render;
mod rows;
mod run_end;
mod run_states;
mod screens;
mod starting;
mod toasts;
mod watching;
