//! The thread of a watch, which examines folders.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::hints::{HintQueue, Hints};
use super::look::{self, Folders, Identity};
use super::source::{self, Events, MakeEvents};
use super::tracker::Tracker;
use super::{Backend, Change, WatchOptions};
use crate::dataset::scan::scan_folder;
use reeldeck_common::video::VideoName;

/// With events, everything is examined once in this number of polling intervals.
const POLLS_PER_FULL_SCAN: u32 = 10;

/// The receiver was dropped.
struct Ended;

/// The thread that examines folders.
pub(super) struct FolderWatcher {
    pub(super) options: WatchOptions,
    pub(super) board: Arc<HintQueue>,
    pub(super) sender: mpsc::Sender<Change>,
    pub(super) make_events: MakeEvents,
    pub(super) tracker: Tracker,
    pub(super) identity: Identity,
    /// The known folders and their identities.
    pub(super) folders: BTreeMap<String, Identity>,
    pub(super) events: Option<Box<dyn Events>>,
    pub(super) polling: bool,
    pub(super) away: bool,
}

impl FolderWatcher {
    pub(super) fn run(mut self) {
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
        if self.polling || self.away { poll } else { poll * POLLS_PER_FULL_SCAN }
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
        let mut changes = vec![];
        // Retry what could not be examined.
        let look = |name: VideoName| Some((look::stamp(&self.options.root, &name).ok()?, name));
        let stamps: Vec<_> = self.tracker.unsettled().into_iter().filter_map(look).collect();
        if self.is_same_root() {
            for (stamp, name) in stamps {
                self.tracker.observe(&name, stamp, Instant::now(), &mut changes);
            }
        }
        self.tell_all(changes)
    }

    /// Whether the dataset folder is still there. While it goes, its files seem to be removed one by one.
    fn is_same_root(&self) -> bool {
        let is_same = look::identity(&self.options.root).is_ok_and(|identity| identity == self.identity);
        if !is_same {
            self.board.leave(|hints| hints.tree = true);
        }
        is_same
    }

    fn tell_all(&self, changes: Vec<Change>) -> Result<(), Ended> {
        changes.into_iter().try_for_each(|change| self.tell(change))
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
                return self.go_away("another folder is in its place, with none of the dataset's content".into());
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
        let mut changes = vec![];
        let gone: Vec<_> =
            self.tracker.folders().filter(|folder| !folders.contains_key(*folder)).map(str::to_owned).collect();
        for folder in &gone {
            self.tracker.folder_goes(folder, &mut changes);
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
                changes.push(Change::FolderAppeared(folder.clone()));
            }
            self.listen_to(folder)?;
        }
        self.tell_all(changes)?;
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
        let mut changes = vec![];
        match scan_folder(&self.options.root, folder, &self.options.rules) {
            Ok(_) if !self.is_same_root() => {}
            Ok(files) => self.tracker.folder_holds(folder, files, Instant::now(), &mut changes),
            // If it is gone, the list of folders shows it. Other errors may be temporary, so the known state stays.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.board.leave(|hints| hints.tree = true),
            Err(_) => {}
        }
        self.tell_all(changes)
    }
}
