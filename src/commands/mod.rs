//! The subcommands: each turns settings into work, text and an exit code.

use std::path::PathBuf;

use anyhow::Context;

pub mod demo;
pub mod export;
pub mod list;
pub mod meter;
pub mod scan;
pub mod seeded;
pub mod verify;

/// Where another of reeldeck's programs lies: beside this one, or where the variable says.
///
/// # Errors
/// When it is not there.
pub fn sibling(name: &str, variable: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("failed to find reeldeck's own folder")?;
    let path = own.with_file_name(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is missing; build or unpack all of reeldeck's programs together",
        path.display()
    );
    Ok(path)
}

/// `reeldeck-worker`.
///
/// # Errors
/// When it is not there.
pub fn worker() -> anyhow::Result<PathBuf> {
    sibling("reeldeck-worker", "REELDECK_WORKER")
}
