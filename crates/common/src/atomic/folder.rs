//! Temporary folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::{COUNTER, Owner, Sweeper, sweep_folder};

/// A folder that is removed with this value. If the process ends before, the next one that creates such a folder beside it
/// removes it.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Creates a folder in `parent`, and the parent if it is missing. First removes the temporary files and folders there that
    /// commands have left behind.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(parent: &Path, owner: &Owner) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        // A folder that cannot be listed may take a new one nevertheless.
        let _ = sweep_folder(parent, &Sweeper::of_command());
        // A folder of the same name may exist: process ids repeat.
        let mut tries = 0..1000;
        loop {
            let name = owner.temporary(Path::new("folder"), COUNTER.fetch_add(1, Ordering::Relaxed))?;
            let path = parent.join(name);
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries.next().is_some() => {}
                created => return created.map(|()| Self(path)),
            }
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_removed_by_its_owner_or_after_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("new");
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let mine = TemporaryFolder::create(&parent, &Owner::this_process()).unwrap();
        let name = mine.path().file_name().unwrap().to_str().unwrap();
        let [this, ended] = [std::process::id(), ended.id()].map(|id| format!("-{id}-"));
        // The ids of the owner and of the writer.
        let left = parent.join(name.replace(&this, &ended).replace(&this, &ended));
        fs::create_dir_all(left.join("A")).unwrap();
        // The next number is taken by a folder of an earlier process with this id.
        let next = Owner::this_process().temporary(Path::new("folder"), COUNTER.load(Ordering::Relaxed)).unwrap();
        fs::create_dir(parent.join(next)).unwrap();
        let other = TemporaryFolder::create(&parent, &Owner::this_process()).unwrap();
        assert!(!left.exists() && mine.path().is_dir() && other.path().is_dir());
        fs::write(mine.path().join("file"), "").unwrap();
        let path = mine.path().to_owned();
        drop(mine);
        assert!(!path.exists() && other.path().is_dir());
    }
}
