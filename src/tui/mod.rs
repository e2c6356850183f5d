//! The terminal interface. Keys, messages from the engine, signals and ticks become `update::Msg` values; `update` changes
//! the state and returns effects; `view` draws the state. Everything that can block runs outside the event loop. Of the
//! engine, only the protocol is known here.

mod action;
mod app;
mod attach_command;
mod classes;
mod command_group;
mod details;
mod device_history;
mod engine_mismatch;
mod engines;
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
mod one_run;
mod osc;
mod other_features;
mod palette;
mod pane;
mod panic_report;
mod picture;
mod preview;
mod reopening;
mod run;
mod run_end;
mod setup;
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
mod weights;
mod window;
mod window_words;

pub(crate) use run::{attach, check, list_keys, open};
