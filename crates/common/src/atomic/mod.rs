//! Atomic writes: temporary file, fsync, rename, fsync of the folder. A file is either complete or absent.

mod folder;
mod group;
mod sweep;

pub use folder::TemporaryFolder;
pub use group::{MARKER, lock_folder, write_group};
pub use sweep::{Sweeper, sweep_folder};

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, linkat, openat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::{machine, open};

static COUNTER: AtomicU64 = AtomicU64::new(0);
const SUFFIX: &str = ".reeldeck-tmp";

/// The owner of temporary files, as part of their names. It distinguishes files that a dead process left behind from files
/// that are being written (see [`Sweeper`]).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Owner(String);

impl Owner {
    /// A command: `host-pid` of this process.
    pub fn this_process() -> Self {
        Self(format!("{}-{}", host(), std::process::id()))
    }

    /// The engine in this process and its workers: `engine.host-pid`.
    pub fn engine() -> Self {
        Self(format!("engine.{}-{}", host(), std::process::id()))
    }

    /// A name for a temporary file beside `path`.
    fn temporary(&self, path: &Path, count: u64) -> io::Result<PathBuf> {
        let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
        // An engine's workers write for one owner, so the name contains the writer's process id too. It contains a digest
        // of the file's name, because the file's name may already have the maximum length.
        let digest = xxhash_rust::xxh3::xxh3_64(name.as_encoded_bytes());
        Ok(format!(".{}-{}-{count}-{digest:016x}{SUFFIX}", self.0, std::process::id()).into())
    }

    /// Creates a temporary file beside `path`. A file of the same name may exist: process ids repeat, in a container after
    /// every start.
    fn create(&self, path: &Path) -> io::Result<(Temporary, File)> {
        let folder = open::folder(folder_of(path))?;
        let (flags, mode) =
            (OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, Mode::from_raw_mode(0o666));
        let mut tries = 0..1000;
        loop {
            let name = self.temporary(path, COUNTER.fetch_add(1, Ordering::Relaxed))?;
            match openat(&folder, &name, flags, mode) {
                Err(Errno::EXIST) if tries.next().is_some() => {}
                file => return Ok((Temporary { folder, name }, File::from(file?))),
            }
        }
    }
}

/// A file that is being written. Its folder is kept open: if the folder is moved, the file moves with it, and no new folder
/// appears in its place.
struct Temporary {
    folder: File,
    name: PathBuf,
}

impl Temporary {
    /// Renames the file to `path` durably, or removes it if it was not `written`.
    fn finish(self, path: &Path, written: io::Result<()>) -> io::Result<()> {
        self.finish_by(path, written, |folder, from, to| renameat(folder, from, folder, to))
    }

    /// As [`finish`](Self::finish), with another way to rename a file within a folder.
    fn finish_by(
        self,
        path: &Path,
        written: io::Result<()>,
        rename: impl FnOnce(&File, &Path, &OsStr) -> Result<(), Errno>,
    ) -> io::Result<()> {
        let Self { folder, name } = self;
        let last = path.file_name().unwrap_or_default();
        match written.and_then(|()| Ok(rename(&folder, &name, last)?)) {
            Ok(()) => sync(&folder),
            // Report the first error.
            Err(error) => {
                Self { folder, name }.discard();
                Err(error)
            }
        }
    }

    /// Removes the file. A later sweep removes it if this fails.
    fn discard(self) {
        let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// This host's name with all characters but letters and digits replaced by `-`: a `.` ends the kind of owner in temporary names.
fn host() -> String {
    machine::host().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Whether this is the name of a temporary file of any owner.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(SUFFIX)
}

/// Writes the file `path` atomically. Creates its folder if it is missing, but not the folders above: if the output disk is
/// unmounted, nothing must be written at its mount point.
///
/// # Errors
/// When the file system or `fill` fails. The temporary file is removed then.
pub fn write(path: &Path, owner: &Owner, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let (temporary, file) = begin(path, owner)?;
    temporary.finish(path, fill_file(file, fill))
}

/// Writes a new file in an existing folder. A file that has this path already, or gets it meanwhile, is kept.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is such a file; otherwise as [`write()`].
pub fn write_new(
    path: &Path,
    owner: &Owner,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let (temporary, file) = owner.create(path)?;
    temporary.finish_by(path, fill_file(file, fill), |folder, from, to| {
        match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
            // Some network file systems cannot do this.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                linkat(folder, from, folder, to, AtFlags::empty())?;
                unlinkat(folder, from, AtFlags::empty())
            }
            renamed => renamed,
        }
    })
}

fn fill_file(file: File, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(1 << 18, file);
    // The file is closed on return: some network file systems rename an open file instead of removing it.
    let filled = fill(&mut writer).and_then(|()| writer.flush()).and_then(|()| writer.get_ref().sync_all());
    filled.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            let text = "the file is larger than the limit of this session or of the file system; raise the limit that \
                        `ulimit -f` shows";
            io::Error::new(error.kind(), text)
        }
        _ => error,
    })
}

/// The same for a writer that needs a path: `fill` writes the file at the path that it is given, and syncs it.
///
/// # Errors
/// As [`write()`].
pub fn write_at(path: &Path, owner: &Owner, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    // Creating the file reserves a name that no earlier process left behind.
    let (temporary, _) = begin(path, owner)?;
    let written = fill(&folder_of(path).join(&temporary.name));
    temporary.finish(path, written)
}

/// Creates a file without a name on the file system of `path`, for data that does not fit into memory. It is gone when it is
/// closed, and also after a crash.
///
/// # Errors
/// When the file system fails.
pub fn unnamed(path: &Path, owner: &Owner) -> io::Result<File> {
    let (temporary, file) = begin(path, owner)?;
    temporary.discard();
    Ok(file)
}

fn begin(path: &Path, owner: &Owner) -> io::Result<(Temporary, File)> {
    match fs::create_dir(folder_of(path)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => owner.create(path),
    }
}

/// Makes renames in `folder` durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    sync(&open::folder(folder)?)
}

fn sync(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        // Some network file systems do not support fsync of a folder.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_only_the_old_file() {
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
    fn a_new_file_replaces_nothing_and_is_whole_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let (path, owner) = (dir.path().join("c.toml"), Owner::this_process());
        let failed = write_new(&path, &owner, |w| w.write_all(b"ha").and_then(|()| Err(io::Error::other("no"))));
        assert!(failed.is_err() && !path.exists());
        write_new(&path, &owner, |w| w.write_all(b"one")).unwrap();
        let error = write_new(&path, &owner, |w| w.write_all(b"two")).unwrap_err();
        assert_eq!((error.kind(), fs::read(&path).unwrap().as_slice()), (io::ErrorKind::AlreadyExists, &b"one"[..]));
        std::os::unix::fs::symlink("/nonexistent", dir.path().join("link")).unwrap();
        let error = write_new(&dir.path().join("link"), &owner, |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "a link is not followed");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
        assert!(write_new(&dir.path().join("gone/c.toml"), &owner, |_| Ok(())).is_err(), "no folder is created");
    }

    #[test]
    fn only_the_folder_of_the_file_is_created() {
        let dir = tempfile::tempdir().unwrap();
        let error = write(&dir.path().join("gone/set/v"), &Owner::this_process(), |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_moved_during_a_write_gets_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (there, away) = (dir.path().join("there"), dir.path().join("away"));
        let owner = Owner::this_process();
        let files = |folder: &Path| fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name()).collect::<Vec<_>>();
        write(&there.join("v"), &owner, |w| w.write_all(b"one").and_then(|()| fs::rename(&there, &away))).unwrap();
        assert_eq!(fs::read(away.join("v")).unwrap(), b"one");
        // A write by path fails and leaves nothing behind.
        fs::rename(&away, &there).unwrap();
        let failed = write_at(&there.join("w"), &owner, |temporary| {
            fs::rename(&there, &away)?;
            fs::write(temporary, b"two")
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(files(&away), ["v"]);
        assert_eq!(files(dir.path()), ["away"]);
    }

    #[test]
    fn temporary_names_are_short_and_hidden() {
        for owner in [Owner::this_process(), Owner::engine()] {
            let long = format!("/x/{}", "n".repeat(255));
            let name = owner.temporary(Path::new(&long), u64::MAX).unwrap();
            let name = name.to_str().unwrap();
            assert!(is_temporary(name) && name.len() < 160 && !name.contains('/'), "{name:?}");
        }
    }

    #[test]
    fn an_existing_temporary_file_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (path, owner) = (dir.path().join("v"), Owner::engine());
        let next = COUNTER.load(Ordering::Relaxed);
        for count in next..next + 100 {
            fs::write(path.with_file_name(owner.temporary(&path, count).unwrap()), b"left behind").unwrap();
        }
        write(&path, &owner, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 101);
    }
}
