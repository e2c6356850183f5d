//! The subcommands. Each has one file.

use crate::config::Settings;
use crate::dataset::manifest::Manifest;
use crate::dataset::scan::{Refused, Scan};
use crate::error::{Exit, ExitError};

pub(crate) mod annotations;
pub(crate) mod attach;
pub(crate) mod control;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod fetch;
pub(crate) mod init;
pub(crate) mod list;
mod meter;
pub(crate) mod missing;
pub(crate) mod probe;
pub(crate) mod recipes;
pub(crate) mod retry;
pub(crate) mod run_progress;
pub(crate) mod scan;
pub(crate) mod seeded;
pub(crate) mod set;
pub(crate) mod shell;
pub(crate) mod slurm;
pub(crate) mod status;
pub(crate) mod verify;
pub(crate) mod watch;

/// The manifest of the settings, if any.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn manifest(settings: &Settings) -> Result<Option<Manifest>, ExitError> {
    Ok(settings.manifest.as_deref().map(|path| Manifest::read(path, &settings.prefix)).transpose()?)
}

/// Refuses a scan that may lack videos, for commands that report what is missing.
///
/// # Errors
/// When a file or folder of the dataset could not be read.
fn check_readable(scan: &Scan, settings: &Settings) -> Result<(), ExitError> {
    match scan.unreadable(&settings.out) {
        None => Ok(()),
        Some(Refused { shown, reason }) => {
            let message = format!("cannot tell which videos are missing: {shown}: {reason}, then run it again");
            Err(ExitError::new(Exit::Internal, message))
        }
    }
}

/// The manifest, for commands that need one.
///
/// # Errors
/// When the settings name none, and as [`manifest`].
pub(crate) fn needed_manifest(settings: &Settings) -> anyhow::Result<Manifest> {
    let none = "no manifest to compare with; name one with --manifest, such as HACS_segments_v1.1.1.json";
    manifest(settings)?.ok_or_else(|| ExitError::new(Exit::Usage, none).into())
}
