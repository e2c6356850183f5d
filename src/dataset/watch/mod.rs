//! The watch: keeps a scan current. Tells of videos and classes that come, change and go.
//!
//! The operating system's events only say where to look; what is news is found by looking. Where there are no events, on
//! network file systems or when watches run out, everything is looked at from time to time. The last is done, less
//! often, in any case.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reeldeck_common::video::VideoName;
use tokio::sync::mpsc;

use super::scan::{VideoFile, scan_class};

mod hints;
mod look;
mod source;
#[cfg(test)]
mod tests;
mod tracker;

use hints::{Board, Hints};
use look::Identity;
use source::{Events, MakeEvents};
use tracker::Tracker;

pub use source::network_of;

/// News that wait for the receiver at most; after that the watch waits too, and nothing is lost.
const CHANNEL: usize = 1024;
/// Where there are events, everything is looked at once in so many polling intervals.
const SELDOM: u32 = 10;

/// What has changed in the dataset folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A video is new or has changed, and has been the same for the configured time.
    Settled(VideoFile),
    /// A video is there no more.
    Gone(VideoName),
    /// A class folder is there. Its videos follow.
    ClassAppeared(String),
    /// A class folder is there no more. Its videos were told before.
    ClassGone(String),
    /// The dataset folder cannot be seen, for this reason; its disk may be gone. Its videos are not told as gone.
    Away(String),
    /// It can be seen again. What has changed meanwhile follows.
    Back,
    /// From now on everything is looked at from time to time, for this reason.
    Polling(String),
}

/// How changes are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// By events, but on network file systems by polling.
    #[default]
    Auto,
    /// By events wherever there are any.
    Events,
    /// By polling.
    Polling,
}

/// What to watch, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// The dataset folder.
    pub root: PathBuf,
    /// Extensions of videos, lower case, no dot. Files that are still arriving have none of them.
    pub extensions: Vec<String>,
    /// So long size and time of a file must have held before it counts.
    pub settle: Duration,
    /// Time between two looks at everything, when polling.
    pub poll: Duration,
    /// How changes are noticed.
    pub backend: Backend,
}

impl WatchOptions {
    /// The usual: ten seconds of rest, a look a minute.
    pub fn new(root: PathBuf, extensions: Vec<String>) -> Self {
        let (settle, poll) = (Duration::from_secs(10), Duration::from_secs(60));
        Self { root, extensions, settle, poll, backend: Backend::Auto }
    }
}

/// A running watch. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<Change>,
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

/// Asks a watch to look at everything now; may be cloned and sent anywhere.
#[derive(Clone, Debug)]
pub struct Rescan(Arc<Board>);

impl Rescan {
    /// Everything is looked at soon; what has changed comes as any other change.
    pub fn now(&self) {
        self.0.leave(|hints| hints.all = true);
    }
}

impl Watch {
    /// Watches from now on. What differs from `known`, the videos of a scan, is told first.
    ///
    /// # Errors
    /// When the dataset folder is not there, or no thread can be had.
    pub fn start(options: WatchOptions, known: &[VideoFile]) -> io::Result<Self> {
        Self::start_with(options, known, source::native())
    }

    fn start_with(options: WatchOptions, known: &[VideoFile], make_events: MakeEvents) -> io::Result<Self> {
        let (identity, classes) = look::classes(&options.root)?;
        let mut tracker = Tracker::new(options.settle, known.iter().cloned());
        // Classes that are there now are no news; their videos may be.
        classes.keys().for_each(|class| tracker.class_appears(class));
        let board = Arc::new(Board::default());
        let (sender, changes) = mpsc::channel(CHANNEL);
        let looker = Looker {
            tracker,
            options,
            board: Arc::clone(&board),
            sender,
            make_events,
            identity,
            classes: BTreeMap::new(),
            events: None,
            polling: false,
            away: false,
        };
        let thread = thread::Builder::new().name("watch".into()).spawn(move || looker.run())?;
        Ok(Self { changes, board, thread: Some(thread) })
    }

    /// The next change; `None` once the watch has ended. Safe to cancel.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// The next change, for threads without a runtime.
    pub fn next_blocking(&mut self) -> Option<Change> {
        self.changes.blocking_recv()
    }

    /// What asks for a look at everything.
    pub fn rescan(&self) -> Rescan {
        Rescan(Arc::clone(&self.board))
    }

    /// Ends the watch and waits for it. A look at a file system that does not answer is waited for.
    pub fn stop(mut self) {
        let thread = self.thread.take();
        drop(self);
        // A panic of the thread has been told where it happened.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Ends a wait for room in the channel, then any other.
        self.changes.close();
        self.board.leave(|hints| hints.stop = true);
    }
}

/// The receiver is gone.
struct Ended;

/// The thread that looks.
struct Looker {
    options: WatchOptions,
    board: Arc<Board>,
    sender: mpsc::Sender<Change>,
    make_events: MakeEvents,
    tracker: Tracker,
    identity: Identity,
    /// The class folders that were seen, and which folders they were.
    classes: BTreeMap<String, Identity>,
    events: Option<Box<dyn Events>>,
    polling: bool,
    away: bool,
}

impl Looker {
    fn run(mut self) {
        // An error means that nobody listens any more.
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
            // Changes come in heaps: one look for many.
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

    /// Time between two looks at everything.
    fn interval(&self) -> Duration {
        let poll = self.options.poll.max(Duration::from_millis(10));
        if self.polling || self.away { poll } else { poll * SELDOM }
    }

    fn tell(&self, change: Change) -> Result<(), Ended> {
        self.sender.blocking_send(change).map_err(|_| Ended)
    }

    /// Begins to listen to the operating system, where that is wanted and possible.
    fn listen(&mut self) -> Result<(), Ended> {
        self.events = None;
        let root = &self.options.root;
        let network = match self.options.backend {
            Backend::Polling => return self.poll("so it was asked for".into()),
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
        let mut dirty = hints.classes;
        if hints.all || hints.root || self.away {
            let Some(appeared) = self.look_at_root()? else { return Ok(()) };
            dirty.extend(appeared);
        }
        if hints.all {
            dirty.extend(self.classes.keys().cloned());
        }
        self.add_other_names(&mut dirty);
        for class in dirty {
            self.look_at_class(&class)?;
        }
        let mut news = vec![];
        for name in self.tracker.unsettled() {
            // What cannot be looked at now is looked at again.
            if let Ok(stamp) = look::stamp(&self.options.root, &name) {
                self.tracker.observe(&name, stamp, Instant::now(), &mut news);
            }
        }
        self.tell_all(news)
    }

    fn tell_all(&self, news: Vec<Change>) -> Result<(), Ended> {
        news.into_iter().try_for_each(|change| self.tell(change))
    }

    /// A folder that is linked under several names reports its changes under one of them.
    fn add_other_names(&self, dirty: &mut BTreeSet<String>) {
        let folders: BTreeSet<_> = dirty.iter().filter_map(|class| self.classes.get(class)).collect();
        let others = self.classes.iter().filter(|(_, identity)| folders.contains(identity));
        dirty.extend(others.map(|(class, _)| class.clone()));
    }

    /// Looks which classes there are; gives those to look into, or `None` where the dataset folder cannot be seen.
    fn look_at_root(&mut self) -> Result<Option<Vec<String>>, Ended> {
        let root = self.options.root.clone();
        let (identity, classes) = match look::classes(&root) {
            Ok(seen) => seen,
            Err(error) => return self.go_away(error.to_string()),
        };
        if identity != self.identity {
            // An empty folder in its place is where a disk used to be mounted.
            let knows_none = !classes.keys().any(|class| self.tracker.knows(class));
            if knows_none && self.tracker.classes().next().is_some() {
                return self.go_away("another folder is in its place, with none of its classes".into());
            }
        }
        let new_folder = std::mem::replace(&mut self.identity, identity) != identity;
        let was_away = std::mem::replace(&mut self.away, false);
        if was_away {
            self.tell(Change::Back)?;
        }
        if (was_away || new_folder) && !self.polling {
            self.classes.clear();
            self.listen()?;
        }
        self.compare(classes).map(Some)
    }

    fn go_away(&mut self, why: String) -> Result<Option<Vec<String>>, Ended> {
        if !std::mem::replace(&mut self.away, true) {
            self.events = None;
            self.tell(Change::Away(why))?;
        }
        Ok(None)
    }

    /// Tells which classes came and went; gives those to look into.
    fn compare(&mut self, classes: BTreeMap<String, Identity>) -> Result<Vec<String>, Ended> {
        let mut news = vec![];
        let gone: Vec<_> =
            self.tracker.classes().filter(|class| !classes.contains_key(*class)).map(str::to_owned).collect();
        for class in &gone {
            self.tracker.class_goes(class, &mut news);
        }
        let before = std::mem::replace(&mut self.classes, classes);
        let kept: BTreeSet<_> = self
            .classes
            .iter()
            .filter(|(class, now)| before.get(*class) == Some(*now))
            .map(|(class, _)| class)
            .collect();
        let ended: BTreeMap<_, _> = before.iter().filter(|(class, _)| !kept.contains(class)).collect();
        let lost: BTreeSet<_> = ended.values().copied().collect();
        // Ending the watch of one name ends those of the folder's other names too.
        let again =
            |class: &String| !kept.contains(class) || self.classes.get(class).is_some_and(|now| lost.contains(&now));
        let to_watch: Vec<_> = self.classes.keys().filter(|class| again(class)).cloned().collect();
        if let Some(events) = &mut self.events {
            ended.keys().for_each(|class| events.unwatch(&self.options.root.join(class)));
        }
        for class in &to_watch {
            if !self.tracker.knows(class) {
                self.tracker.class_appears(class);
                news.push(Change::ClassAppeared(class.clone()));
            }
            self.listen_to(class)?;
        }
        self.tell_all(news)?;
        Ok(to_watch)
    }

    /// Listens before looking, so that nothing falls between the two.
    fn listen_to(&mut self, class: &str) -> Result<(), Ended> {
        let folder = self.options.root.join(class);
        let Some(events) = &mut self.events else { return Ok(()) };
        // A class may be a link to another disk.
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

    fn look_at_class(&mut self, class: &str) -> Result<(), Ended> {
        if !self.tracker.knows(class) {
            return Ok(());
        }
        let mut news = vec![];
        match scan_class(&self.options.root, class, &self.options.extensions) {
            Ok(files) => self.tracker.class_holds(class, files, Instant::now(), &mut news),
            // Gone: the list of classes will say so. Anything else may pass: what was known still holds.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.board.leave(|hints| hints.root = true),
            Err(_) => {}
        }
        self.tell_all(news)
    }
}
