//! Examines the dataset folder: its classes, one class, one file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

/// Identifies a folder independently of its name.
pub(super) type Identity = (u64, u64);

/// A folder that cannot be looked at.
const UNSEEN: Identity = (0, 0);

/// Device and inode number of a folder.
///
/// # Errors
/// When it does not exist or is not a folder.
pub(super) fn identity(folder: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(folder)?;
    if metadata.is_dir() {
        Ok((metadata.dev(), metadata.ino()))
    } else {
        Err(io::Error::from(io::ErrorKind::NotADirectory))
    }
}

/// The identity of the dataset folder and its class folders, with links followed. Names that cannot be class names are left
/// out.
///
/// # Errors
/// When the dataset folder cannot be listed, or disappears meanwhile.
pub(super) fn classes(root: &Path) -> io::Result<(Identity, BTreeMap<String, Identity>)> {
    let before = identity(root)?;
    let mut classes = BTreeMap::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let is_class = !name.starts_with('.') && VideoName::new(&format!("{name}/v")).is_ok();
        // The metadata of files is not read: there may be many of them directly in the folder.
        let may_be = entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink());
        if !is_class || !may_be {
            continue;
        }
        match identity(&entry.path()) {
            Ok(identity) => drop(classes.insert(name, identity)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            // It exists, and may be readable later.
            Err(_) => drop(classes.insert(name, UNSEEN)),
        }
    }
    // If the folder disappeared meanwhile, its classes would seem removed.
    if identity(root)? == before {
        Ok((before, classes))
    } else {
        Err(io::Error::other("another folder came in its place"))
    }
}

/// The current state of a video; `None` if the file does not exist.
///
/// # Errors
/// When the file system denies access.
pub(super) fn stamp(root: &Path, name: &VideoName) -> io::Result<Option<SourceStamp>> {
    match fs::metadata(name.under(root)) {
        Ok(metadata) => Ok(Some(SourceStamp::of(&metadata)).filter(|_| metadata.is_file())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
