//! Why an entry of the dataset folder cannot be used, and why a scan failed.

use std::io;
use std::path::PathBuf;

use reeldeck_common::video::NameError;

use super::MAX_NAME_LEN;
use crate::dataset::shown;

/// An entry that cannot be used.
#[derive(Debug)]
pub struct Refused {
    /// The path relative to the dataset folder, safe for a terminal.
    pub shown: String,
    /// The reason.
    pub reason: Refusal,
}

/// Why an entry cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The name is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name of the feature file would be too long.
    #[error("the file name is longer than {MAX_NAME_LEN} bytes; rename the file")]
    NameTooLong,
    /// The folder has the name that the file of another video may have.
    #[error("in a folder whose name ends in {0}, as a file of the output folder does; rename the folder")]
    FolderName(&'static str),
    /// A file directly in the dataset folder, and the layout has class folders.
    #[error("not in a class folder; move it into one, or set `[scan] layout = \"any\"`")]
    NoClass,
    /// A file below the class folders.
    #[error("deeper than Class/file; move it up into the class folder, or set `[scan] layout = \"any\"`")]
    TooDeep,
    /// A file in a folder, and the layout is flat.
    #[error("in a subfolder, and the layout is flat; move it up, or set `[scan] layout = \"any\"`")]
    NotFlat,
    /// A file in another place than the folders of splits.
    #[error("not of the form split/Class/file or split/file; move it there, or set `[scan] layout = \"any\"`")]
    NotInSplit,
    /// The layout is not clear.
    #[error(
        "it is not clear which folders are classes; set `[scan] layout = \"any\"`, or name another folder with --root"
    )]
    Unclear,
    /// A broken link.
    #[error("a link to something that does not exist; fix or remove the link")]
    Dangling,
    /// A link to a folder that contains it.
    #[error("a link to a folder that contains it; remove the link")]
    Cycle,
    /// A folder, pipe, socket or device with the name of a video.
    #[error("a {0}, not a file; remove it")]
    NotAFile(&'static str),
    /// The file system denies access.
    #[error("cannot be read ({0}); check permissions and disk")]
    Unreadable(io::Error),
}

/// Why a scan failed.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The dataset folder cannot be read.
    #[error("failed to read the dataset folder {}; check --root", shown(path))]
    Read {
        /// The dataset folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The dataset folder is not a folder.
    #[error("{} is not a folder; check --root", shown(path))]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
}
