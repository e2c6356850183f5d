//! `reeldeck seeded-checkpoint`: writes the seeded weights as a file that MMAction2 can load as well.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::config::Settings;
use crate::dataset::shown;
use crate::discovery;
use crate::error::{Exit, ExitError};
use crate::out::errln;

/// Writes the file with the worker.
///
/// # Errors
/// When the file exists, which may be irreplaceable weights, or the worker cannot write it.
pub(crate) fn run_seeded(settings: &Settings, path: &Path) -> anyhow::Result<Exit> {
    if path.symlink_metadata().is_ok() {
        let message = format!("{} exists and is not replaced; name a new file", shown(path));
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    let mut worker = Command::new(discovery::worker()?);
    let status = worker.arg("write-seeded-checkpoint").arg(&settings.recipe_source).arg(path).status();
    let status = status.context("failed to start reeldeck-worker")?;
    // The worker has printed why, unless a signal ended it.
    let how = if status.code().is_none() { format!(": reeldeck-worker ended with {status}") } else { String::new() };
    ensure!(status.success(), "failed to write the seeded weights to {}{how}", shown(path));
    errln!("wrote {}: seeded weights; features made with them are meaningless", shown(path));
    Ok(Exit::Done)
}
