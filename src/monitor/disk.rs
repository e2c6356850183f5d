//! Free space of the output folder, read on its own thread: a network file system without a server blocks.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reeldeck_common::machine::disk_space;

/// Older answers are discarded.
const MAX_AGE: Duration = Duration::from_secs(10);

type Answer = Arc<Mutex<Option<(Instant, [u64; 2])>>>;

/// Reads the free space and stores the answer.
pub(super) struct Disk {
    heard: Answer,
    ask: SyncSender<()>,
}

impl Disk {
    /// Starts to measure the file system of `folder`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(folder: PathBuf) -> io::Result<Self> {
        let heard = Answer::default();
        let (ask, asked) = mpsc::sync_channel(1);
        let answer = Arc::clone(&heard);
        reeldeck_common::thread::spawn("disk", move || {
            for () in asked {
                // A missing folder has no free space.
                let space = disk_space(&folder).ok().map(|space| [space.free, space.total]);
                *answer.lock().unwrap_or_else(PoisonError::into_inner) = space.map(|space| (Instant::now(), space));
            }
        })?;
        let disk = Self { heard, ask };
        disk.last();
        Ok(disk)
    }

    /// Free and total bytes of the last answer. Requests a new one.
    pub(super) fn last(&self) -> Option<[u64; 2]> {
        // If the previous request has not been answered yet, it stays the only one.
        let _ = self.ask.try_send(());
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.filter(|(when, _)| when.elapsed() < MAX_AGE).map(|(_, space)| space)
    }
}
