//! Where reeldeck's programs are.

use std::io;
use std::path::{Path, PathBuf};

use super::trust::{Owners, TrustError};

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
    /// Another user could replace it or its libraries.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
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
/// When it does not exist, or another user could replace it.
pub(crate) fn worker() -> Result<PathBuf, ProgramError> {
    find("reeldeck-worker", "REELDECK_WORKER")
}

/// `reeldeck-probe`: beside this program, or where `REELDECK_PROBE` says.
///
/// # Errors
/// When it does not exist, or another user could replace it.
pub(crate) fn probe() -> Result<PathBuf, ProgramError> {
    find("reeldeck-probe", "REELDECK_PROBE")
}

fn find(name: &str, variable: &str) -> Result<PathBuf, ProgramError> {
    let path = match std::env::var_os(variable) {
        Some(path) => std::path::absolute(PathBuf::from(path)).map_err(ProgramError::Own)?,
        None => reeldeck()?.with_file_name(name),
    };
    if !path.is_file() {
        return Err(ProgramError::Missing { path });
    }
    check(&path)?;
    Ok(path)
}

/// Checks the program and the libraries that are installed with it.
fn check(program: &Path) -> Result<(), TrustError> {
    let owners = Owners::of_this_process();
    owners.check(program)?;
    let libraries = program.with_file_name("lib");
    if libraries.is_dir() { owners.check_all(&libraries, ".so") } else { Ok(()) }
}
