//! Whether the dataset folder is there, and whether it is the same folder. If only the file is missing, the video fails. If its
//! disk is missing, the video waits.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::error::ErrorKind;
use reeldeck_common::video::VideoName;

use super::event::ReadFailure;
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;

/// How long a check may take. A file system that needs longer does not respond.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Entries of the folder by which it is recognised in another place.
const MAX_KNOWN: usize = 64;

/// The dataset folder and its identity.
#[derive(Clone, Debug)]
pub(crate) struct DatasetFolder {
    root: PathBuf,
    /// Device and inode number.
    identity: (u64, u64),
    /// Some of the entries that it had.
    known: BTreeSet<String>,
}

impl DatasetFolder {
    /// Takes note of the folder's identity and of the first entries of these files.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn new(root: &Path, files: &[VideoFile]) -> io::Result<Self> {
        let mut known = BTreeSet::new();
        for file in files {
            let name = file.name.as_str();
            known.insert(name.split_once('/').map_or(name, |(first, _)| first).to_owned());
            if known.len() == MAX_KNOWN {
                break;
            }
        }
        Ok(Self { root: root.to_owned(), identity: identity(root)?, known })
    }

    /// Checks that the dataset folder and the folders of these videos are there.
    ///
    /// # Errors
    /// What is wrong and what to do about it, for users.
    pub(crate) fn look(&self, videos: &[VideoName]) -> Result<(), String> {
        let root = shown(&self.root);
        let gone = |error: io::Error| {
            format!("the dataset folder {root} is gone ({error}); bring it back, or mount its disk again")
        };
        let identity = identity(&self.root).map_err(gone)?;
        // The metadata may be known to the system although the disk is gone.
        fs::read_dir(&self.root).and_then(|mut entries| entries.next().transpose()).map_err(gone)?;
        let has = |name: &String| self.root.join(name).symlink_metadata().is_ok();
        if identity != self.identity && !self.known.is_empty() && !self.known.iter().any(has) {
            return Err(format!(
                "the folder at {root} is another one, with none of the dataset's content; mount the dataset's disk again"
            ));
        }
        videos.iter().try_for_each(|video| self.look_at_folder(video))
    }

    fn look_at_folder(&self, video: &VideoName) -> Result<(), String> {
        let folder = self.root.join(video.folder());
        identity(&folder)
            .map(|_| ())
            .map_err(|error| format!("the folder {} is gone ({error}); bring it back, or stop the run", shown(&folder)))
    }

    /// Finds out why a worker could not read a video. None if its own file is at fault.
    pub(crate) fn look_at(&self, video: &VideoName, kind: ErrorKind) -> Option<ReadFailure> {
        if let Err(reason) = self.look(&[]) {
            return Some(ReadFailure::DatasetGone(reason));
        }
        if let Err(reason) = self.look_at_folder(video) {
            return Some(ReadFailure::FolderGone(reason));
        }
        let is_back = kind == ErrorKind::Missing && fs::metadata(video.under(&self.root)).is_ok();
        is_back.then_some(ReadFailure::FileBack)
    }

    /// The error of a check that has taken too long.
    pub(crate) fn silent(&self) -> String {
        format!("the dataset folder {} does not respond; the run resumes when it does", shown(&self.root))
    }
}

/// Whether a failure of this kind may come from the disk of the dataset.
pub(crate) fn may_be_unread(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Missing | ErrorKind::Io)
}

/// Device and inode number of a folder.
fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(folder)?;
    if metadata.is_dir() {
        Ok((metadata.dev(), metadata.ino()))
    } else {
        Err(io::Error::from(io::ErrorKind::NotADirectory))
    }
}

#[cfg(test)]
mod tests {
    use reeldeck_common::source::SourceStamp;

    use super::*;

    fn name(name: &str) -> VideoName {
        VideoName::new(name).unwrap()
    }

    #[test]
    fn a_lost_folder_is_told_from_a_lost_file() {
        let dir = tempfile::tempdir().unwrap();
        let (root, away) = (dir.path().join("data"), dir.path().join("away"));
        fs::create_dir_all(root.join("A")).unwrap();
        fs::create_dir(root.join("B")).unwrap();
        fs::write(root.join("A/v.mp4"), "x").unwrap();
        let stamp = SourceStamp { size: 1, mtime_ns: 0 };
        let files = ["A/v.mp4", "B/w.mp4"].map(|video| VideoFile { name: name(video), stamp });
        let folder = DatasetFolder::new(&root, &files).unwrap();
        let look_at = |video: &str| folder.look_at(&name(video), ErrorKind::Missing);
        assert_eq!((folder.look(&[name("B/w.mp4")]), look_at("B/w.mp4")), (Ok(()), None), "only the file is gone");
        assert_eq!(look_at("A/v.mp4"), Some(ReadFailure::FileBack));
        assert_eq!(folder.look_at(&name("A/v.mp4"), ErrorKind::Io), None, "it is there and cannot be read");
        fs::remove_dir(root.join("B")).unwrap();
        assert!(matches!(look_at("B/w.mp4"), Some(ReadFailure::FolderGone(why)) if why.contains("/data/B is gone")));
        assert!(folder.look(&[]).is_ok() && folder.look(&[name("B/w.mp4")]).is_err());
        fs::rename(&root, &away).unwrap();
        let gone = |cause| matches!(cause, Some(ReadFailure::DatasetGone(why)) if why.contains("mount its disk again"));
        assert!(gone(look_at("A/v.mp4")));
        // A mount point without its disk, and another disk at the mount point.
        fs::create_dir(&root).unwrap();
        assert!(folder.look(&[]).unwrap_err().contains("none of the dataset's content"));
        fs::create_dir(root.join("lost+found")).unwrap();
        assert!(folder.look(&[]).is_err());
        // The same content in another folder is the dataset.
        fs::create_dir(root.join("A")).unwrap();
        assert_eq!(folder.look(&[]), Ok(()));
        fs::remove_dir_all(&root).unwrap();
        fs::write(&root, "").unwrap();
        assert!(gone(look_at("A/v.mp4")));
        fs::remove_file(&root).unwrap();
        fs::rename(&away, &root).unwrap();
        assert_eq!(folder.look(&[name("A/v.mp4")]), Ok(()));
    }
}
