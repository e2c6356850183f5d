//! The terminal front end: events become messages, `update` decides, drawing is a function of the state, and everything
//! that takes time is done elsewhere. It knows the engine by its protocol alone.

mod action;
pub mod app;
mod classes;
pub mod details;
#[cfg(test)]
mod drawn;
mod first;
pub mod gauge;
mod input;
pub mod keymap;
mod keys;
mod link;
mod logbook;
mod marks;
mod modal;
mod osc;
mod others;
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
pub mod update;
pub mod view;
mod why;
mod window;

pub use run::{attach, open};
