//! Files that are either not there or complete: temporary file, fsync, rename, fsync of the folder.

mod sweep;

pub use sweep::Sweeper;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

static COUNTER: AtomicU64 = AtomicU64::new(0);
const SUFFIX: &str = ".reeldeck-tmp";

/// Who writes, as temporary names say it, so that what a dead writer left behind can be told from what a living one is
/// writing (see [`Sweeper`]).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Owner(String);

impl Owner {
    /// A command that writes for itself: `host-pid` of this process.
    pub fn this_process() -> Self {
        Self(format!("{}-{}", host(), std::process::id()))
    }

    /// The engine in this process, and the workers that it starts: `shard-of-of.host-pid`. Numbers as in the name of the
    /// engine's lock; the lock is what makes the shard a name that no two living engines share.
    pub fn engine(shard: u32, of: u32) -> Self {
        Self(format!("{shard}-of-{of}.{}-{}", host(), std::process::id()))
    }

    /// A name for a temporary file beside `path`.
    fn temporary(&self, path: &Path, count: u64) -> io::Result<PathBuf> {
        let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
        // Several processes write for one owner (an engine's workers), hence the writer's id beside the owner's. The
        // video's own name stays out: it may already be as long as the file system allows.
        let digest = xxhash_rust::xxh3::xxh3_64(name.as_encoded_bytes());
        Ok(format!(".{}-{}-{count}-{digest:016x}{SUFFIX}", self.0, std::process::id()).into())
    }

    /// Makes a temporary file beside `path`. One of the same name may have been left behind: process ids come again, in a
    /// container after every start.
    fn create(&self, path: &Path) -> io::Result<(Temporary, File)> {
        let folder = File::open(folder_of(path))?;
        let (flags, mode) =
            (OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, Mode::from_raw_mode(0o666));
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

/// A file that is being written, in a folder that is held open: one that is moved away meanwhile, or whose disk is unmounted,
/// gets the whole file or keeps nothing of it, and nothing comes to be where it had been.
struct Temporary {
    folder: File,
    name: PathBuf,
}

impl Temporary {
    /// Gives it the name of `path` and makes that durable, or removes it where it was not `written`.
    fn finish(self, path: &Path, written: io::Result<()>) -> io::Result<()> {
        let Self { folder, name } = self;
        let last = path.file_name().unwrap_or_default();
        let named = written.and_then(|()| Ok(renameat(&folder, &name, &folder, last)?));
        match named {
            Ok(()) => sync(&folder),
            // The first error is the one to tell; a temporary file that cannot be removed is swept later.
            Err(error) => {
                let _ = unlinkat(&folder, &name, AtFlags::empty());
                Err(error)
            }
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// This host's name, of letters, digits and `-` alone: in temporary names a `.` ends the shard.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Whether a file name is a temporary file of anybody's.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(SUFFIX)
}

/// Writes `path` so that it appears complete or not at all. Its own folder is made where it is missing, but not those
/// above: where the output folder's disk is gone, nothing must be written in its place.
///
/// # Errors
/// Whatever the file system or `fill` reports; the temporary file is removed then.
pub fn write(path: &Path, owner: &Owner, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let (temporary, file) = begin(path, owner)?;
    let mut writer = BufWriter::with_capacity(1 << 18, file);
    let written = fill(&mut writer).and_then(|()| writer.flush()).and_then(|()| writer.get_ref().sync_all());
    // Some network file systems keep the name of an open file that is removed.
    drop(writer);
    temporary.finish(path, written)
}

/// The same for what must be given a path: `fill` makes the file that it is told, and makes it durable.
///
/// # Errors
/// As [`write`].
pub fn write_at(path: &Path, owner: &Owner, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    // The name is taken first: what a predecessor of the same process id left behind is stepped around.
    let (temporary, _) = begin(path, owner)?;
    let written = fill(&folder_of(path).join(&temporary.name));
    temporary.finish(path, written)
}

fn begin(path: &Path, owner: &Owner) -> io::Result<(Temporary, File)> {
    match fs::create_dir(folder_of(path)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => owner.create(path),
    }
}

/// Makes a rename in `folder` durable.
///
/// # Errors
/// When the folder cannot be opened or synchronised.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    sync(&File::open(folder)?)
}

fn sync(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        // Some network file systems refuse to fsync a folder; the rename itself is all they offer.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
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
    fn only_the_files_own_folder_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let error = write(&dir.path().join("gone/set/v"), &Owner::this_process(), |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_moved_meanwhile_takes_the_file_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (there, away) = (dir.path().join("there"), dir.path().join("away"));
        let owner = Owner::this_process();
        let files = |folder: &Path| fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name()).collect::<Vec<_>>();
        write(&there.join("v"), &owner, |w| w.write_all(b"one").and_then(|()| fs::rename(&there, &away))).unwrap();
        assert_eq!(fs::read(away.join("v")).unwrap(), b"one");
        // What wants a path fails, and leaves nothing in the folder that went.
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
    fn names_are_short_and_hidden() {
        for owner in [Owner::this_process(), Owner::engine(3, 16)] {
            let long = format!("/x/{}", "n".repeat(255));
            let name = owner.temporary(Path::new(&long), u64::MAX).unwrap();
            let name = name.to_str().unwrap();
            assert!(is_temporary(name) && name.len() < 160 && !name.contains('/'), "{name:?}");
        }
    }

    #[test]
    fn a_file_of_the_same_name_left_behind_is_stepped_over() {
        let dir = tempfile::tempdir().unwrap();
        let (path, owner) = (dir.path().join("v"), Owner::engine(0, 1));
        let next = COUNTER.load(Ordering::Relaxed);
        for count in next..next + 100 {
            fs::write(path.with_file_name(owner.temporary(&path, count).unwrap()), b"left behind").unwrap();
        }
        write(&path, &owner, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 101);
    }
}
