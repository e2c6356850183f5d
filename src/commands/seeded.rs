//! `reeldeck seeded-checkpoint`: the made-up weights as a file that the original can load too.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::config::Settings;
use crate::dataset::shown;
use crate::errln;
use crate::error::{Exit, ExitError};
use crate::process;

/// Has the worker write the file.
///
/// # Errors
/// When something of this name is there already, which may be weights that nobody can get again; when the worker is
/// missing or cannot write.
pub fn run_seeded(settings: &Settings, path: &Path) -> anyhow::Result<Exit> {
    if path.symlink_metadata().is_ok() {
        let message = format!("{} is there already and stays as it is; name a new file", shown(path));
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    let mut worker = Command::new(process::worker()?);
    let status = worker.arg("write-seeded-checkpoint").arg(&settings.recipe_source).arg(path).status();
    let status = status.context("failed to start reeldeck-worker")?;
    ensure!(status.success(), "failed to write the seeded weights to {}", shown(path));
    errln!("wrote {}: made-up weights, the features they give mean nothing", shown(path));
    Ok(Exit::Done)
}
