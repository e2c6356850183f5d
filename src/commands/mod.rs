//! The subcommands. Each has one file.

use crate::config::Settings;
use crate::dataset::manifest::Manifest;
use crate::error::{Exit, ExitError};

pub mod annotations;
pub mod attach;
pub mod demo;
pub mod export;
pub mod fetch;
pub mod init;
mod interrupt;
pub mod list;
pub mod missing;
pub mod probe;
pub mod retry;
pub mod run_progress;
pub mod scan;
pub mod seeded;
pub mod set;
pub mod shell;
pub mod status;
pub mod steer;
pub mod verify;
pub mod watch;

/// The manifest of the settings, if any.
///
/// # Errors
/// When it cannot be read.
pub fn manifest(settings: &Settings) -> Result<Option<Manifest>, ExitError> {
    Ok(settings.manifest.as_deref().map(|path| Manifest::read(path, &settings.prefix)).transpose()?)
}

/// The manifest, for commands that need one.
///
/// # Errors
/// When the settings name none, and as [`manifest`].
pub fn needed_manifest(settings: &Settings) -> anyhow::Result<Manifest> {
    let none = "no manifest says what should be there; name one with --manifest, such as HACS_segments_v1.1.1.json";
    manifest(settings)?.ok_or_else(|| ExitError::new(Exit::Usage, none).into())
}
