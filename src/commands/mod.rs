//! The subcommands: each turns settings into work, text and an exit code.

pub mod list;
