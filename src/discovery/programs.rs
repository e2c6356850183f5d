//! Where reeldeck's programs are.

use std::ffi::OsString;
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
    /// The user has named another file than a program.
    #[error("{variable} names {}, which is not a file; name the program itself, or unset {variable}", path.display())]
    Named {
        /// The variable.
        variable: &'static str,
        /// What it names.
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
    find("reeldeck-worker", "REELDECK_WORKER", |variable| std::env::var_os(variable))
}

/// `reeldeck-probe`: beside this program, or where `REELDECK_PROBE` says.
///
/// # Errors
/// When it does not exist, or another user could replace it.
pub(crate) fn probe() -> Result<PathBuf, ProgramError> {
    find("reeldeck-probe", "REELDECK_PROBE", |variable| std::env::var_os(variable))
}

/// The program of this name. An empty variable counts as unset.
fn find(
    name: &str,
    variable: &'static str,
    value_of: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, ProgramError> {
    let named = value_of(variable).filter(|path| !path.is_empty());
    let is_named = named.is_some();
    let path = match named {
        Some(path) => std::path::absolute(path).map_err(ProgramError::Own)?,
        None => reeldeck()?.with_file_name(name),
    };
    match (path.is_file(), is_named) {
        (true, _) => {}
        (false, true) => return Err(ProgramError::Named { variable, path }),
        (false, false) => return Err(ProgramError::Missing { path }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset_and_a_wrong_one_is_named() {
        let find = |value: Option<&str>| {
            let found = find("no-such-program", "REELDECK_WORKER", |_| value.map(OsString::from));
            found.unwrap_err().to_string()
        };
        assert_eq!(find(Some("")), find(None));
        assert!(find(None).contains("no-such-program is missing"));
        for wrong in ["/nonexistent/worker", "/"] {
            let error = find(Some(wrong));
            assert_eq!(
                error,
                format!(
                    "REELDECK_WORKER names {wrong}, which is not a file; name the program itself, or unset \
                     REELDECK_WORKER"
                )
            );
        }
    }
}
