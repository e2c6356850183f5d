//! Files that are either not there or complete: temporary file, fsync, rename, fsync of the folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(0);
const SUFFIX: &str = ".reeldeck-tmp";

/// Who writes: host and process id of the engine. Part of every temporary name, so that each engine sweeps only its own.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Owner(String);

impl Owner {
    /// This process on this host.
    pub fn this_process() -> Self {
        let host =
            rustix::system::uname().nodename().to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        Self(format!("{host}-{}", std::process::id()))
    }

    fn temporary(&self, path: &Path) -> io::Result<PathBuf> {
        let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        // Several processes write for one owner (an engine's workers), hence the writer's id beside the owner's. The
        // video's own name stays out: it may already be as long as the file system allows.
        let digest = xxhash_rust::xxh3::xxh3_64(name.as_encoded_bytes());
        Ok(path.with_file_name(format!(".{}-{}-{count}-{digest:016x}{SUFFIX}", self.0, std::process::id())))
    }

    /// Whether a file name is one of this owner's temporary files.
    pub fn is_temporary(&self, name: &str) -> bool {
        name.strip_prefix('.').and_then(|n| n.strip_prefix(self.0.as_str())).is_some_and(|n| n.starts_with('-'))
            && name.ends_with(SUFFIX)
    }
}

/// Whether a file name is a temporary file of any engine.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(SUFFIX)
}

/// Writes `path` so that it appears complete or not at all. Its own folder is made where it is missing, but not those
/// above: where the output folder's disk is gone, nothing must be written in its place.
///
/// # Errors
/// Whatever the file system or `fill` reports; the temporary file is removed then.
pub fn write(path: &Path, owner: &Owner, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    write_at(path, owner, |temporary| {
        let mut writer = BufWriter::with_capacity(1 << 18, File::create_new(temporary)?);
        fill(&mut writer)?;
        writer.flush()?;
        writer.get_ref().sync_all()
    })
}

/// The same for what must be given a path: `fill` makes the file that it is told, and makes it durable.
///
/// # Errors
/// As [`write`].
pub fn write_at(path: &Path, owner: &Owner, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let temporary = owner.temporary(path)?;
    let written = fill(&temporary).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell; a temporary file that cannot be removed is swept later.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    sync_folder(folder)
}

/// Makes a rename in `folder` durable.
///
/// # Errors
/// When the folder cannot be opened or synchronised.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems refuse to fsync a folder; the rename itself is all they offer.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        let owner = Owner::this_process();
        write(&path, &owner, |w| w.write_all(b"one")).unwrap();
        let failed = write(&path, &owner, |w| {
            w.write_all(b"two")?;
            Err(io::Error::other("no"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn temporary_names_tell_their_owner() {
        let owner = Owner("host-12".into());
        let long = format!("/x/{}", "n".repeat(255));
        let name = owner.temporary(Path::new(&long)).unwrap();
        let name = name.file_name().unwrap().to_str().unwrap();
        assert!(owner.is_temporary(name) && is_temporary(name) && name.len() < 128);
        assert!(!Owner("host-1".into()).is_temporary(name));
    }
}
