//! Free space of the output folder, asked for on a thread of its own: a network file system whose server is gone does not
//! answer at all.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was heard longer ago is not known any more.
const MAX_AGE: Duration = Duration::from_secs(10);

type Answer = Arc<Mutex<Option<(Instant, [u64; 2])>>>;

/// Asks, and remembers the answer.
pub struct Disk {
    heard: Answer,
    ask: SyncSender<()>,
}

impl Disk {
    /// Of the file system that this folder is on.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(folder: PathBuf) -> io::Result<Self> {
        let heard = Answer::default();
        let (ask, asked) = mpsc::sync_channel(1);
        let answer = Arc::clone(&heard);
        std::thread::Builder::new().name("disk".into()).spawn(move || {
            for () in asked {
                // A folder that is gone has no free space to tell of.
                let space = rustix::fs::statvfs(&folder).ok();
                let space = space.map(|vfs| [vfs.f_bavail * vfs.f_frsize, vfs.f_blocks * vfs.f_frsize]);
                *answer.lock().unwrap_or_else(PoisonError::into_inner) = space.map(|space| (Instant::now(), space));
            }
        })?;
        let disk = Self { heard, ask };
        disk.last();
        Ok(disk)
    }

    /// Bytes that are free and all, as heard last; asks anew for the next time.
    pub fn last(&self) -> Option<[u64; 2]> {
        // Where it has not answered yet, one question is enough.
        let _ = self.ask.try_send(());
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.filter(|(when, _)| when.elapsed() < MAX_AGE).map(|(_, space)| space)
    }
}
