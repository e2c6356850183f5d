//! What the watch examines next: hints of the operating system and of users, and the request to end. Memory is bounded.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use notify::event::{AccessKind, AccessMode, EventKind};

/// From this number of folders on, everything is examined.
const MAX_HINTS: usize = 10_000;

/// What to examine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// Everything.
    pub all: bool,
    /// The list of folders.
    pub tree: bool,
    /// These folders, by path relative to the dataset folder.
    pub folders: BTreeSet<String>,
    /// The watch ends.
    pub stop: bool,
}

impl Hints {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Collects hints and waits for them.
#[derive(Debug, Default)]
pub(super) struct HintQueue {
    /// The depth of the deepest folders that may contain videos; 0 is the dataset folder itself.
    deepest: usize,
    hints: Mutex<Hints>,
    changed: Condvar,
}

impl HintQueue {
    pub(super) fn new(deepest: usize) -> Self {
        Self { deepest, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Hints> {
        // A panic cannot leave hints in an invalid state.
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leave(&self, change: impl FnOnce(&mut Hints)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Waits for hints until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) {
        let timeout = deadline.saturating_duration_since(Instant::now());
        // An early wake-up costs one examination.
        drop(self.changed.wait_timeout_while(self.lock(), timeout, |hints| hints.is_empty()));
    }

    /// Waits until `deadline` for more hints, unless the watch ends.
    pub(super) fn gather(&self, deadline: Instant) {
        let timeout = deadline.saturating_duration_since(Instant::now());
        drop(self.changed.wait_timeout_while(self.lock(), timeout, |hints| !hints.stop));
    }

    /// Takes all hints. The request to end stays.
    pub(super) fn take(&self) -> Hints {
        let mut hints = self.lock();
        let stop = hints.stop;
        std::mem::replace(&mut *hints, Hints { stop, ..Hints::default() })
    }

    /// Converts an event of the operating system about the folder `root`.
    pub(super) fn event(&self, root: &Path, event: notify::Result<notify::Event>) {
        let Ok(event) = event else { return self.leave(|hints| hints.all = true) };
        if event.need_rescan() {
            return self.leave(|hints| hints.all = true);
        }
        match event.kind {
            // Reading a video is not a change.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
            EventKind::Access(_) => return,
            _ => {}
        }
        for path in &event.paths {
            let Ok(relative) = path.strip_prefix(root) else { continue };
            let depth = relative.components().count();
            // Of class folders, the list is short. For deeper layouts only a folder that exists can be a new one; that a known
            // one is gone is noticed when it is examined.
            let may_be_folder = depth <= self.deepest && (self.deepest == 1 || path.is_dir());
            self.leave(|hints| {
                hints.tree |= depth == 0 || may_be_folder;
                for folder in relative.parent().into_iter().chain([relative]).filter_map(Path::to_str) {
                    match hints.folders.len() < MAX_HINTS {
                        true => drop(hints.folders.insert(folder.into())),
                        false => hints.all = true,
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, ModifyKind};

    use super::*;

    fn after(event: notify::Event) -> Hints {
        let board = HintQueue::new(1);
        board.event(Path::new("/d"), Ok(event));
        board.take()
    }

    fn folders(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn events_name_the_folder_to_examine() {
        let created = |path: &str| notify::Event::new(EventKind::Create(CreateKind::Any)).add_path(path.into());
        assert_eq!(after(created("/d/A/v.mp4")), Hints { folders: folders(&["A", "A/v.mp4"]), ..Hints::default() });
        assert_eq!(after(created("/d/A")), Hints { tree: true, folders: folders(&["", "A"]), ..Hints::default() });
        assert_eq!(after(created("/d/a/b/v.mp4")).folders, folders(&["a/b", "a/b/v.mp4"]));
        assert_eq!(after(created("/d")), Hints { tree: true, folders: folders(&[""]), ..Hints::default() });
        assert_eq!(after(created("/elsewhere")), Hints::default());
        let written = notify::Event::new(EventKind::Modify(ModifyKind::Data(DataChange::Any)));
        assert_eq!(after(written.add_path("/d/A/v.mp4".into())).folders, folders(&["A", "A/v.mp4"]));
        let read = notify::Event::new(EventKind::Access(AccessKind::Open(AccessMode::Any)));
        assert_eq!(after(read.add_path("/d/A/v.mp4".into())), Hints::default());
        let closed = notify::Event::new(EventKind::Access(AccessKind::Close(AccessMode::Write)));
        assert_eq!(after(closed.add_path("/d/A/v.mp4".into())).folders, folders(&["A", "A/v.mp4"]));
        let lost = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(after(lost).all);
    }

    #[test]
    fn hints_are_bounded_and_the_request_to_end_stays() {
        let board = HintQueue::default();
        for class in 0..2 * MAX_HINTS {
            let event = notify::Event::new(EventKind::Create(CreateKind::Any)).add_path(format!("/d/{class}/v").into());
            board.event(Path::new("/d"), Ok(event));
        }
        let hints = board.take();
        assert!(hints.all && hints.folders.len() == MAX_HINTS);
        board.leave(|hints| hints.stop = true);
        assert!(board.take().stop && board.take().stop && board.is_stopped());
        board.event(Path::new("/d"), Err(notify::Error::generic("lost")));
        assert!(board.take().all);
    }
}
