//! The terminal front end: events become messages, `update` decides, drawing is a function of the state, and everything
//! that takes time is done elsewhere. It knows the engine by its protocol alone.

mod action;
pub mod app;
mod classes;
pub mod details;
#[cfg(test)]
mod drawn;
mod engine_mismatch;
mod first_run;
pub mod gauge;
mod input;
pub mod keymap;
mod keys;
mod link;
mod log_pane;
mod marks;
mod modal;
mod osc;
pub mod picture;
mod reader;
mod report;
mod run;
pub mod setup;
mod signals;
pub mod still;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
pub mod text;
pub mod theme;
mod toast;
mod unavailable_reason;
pub mod update;
pub mod view;
mod window;

pub use run::{attach, open};
