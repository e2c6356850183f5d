//! The watch keeps a scan current. It reports videos and folders that are added, changed and removed.
//!
//! Events of the operating system only say where to look. Without events, as on network file systems or when watches run
//! out, everything is examined at an interval. With events that happens too, but less often.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reeldeck_common::video::VideoName;
use tokio::sync::mpsc;

use super::scan::{ScanRules, VideoFile, scan_folder};

mod hints;
mod look;
mod source;
#[cfg(test)]
mod tests;
mod tracker;

use hints::{Board, Hints};
use look::{Folders, Identity};
use source::{Events, MakeEvents};
use tracker::Tracker;

pub(crate) use source::network_of;

/// Capacity of the channel. When it is full, the watch waits, and no change is lost.
const CHANNEL: usize = 1024;
/// With events, everything is examined once in this number of polling intervals.
const SELDOM: u32 = 10;

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
    board: Arc<Board>,
    #[cfg(test)]
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Requests rescans. It can be cloned and sent to other threads.
#[derive(Clone, Debug)]
pub(crate) struct Rescan(Arc<Board>);

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
        let board = Arc::new(Board::new(*layout.folder_depths().end()));
        let (sender, changes) = mpsc::channel(CHANNEL);
        let looker = Looker {
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
        let _thread = reeldeck_common::thread::spawn("watch", move || looker.run())?;
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

/// The receiver was dropped.
struct Ended;

/// The thread that examines folders.
struct Looker {
    options: WatchOptions,
    board: Arc<Board>,
    sender: mpsc::Sender<Change>,
    make_events: MakeEvents,
    tracker: Tracker,
    identity: Identity,
    /// The known folders and their identities.
    folders: BTreeMap<String, Identity>,
    events: Option<Box<dyn Events>>,
    polling: bool,
    away: bool,
}

impl Looker {
    fn run(mut self) {
        // An error means that the receiver was dropped.
        let _ = self.look_until_the_end();
    }

    fn look_until_the_end(&mut self) -> Result<(), Ended> {
        self.listen()?;
        let everything = || Hints { all: true, ..Hints::default() };
        let mut hints = everything();
        let mut all_seen = Instant::now();
        loop {
            if hints.all {
                all_seen = Instant::now();
            }
            self.look(hints)?;
            let interval = self.interval();
            let next_all = all_seen + interval;
            let tick = (self.options.settle / 4).clamp(Duration::from_millis(10), Duration::from_secs(1));
            let next = if self.tracker.unsettled().is_empty() { next_all } else { next_all.min(Instant::now() + tick) };
            self.board.wait(next);
            // Changes come in bursts; one examination covers many.
            self.board.gather(next.min(Instant::now() + tick.min(Duration::from_millis(250))));
            if self.board.is_stopped() {
                return Ok(());
            }
            hints = self.board.take();
            if Instant::now() >= next_all {
                hints = everything();
            }
        }
    }

    /// Time between two examinations of everything.
    fn interval(&self) -> Duration {
        let poll = self.options.poll.max(Duration::from_millis(10));
        if self.polling || self.away { poll } else { poll * SELDOM }
    }

    fn tell(&self, change: Change) -> Result<(), Ended> {
        self.sender.blocking_send(change).map_err(|_| Ended)
    }

    /// Starts to use events, if that is requested and possible.
    fn listen(&mut self) -> Result<(), Ended> {
        self.events = None;
        let root = &self.options.root;
        let network = match self.options.backend {
            Backend::Polling => return self.poll("it is configured".into()),
            Backend::Events => None,
            Backend::Auto => source::network_of(root),
        };
        if let Some(kind) = network {
            return self.poll(format!("changes on {kind} are not reported"));
        }
        let made = (self.make_events)(root, Arc::clone(&self.board));
        match made.and_then(|mut events| events.watch(root).map(|()| events)) {
            Ok(events) => self.events = Some(events),
            Err(error) if source::is_gone(&error) => {}
            Err(error) => return self.poll(source::why(&error)),
        }
        Ok(())
    }

    fn poll(&mut self, why: String) -> Result<(), Ended> {
        self.events = None;
        if std::mem::replace(&mut self.polling, true) { Ok(()) } else { self.tell(Change::Polling(why)) }
    }

    fn look(&mut self, hints: Hints) -> Result<(), Ended> {
        let mut dirty = hints.folders;
        if hints.all || hints.tree || self.away {
            let Some(appeared) = self.look_at_root()? else { return Ok(()) };
            dirty.extend(appeared);
        }
        if hints.all {
            dirty.extend(self.folders.keys().cloned());
        }
        self.add_other_names(&mut dirty);
        for folder in dirty {
            self.look_at_folder(&folder)?;
        }
        let mut news = vec![];
        for name in self.tracker.unsettled() {
            // Retry what could not be examined.
            if let Ok(stamp) = look::stamp(&self.options.root, &name) {
                self.tracker.observe(&name, stamp, Instant::now(), &mut news);
            }
        }
        self.tell_all(news)
    }

    fn tell_all(&self, news: Vec<Change>) -> Result<(), Ended> {
        news.into_iter().try_for_each(|change| self.tell(change))
    }

    /// A folder with several names reports its changes under one of them.
    fn add_other_names(&self, dirty: &mut BTreeSet<String>) {
        let folders: BTreeSet<_> = dirty.iter().filter_map(|folder| self.folders.get(folder)).collect();
        let others = self.folders.iter().filter(|(_, identity)| folders.contains(identity));
        dirty.extend(others.map(|(folder, _)| folder.clone()));
    }

    /// Examines which folders exist. Returns those to examine, or `None` if the dataset folder is not accessible.
    fn look_at_root(&mut self) -> Result<Option<Vec<String>>, Ended> {
        let root = self.options.root.clone();
        let Folders { root: identity, mut found, unlisted } = match look::folders(&root, self.options.rules.layout) {
            Ok(folders) => folders,
            Err(error) => return self.go_away(error.to_string()),
        };
        if identity != self.identity {
            // An empty folder is a mount point without its disk.
            let knows_something =
                self.tracker.folders().any(|folder| !folder.is_empty()) || self.tracker.files("").next().is_some();
            if knows_something && !self.has_known(&found) {
                return self.go_away("another folder is in its place, with none of its content".into());
            }
        }
        // What cannot be listed now may still be there.
        for folder in unlisted {
            let is_inside = |known: &&str| known.strip_prefix(&folder).is_some_and(|rest| rest.starts_with('/'));
            found.extend(self.tracker.folders().filter(is_inside).map(|known| (known.to_owned(), look::UNSEEN)));
        }
        let new_folder = std::mem::replace(&mut self.identity, identity) != identity;
        let was_away = std::mem::replace(&mut self.away, false);
        if was_away {
            self.tell(Change::Back)?;
        }
        if (was_away || new_folder) && !self.polling {
            self.folders.clear();
            self.listen()?;
        }
        self.compare(found).map(Some)
    }

    /// Whether the dataset folder contains one of the known folders, or a known file directly in it.
    fn has_known(&self, found: &BTreeMap<String, Identity>) -> bool {
        let mut files = self.tracker.files("");
        found.keys().any(|folder| !folder.is_empty() && self.tracker.knows(folder))
            || files.any(|name| matches!(look::stamp(&self.options.root, name), Ok(Some(_))))
    }

    fn go_away(&mut self, why: String) -> Result<Option<Vec<String>>, Ended> {
        if !std::mem::replace(&mut self.away, true) {
            self.events = None;
            self.tell(Change::Away(why))?;
        }
        Ok(None)
    }

    /// Reports added and removed folders. Returns those to examine.
    fn compare(&mut self, folders: BTreeMap<String, Identity>) -> Result<Vec<String>, Ended> {
        let mut news = vec![];
        let gone: Vec<_> =
            self.tracker.folders().filter(|folder| !folders.contains_key(*folder)).map(str::to_owned).collect();
        for folder in &gone {
            self.tracker.folder_goes(folder, &mut news);
        }
        let before = std::mem::replace(&mut self.folders, folders);
        let kept: BTreeSet<_> = self
            .folders
            .iter()
            .filter(|(folder, now)| before.get(*folder) == Some(*now))
            .map(|(folder, _)| folder)
            .collect();
        let ended: BTreeMap<_, _> = before.iter().filter(|(folder, _)| !kept.contains(folder)).collect();
        let lost: BTreeSet<_> = ended.values().copied().collect();
        // Removing the watch of one name removes those of the folder's other names.
        let again =
            |folder: &String| !kept.contains(folder) || self.folders.get(folder).is_some_and(|now| lost.contains(&now));
        let to_watch: Vec<_> = self.folders.keys().filter(|folder| again(folder)).cloned().collect();
        if let Some(events) = &mut self.events {
            ended.keys().for_each(|folder| events.unwatch(&self.options.root.join(folder)));
        }
        for folder in &to_watch {
            if !self.tracker.knows(folder) {
                self.tracker.folder_appears(folder);
                news.push(Change::FolderAppeared(folder.clone()));
            }
            self.listen_to(folder)?;
        }
        self.tell_all(news)?;
        Ok(to_watch)
    }

    /// Watches before it examines, so that no change is missed in between.
    fn listen_to(&mut self, folder: &str) -> Result<(), Ended> {
        if folder.is_empty() {
            // The dataset folder is always watched.
            return Ok(());
        }
        let folder = self.options.root.join(folder);
        let Some(events) = &mut self.events else { return Ok(()) };
        // A folder may be a link to another disk.
        if self.options.backend == Backend::Auto
            && let Some(kind) = source::network_of(&folder)
        {
            return self.poll(format!("changes on {kind} are not reported"));
        }
        match events.watch(&folder) {
            Err(error) if !source::is_gone(&error) => self.poll(source::why(&error)),
            _ => Ok(()),
        }
    }

    fn look_at_folder(&mut self, folder: &str) -> Result<(), Ended> {
        if !self.tracker.knows(folder) {
            return Ok(());
        }
        let mut news = vec![];
        match scan_folder(&self.options.root, folder, &self.options.rules) {
            Ok(files) => self.tracker.folder_holds(folder, files, Instant::now(), &mut news),
            // If it is gone, the list of folders shows it. Other errors may be temporary, so the known state stays.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.board.leave(|hints| hints.tree = true),
            Err(_) => {}
        }
        self.tell_all(news)
    }
}
