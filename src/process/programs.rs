//! Where reeldeck's programs are.

use std::io;
use std::path::PathBuf;

/// Why a program cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The path of this process is unknown.
    #[error("failed to find reeldeck's own program")]
    Own(#[source] io::Error),
    /// The file does not exist.
    #[error("{} is missing; build or unpack all of reeldeck's programs together", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
}

/// This program, for starting another process of it.
///
/// # Errors
/// When the kernel does not tell its path.
pub(crate) fn reeldeck() -> Result<PathBuf, ProgramError> {
    std::env::current_exe().map_err(ProgramError::Own)
}

/// `reeldeck-worker`: beside this program, or where `REELDECK_WORKER` says.
///
/// # Errors
/// When it does not exist.
pub(crate) fn worker() -> Result<PathBuf, ProgramError> {
    find("reeldeck-worker", "REELDECK_WORKER")
}

/// `reeldeck-probe`: beside this program, or where `REELDECK_PROBE` says.
///
/// # Errors
/// When it does not exist.
pub(crate) fn probe() -> Result<PathBuf, ProgramError> {
    find("reeldeck-probe", "REELDECK_PROBE")
}

fn find(name: &str, variable: &str) -> Result<PathBuf, ProgramError> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let path = reeldeck()?.with_file_name(name);
    if path.is_file() { Ok(path) } else { Err(ProgramError::Missing { path }) }
}
