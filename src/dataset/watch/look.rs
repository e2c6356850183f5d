//! Examines the dataset folder: its folders, one file.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use crate::dataset::scan::{FolderLayout, is_passed_over};

/// Identifies a folder independently of its name.
pub(super) type Identity = (u64, u64);

/// A folder that cannot be looked at.
pub(super) const UNSEEN: Identity = (0, 0);

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

/// The folders of a dataset that may contain videos.
pub(super) struct Folders {
    /// The identity of the dataset folder.
    pub root: Identity,
    /// By path relative to the dataset folder; the dataset folder itself has an empty path.
    pub found: BTreeMap<String, Identity>,
    /// Folders that exist but cannot be listed now.
    pub unlisted: Vec<String>,
}

/// Finds the folders that may contain videos of this layout, with links followed. Names that cannot be in a video's name are
/// left out.
///
/// # Errors
/// When the dataset folder cannot be listed, or disappears meanwhile.
pub(super) fn folders(root: &Path, layout: FolderLayout) -> io::Result<Folders> {
    let depths = layout.folder_depths();
    let before = identity(root)?;
    let mut folders = Folders { root: before, found: BTreeMap::new(), unlisted: vec![] };
    if depths.contains(&0) {
        folders.found.insert(String::new(), before);
    }
    let mut seen = HashSet::new();
    let mut to_list = vec![(String::new(), 0)];
    while let Some((folder, depth)) = to_list.pop() {
        if depth == *depths.end() {
            continue;
        }
        let entries = match list(&root.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            Err(error) if is_gone(&error) => continue,
            Err(_) => {
                folders.unlisted.push(folder);
                continue;
            }
        };
        let depth = depth + 1;
        for name in entries {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let identity = match identity(&root.join(&path)) {
                Ok(identity) => identity,
                Err(error) if is_gone(&error) => continue,
                // It exists, and may be readable later.
                Err(_) => UNSEEN,
            };
            // As in a scan: links can form an endless tree.
            if depth > 2 && identity != UNSEEN && !seen.insert(identity) {
                continue;
            }
            if depths.contains(&depth) {
                folders.found.insert(path.clone(), identity);
            }
            to_list.push((path, depth));
        }
    }
    // If the folder disappeared meanwhile, its folders would seem removed.
    if identity(root)? == before { Ok(folders) } else { Err(io::Error::other("another folder replaced it")) }
}

/// The names of the folders in a folder, sorted in reverse, so that they are examined in order.
fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let is_allowed = !is_passed_over(&name) && VideoName::new(&format!("{name}/v")).is_ok();
        // The metadata of files is not read: there may be many of them.
        if is_allowed && entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink()) {
            names.push(name);
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
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
