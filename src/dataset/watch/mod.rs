//! The watch keeps a scan current. It reports videos and folders that are added, changed and removed.
//!
//! Events of the operating system only say where to look. Without events, as on network file systems or when watches run
//! out, everything is examined at an interval. With events, the watch also examines everything, but less often.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reeldeck_common::video::VideoName;
use tokio::sync::mpsc;

use super::scan::{ScanRules, VideoFile};

mod folder_watcher;
mod hints;
mod look;
mod source;
#[cfg(test)]
mod tests;
mod tracker;

use folder_watcher::FolderWatcher;
use hints::HintQueue;
use look::Folders;
use source::MakeEvents;
use tracker::Tracker;

pub(crate) use source::network_of;

/// Capacity of the channel. When it is full, the watch waits, and no change is lost.
const CHANNEL: usize = 1024;

/// A change in the dataset folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A video is new or has changed, and has been unchanged for the settling time.
    Settled(VideoFile),
    /// A video was removed.
    Gone(VideoName),
    /// A folder was added. Its videos follow.
    FolderAppeared(String),
    /// A folder was removed, after its videos.
    FolderGone(String),
    /// The dataset folder is not accessible, for this reason; its disk may be absent. Its videos are not reported as
    /// removed.
    Away(String),
    /// The folder is accessible again. Changes follow.
    Back,
    /// From now on changes are found by polling, for this reason.
    Polling(String),
}

/// How changes are detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Backend {
    /// By events; on network file systems by polling.
    #[default]
    Auto,
    /// By events wherever they are available.
    Events,
    /// By polling.
    Polling,
}

/// Options of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchOptions {
    /// The dataset folder.
    pub root: PathBuf,
    /// What counts as a video.
    pub rules: ScanRules,
    /// Settling time: how long a file's size and modification time must stay the same.
    pub settle: Duration,
    /// Time between two polls.
    pub poll: Duration,
    /// How changes are detected.
    pub backend: Backend,
}

impl WatchOptions {
    /// The defaults: 10 s of settling, one poll per minute.
    pub(crate) fn new(root: PathBuf, rules: ScanRules) -> Self {
        let (settle, poll) = (Duration::from_secs(10), Duration::from_secs(60));
        Self { root, rules, settle, poll, backend: Backend::Auto }
    }
}

/// A running watch. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    changes: mpsc::Receiver<Change>,
    board: Arc<HintQueue>,
    #[cfg(test)]
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Requests rescans. It can be cloned and sent to other threads.
#[derive(Clone, Debug)]
pub(crate) struct Rescan(Arc<HintQueue>);

impl Rescan {
    /// Requests a rescan of everything. Changes arrive like any others.
    pub(crate) fn now(&self) {
        self.0.leave(|hints| hints.all = true);
    }
}

impl Watch {
    /// Starts to watch. Differences from `known`, the videos of a scan, are reported first. Their layout stays the layout of
    /// the dataset while the watch runs.
    ///
    /// # Errors
    /// When the dataset folder is missing, or no thread can be started.
    pub(crate) fn start(options: WatchOptions, known: &[VideoFile]) -> io::Result<Self> {
        Self::start_with(options, known, source::native())
    }

    fn start_with(options: WatchOptions, known: &[VideoFile], make_events: MakeEvents) -> io::Result<Self> {
        let options = WatchOptions { rules: options.rules.resolved(known), ..options };
        let layout = options.rules.layout;
        let Folders { root: identity, found, .. } = look::folders(&options.root, layout)?;
        let mut tracker = Tracker::new(options.settle, known.iter().cloned());
        // Existing folders are not reported, but their videos may be.
        found.keys().for_each(|folder| tracker.folder_appears(folder));
        let board = Arc::new(HintQueue::new(*layout.folder_depths().end()));
        let (sender, changes) = mpsc::channel(CHANNEL);
        let folder_watcher = FolderWatcher {
            tracker,
            options,
            board: Arc::clone(&board),
            sender,
            make_events,
            identity,
            folders: BTreeMap::new(),
            events: None,
            polling: false,
            away: false,
        };
        let _thread = reeldeck_common::thread::spawn("watch", move || folder_watcher.run())?;
        Ok(Self {
            changes,
            board,
            #[cfg(test)]
            thread: Some(_thread),
        })
    }

    /// The next change; `None` after the watch ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// The next change, for threads without a runtime.
    pub(crate) fn next_blocking(&mut self) -> Option<Change> {
        self.changes.blocking_recv()
    }

    /// A handle that requests rescans.
    pub(crate) fn rescan(&self) -> Rescan {
        Rescan(Arc::clone(&self.board))
    }

    /// Ends the watch and waits for it, even if the file system does not answer.
    #[cfg(test)]
    fn stop(mut self) {
        let thread = self.thread.take();
        drop(self);
        // A panic of the thread was already reported.
        let _ = thread.map(std::thread::JoinHandle::join);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Ends a wait for room in the channel, then any other wait.
        self.changes.close();
        self.board.leave(|hints| hints.stop = true);
    }
}
