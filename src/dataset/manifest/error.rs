//! Why a manifest cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use reeldeck_common::video::printable;

use super::Place;
use crate::dataset::shown;
use crate::error::{Exit, ExitError};

/// Why reading ended early.
#[derive(Debug)]
pub(super) enum Problem {
    Io(io::Error),
    Content(String),
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file does not exist or cannot be opened.
    #[error("failed to open the manifest {}; name an existing file with --manifest", shown(path))]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Not a regular file.
    #[error("the manifest {} is not a file; name the annotation file or a list with --manifest", shown(path))]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("failed to read the manifest {} at {place}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The position.
        place: Place,
        /// The cause.
        source: io::Error,
    },
    /// The content is invalid.
    #[error("the manifest {}, {place}: {message}", shown(path))]
    Content {
        /// The file.
        path: PathBuf,
        /// The position.
        place: Place,
        /// What was expected and found, with control characters escaped.
        message: String,
    },
}

impl From<ManifestError> for ExitError {
    fn from(error: ManifestError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

/// The error for a problem at a place of the file.
pub(super) fn error(path: &Path, place: Place, problem: Problem) -> ManifestError {
    const MAX_LEN: usize = 400;
    let path = path.to_owned();
    match problem {
        Problem::Io(source) => ManifestError::Read { path, place, source },
        Problem::Content(message) => {
            // Messages quote the file, whose content is untrusted.
            let mut short: String = message.chars().take(MAX_LEN).collect();
            if short.len() < message.len() {
                short.push('…');
            }
            ManifestError::Content { path, place, message: printable(&short) }
        }
    }
}
