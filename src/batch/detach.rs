//! `--detach`: starts the engine in the background.

use anyhow::Result;

use crate::config::{Overrides, Settings};
use crate::error::{Exit, ExitError};
use crate::launch::{self, Started};
use crate::out::{errln, outln};

/// Starts an engine that does the main job and outlives this process.
///
/// # Errors
/// When it cannot be started. Its own error text and exit code are passed on.
pub(crate) fn detach(settings: &Settings, typed: &Overrides, export: bool) -> Result<Exit> {
    settings.check_folders()?;
    // A download shows its progress here.
    super::bring(settings)?;
    let arguments: &[&str] = if export { &[] } else { &["--no-export"] };
    let Started { pid, exit_code, .. } = launch::start(settings, typed, arguments, &|line| errln!("{line}"))?;
    match exit_code {
        None => {
            outln!("the run continues in the background (process {pid}); `reeldeck attach` follows it");
            Ok(Exit::Done)
        }
        Some(0) => Ok(Exit::Done),
        // The engine has printed its error.
        Some(code) => Exit::of_code(code).ok_or_else(|| {
            ExitError::new(Exit::Internal, format!("the engine ended with {code} before it could be reached")).into()
        }),
    }
}
