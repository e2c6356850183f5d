//! The terminal front end: events become messages, `update` decides, drawing is a function of the state, and everything
//! that takes time is done elsewhere. It knows the engine by its protocol alone.

mod action;
mod app;
mod classes;
mod command_group;
mod details;
mod engine_mismatch;
mod first_run;
mod gauge;
mod input;
mod key_reader;
mod keymap;
mod keys;
mod link;
mod log_pane;
mod marks;
mod modal;
mod osc;
mod palette;
mod pane;
mod panic_report;
mod picture;
mod run;
mod setup;
mod signals;
mod still;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod theme;
mod toast;
mod unavailable_reason;
mod update;
mod view;
mod window;

pub use run::{attach, open};
