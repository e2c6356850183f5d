//! Ensures one engine per shard of an output folder: a lock that the kernel releases when its holder and all workers have
//! exited. The text of the lock file tells clients where the engine listens.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use reeldeck_common::open;

use crate::dataset::shard::Shard;
use crate::error::{Exit, ExitError};
use crate::protocol::holder::{FILE_SIZE, Holder, has_no_locks, holders, host, is_fresh, read_holder};

/// The interval of heartbeats in the lock file.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long to wait for the workers of an engine that was killed to exit.
const WORKER_EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the output folder cannot be locked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another run holds it.
    #[error(
        "another run is using this output folder ({holder}); follow it with `reeldeck attach`, stop it, or use another --out"
    )]
    Held {
        /// Host and process, as the holder wrote them.
        holder: String,
    },
    /// Another run holds a shard that overlaps with this one.
    #[error(
        "a run of part {theirs} is using this output folder ({holder}); all runs in one output folder must be split in the \
         same way, and this one is part {ours}"
    )]
    Overlap {
        /// The shard of the other run.
        theirs: Shard,
        /// The shard of this run.
        ours: Shard,
        /// Host and process.
        holder: String,
    },
    /// The lock file cannot be created or read.
    #[error("failed to lock the output folder; check space and permissions")]
    Io(#[from] io::Error),
}

impl From<LockError> for ExitError {
    fn from(error: LockError) -> Self {
        let exit = match error {
            LockError::Held { .. } | LockError::Overlap { .. } => Exit::Locked,
            LockError::Io(_) => Exit::Internal,
        };
        Self::new(exit, error)
    }
}

/// What has become of the lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockFile {
    /// It is unchanged.
    Same,
    /// It names this process but is another file, because the disk was mounted again.
    Remounted,
    /// It was removed or replaced.
    Gone,
}

#[derive(Debug)]
struct Held {
    file: File,
    /// Inherited by all child processes. The lock belongs to the open file, not to a process, so it lasts until the last of
    /// them has exited: no other run starts while a worker may still write.
    _inherited: OwnedFd,
    path: PathBuf,
    holder: Holder,
}

/// The lock on a shard of an output folder, held until it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    held: Arc<Mutex<Held>>,
    shard: Shard,
    _alive: mpsc::Sender<()>,
}

impl Lock {
    /// Takes the lock. Waits only for workers of an engine that has exited.
    ///
    /// # Errors
    /// When another run holds the lock, or the folder cannot be written to.
    pub(crate) fn take(private: &Path, shard: Shard) -> Result<Self, LockError> {
        let folder = private.join("locks");
        fs::create_dir_all(&folder)?;
        let path = folder.join(name(shard));
        let now = Timestamp::now();
        let tool = concat!("reeldeck ", env!("CARGO_PKG_VERSION")).into();
        let pid = std::process::id();
        let holder = Holder { host: host(), pid, tool, started: now, heartbeat: now, socket: None };
        let (file, inherited) = open_locked(&path)?;
        for other in holders(private)? {
            if other.shard.of != shard.of && other.held {
                let holder = other.holder.map_or_else(|| "unknown".into(), |holder| holder.in_words());
                return Err(LockError::Overlap { theirs: other.shard, ours: shard, holder });
            }
        }
        write_holder(&file, &holder)?;
        let held = Arc::new(Mutex::new(Held { file, _inherited: inherited, path, holder }));
        let (alive, ended) = mpsc::channel::<()>();
        let kept = Arc::downgrade(&held);
        reeldeck_common::thread::spawn("heartbeat", move || {
            while ended.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                let Some(held) = kept.upgrade() else { return };
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                held.holder.heartbeat = Timestamp::now();
                // A missing or full disk is noticed elsewhere.
                let _ = write_holder(&held.file, &held.holder);
            }
        })?;
        Ok(Self { held, shard, _alive: alive })
    }

    /// The shard.
    pub(crate) fn shard(&self) -> Shard {
        self.shard
    }

    /// Tells clients where the engine listens.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn tell_socket(&self, socket: &Path) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.holder.socket = Some(socket.to_owned());
        write_holder(&held.file, &held.holder)
    }

    /// Checks whether the lock file is unchanged.
    ///
    /// # Errors
    /// When the file system reports an error other than a missing file.
    pub(crate) fn look(&self) -> io::Result<LockFile> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let there = match fs::metadata(&held.path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockFile::Gone),
            Err(error) => return Err(error),
        };
        let own = held.file.metadata()?;
        if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
            return Ok(LockFile::Same);
        }
        let ours = read_holder(&held.path)
            .is_some_and(|h| (h.pid, h.started, &h.host) == (held.holder.pid, held.holder.started, &held.holder.host));
        Ok(if ours { LockFile::Remounted } else { LockFile::Gone })
    }

    /// Takes the lock again after its file was replaced.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub(crate) fn take_again(&self) -> Result<(), LockError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let (file, inherited) = open_locked(&held.path)?;
        write_holder(&file, &held.holder)?;
        (held.file, held._inherited) = (file, inherited);
        Ok(())
    }
}

fn name(shard: Shard) -> String {
    format!("{}-of-{}", shard.index, shard.of)
}

fn open_locked(path: &Path) -> Result<(File, OwnedFd), LockError> {
    let started = Instant::now();
    let mut tries = 0;
    let file = loop {
        let file = open::in_place(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)?;
        tries += 1;
        let holder = read_holder(path);
        match file.try_lock() {
            Ok(()) => break file,
            Err(TryLockError::WouldBlock) => {
                // A client that checks the lock holds it for a moment.
                let passing = tries < 5 || holder.as_ref().is_some_and(Holder::is_dead_here);
                if !passing || started.elapsed() > WORKER_EXIT_TIMEOUT {
                    let holder = holder.map_or_else(|| "unknown".into(), |holder| holder.in_words());
                    return Err(LockError::Held { holder });
                }
            }
            Err(TryLockError::Error(error)) if has_no_locks(&error) => match holder.filter(is_fresh) {
                Some(holder) => return Err(LockError::Held { holder: holder.in_words() }),
                None => break file,
            },
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        std::thread::sleep(Duration::from_millis(40));
    };
    // Removes what an earlier holder has written beyond the new text.
    file.set_len(FILE_SIZE as u64)?;
    // Files of the standard library are closed on exec; this duplicate is not.
    let inherited = rustix::io::dup(&file).map_err(io::Error::from)?;
    Ok((file, inherited))
}

fn write_holder(file: &File, holder: &Holder) -> io::Result<()> {
    let mut text = serde_json::to_vec(holder)?;
    if text.len() >= FILE_SIZE {
        return Err(io::Error::other("the socket's path is too long"));
    }
    text.resize(FILE_SIZE - 1, b' ');
    text.push(b'\n');
    file.write_all_at(&text, 0)
}

#[cfg(test)]
mod tests;
