//! One engine for each output folder: a lock that the kernel releases when its holder is gone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The lock of an output folder, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the output folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("another run holds this output folder ({holder}); wait for it, stop it, or use another --out")]
    Held {
        /// Host and process, as the holder wrote them.
        holder: String,
    },
    /// The lock file cannot be made or read.
    #[error("failed to lock the output folder")]
    Io(#[from] io::Error),
}

impl Lock {
    /// Takes the lock, or says who has it. Does not wait.
    ///
    /// # Errors
    /// When it is held, and when the folder cannot be written to.
    pub fn take(private: &Path) -> Result<Self, LockError> {
        let folder = private.join("locks");
        fs::create_dir_all(&folder)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join("0-of-1"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // What it says is for people only, and may be half written.
                let _ = file.take(200).read_to_string(&mut holder);
                return Err(LockError::Held { holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "host {host}, process {}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let error = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }
}
