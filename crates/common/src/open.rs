//! Opens files that may have been replaced, on purpose or by mistake.
//!
//! Opening a named pipe blocks until its other end is opened, and a device may be endless. So everything here opens regular
//! files only, and waits for another process only where a limit is given.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Time between two attempts to take a lock.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Opens a file for reading.
///
/// # Errors
/// Those of the file system, and [`io::ErrorKind::InvalidInput`] for anything but a regular file.
pub fn regular(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), OFlags::empty(), path)
}

/// Opens a file for appending, and creates it if it does not exist.
///
/// # Errors
/// As [`in_place`].
pub fn append(path: &Path) -> io::Result<File> {
    in_place(OpenOptions::new().append(true).create(true), path)
}

/// Opens a file that is written in place.
///
/// # Errors
/// As [`regular`]. A link is an error too, so that nothing outside the folder is changed.
pub fn in_place(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    open(options, OFlags::NOFOLLOW, path)
}

/// Opens a folder, to sync it or to open files in it.
///
/// # Errors
/// Those of the file system; for anything but a folder there is one.
pub fn folder(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::DIRECTORY.bits() as i32).open(path)
}

/// Takes the exclusive lock of a file. Waits at most `limit` for another open file that has the lock, which may also be one of
/// this process.
///
/// # Errors
/// Those of the file system, and [`io::ErrorKind::TimedOut`] after `limit`.
pub fn lock(file: &File, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                let message = format!("another process still holds the lock after {} s", limit.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            Err(TryLockError::WouldBlock) => sleep(POLL_INTERVAL),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Whether this error means that the file system has no locks.
pub fn has_no_locks(error: &io::Error) -> bool {
    let errnos = [Errno::NOLCK, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|errno| errnos.contains(&errno))
}

fn open(options: &mut OpenOptions, flags: OFlags, path: &Path) -> io::Result<File> {
    let flagged = |flags: OFlags| flags.bits() as i32;
    let file = match options.custom_flags(flagged(flags | OFlags::NONBLOCK)).open(path) {
        // Another process has a lease on the file, such as a file server, and gives it back within seconds.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && std::fs::metadata(path)?.is_file() => {
            options.custom_flags(flagged(flags)).open(path)
        }
        // A named pipe without a reader, or a socket.
        Err(error) if is_special(&error) => Err(not_regular(path)),
        opened => opened,
    }?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular(path)) }
}

fn is_special(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NXIO.raw_os_error())
}

/// Names the file, because not every caller does.
fn not_regular(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a regular file", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn links_are_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| dir.path().join(name));
        append(&file).unwrap().write_all(b"one").unwrap();
        append(&file).unwrap().write_all(b"two").unwrap();
        symlink(&file, &link).unwrap();
        assert!(append(&link).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"onetwo");
        assert_eq!(io::read_to_string(regular(&link).unwrap()).unwrap(), "onetwo", "a link may be read");
    }

    #[test]
    fn a_lock_is_taken_when_it_is_released_and_waited_for_only_so_long() {
        let dir = tempfile::tempdir().unwrap();
        let [held, other] = [(); 2].map(|()| append(&dir.path().join("lock")).unwrap());
        lock(&held, Duration::ZERO).unwrap();
        assert_eq!(lock(&other, Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lock(&other, Duration::from_secs(60)));
            drop(held);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let [pipe, socket] = ["pipe", "socket"].map(|name| dir.path().join(name));
        mknodat(CWD, &pipe, FileType::Fifo, 0o600.into(), 0).unwrap();
        let _listening = UnixListener::bind(&socket).unwrap();
        for path in [pipe.as_path(), &socket, dir.path(), Path::new("/dev/zero")] {
            let error = regular(path).unwrap_err();
            assert_eq!(error.to_string(), format!("{} is not a regular file", path.display()));
        }
        assert_eq!(folder(&pipe).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        for path in [&pipe, &socket] {
            assert_eq!(append(path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
