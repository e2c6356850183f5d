//! Videos that wait for a decode thread.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reeldeck_common::limits::Limits;
use reeldeck_video::peek::{CostClass, peek};

use crate::decode::{Decoded, Pulse};
use crate::split::{By, Costs};

/// A video that others were preferred to so often is the next one.
const MOST_PASSED: usize = 16;

/// A video to decode.
pub struct Task {
    /// The file.
    pub path: PathBuf,
    /// Where its frames go.
    pub sender: SyncSender<Decoded>,
    /// How far it is.
    pub pulse: Arc<Pulse>,
}

/// The board, and the way to hang something on it; when that is dropped, nothing more will come.
pub struct Hanger(Arc<Board>);

/// Where threads take videos from.
pub struct Board {
    /// Cores and NVDEC take from it, and each should have what it is good at.
    shared: bool,
    limits: Limits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// How many have come.
    count: u64,
    closed: bool,
    costs: Costs,
}

struct Waiting {
    number: u64,
    task: Task,
    glance: Glance,
    passed: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Glance {
    NotYet,
    /// A thread is at it, or there is nothing to be seen.
    Nothing,
    Kind(CostClass),
}

impl Glance {
    fn kind(self) -> Option<CostClass> {
        if let Self::Kind(kind) = self { Some(kind) } else { None }
    }
}

impl Hanger {
    /// An empty board.
    pub fn new(shared: bool, limits: Limits) -> (Self, Arc<Board>) {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let board = Arc::new(Board { shared, limits, state, changed });
        (Self(Arc::clone(&board)), board)
    }

    /// Hangs up a video.
    pub fn push(&self, task: Task) {
        let mut state = self.0.lock();
        let glance = if self.0.shared { Glance::NotYet } else { Glance::Nothing };
        state.count += 1;
        let number = state.count;
        state.waiting.push_back(Waiting { number, task, glance, passed: 0 });
        self.0.changed.notify_one();
    }
}

impl Drop for Hanger {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next video for who decodes so, and of what kind it is where that matters. Waits; `None` when all are taken and no
    /// more will come.
    pub fn take(&self, by: By) -> Option<(Task, Option<CostClass>)> {
        let mut state = self.lock();
        loop {
            if let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.glance == Glance::NotYet) {
                waiting.glance = Glance::Nothing;
                let (number, path) = (waiting.number, waiting.task.path.clone());
                // A slow disk must not hold the others up.
                drop(state);
                let kind = peek(&path, &self.limits);
                state = self.lock();
                let same = state.waiting.iter_mut().find(|waiting| waiting.number == number);
                if let (Some(waiting), Some(kind)) = (same, kind) {
                    waiting.glance = Glance::Kind(kind);
                }
                continue;
            }
            let place = match state.waiting.front() {
                Some(first) if self.shared && first.passed < MOST_PASSED => {
                    state.costs.choose(by, state.waiting.iter().map(|waiting| waiting.glance.kind()))
                }
                _ => 0,
            };
            if let Some(Waiting { task, glance, .. }) = state.waiting.remove(place) {
                state.waiting.iter_mut().take(place).for_each(|waiting| waiting.passed += 1);
                return Some((task, glance.kind()));
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What a video has cost.
    pub fn note(&self, by: By, kind: CostClass, frames: u64, busy: Duration) {
        self.lock().costs.note(by, kind, frames, busy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_video::synth::{self, Synth};
    use std::path::Path;
    use std::sync::mpsc;

    fn task(path: &Path) -> Task {
        Task { path: path.to_owned(), sender: mpsc::sync_channel(1).0, pulse: Arc::default() }
    }

    fn names(board: &Board, by: By, count: usize) -> Vec<String> {
        let name = |(task, _): (Task, _)| task.path.file_name().unwrap().to_str().unwrap().to_owned();
        (0..count).filter_map(|_| board.take(by).map(name)).collect()
    }

    #[test]
    fn in_order_where_all_decode_alike_and_threads_end_when_nothing_more_comes() {
        let (hanger, board) = Hanger::new(false, Limits::default());
        ["a", "b", "c"].iter().for_each(|name| hanger.push(task(Path::new(name))));
        assert_eq!(names(&board, By::Core, 2), ["a", "b"]);
        let waits = {
            let board = Arc::clone(&board);
            std::thread::spawn(move || names(&board, By::Core, 10))
        };
        hanger.push(task(Path::new("d")));
        drop(hanger);
        assert_eq!(waits.join().unwrap(), ["c", "d"]);
    }

    #[test]
    fn shared_each_takes_what_it_is_good_at_and_nothing_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let video = |name: &str, width, height| {
            let path = folder.path().join(name);
            synth::write(&path, &Synth { width, height, frames: 2, ..Synth::default() }).unwrap();
            path
        };
        let (small, large) = (video("small.mp4", 96, 80), video("large.mp4", 640, 360));
        let (hanger, board) = Hanger::new(true, Limits::default());
        let none = folder.path().join("none.mp4");
        [&large, &small, &none].iter().for_each(|path| hanger.push(task(path)));
        // Nothing is known yet.
        let (_, kind) = board.take(By::Core).unwrap();
        let large_kind = kind.unwrap();
        let (_, kind) = board.take(By::Core).unwrap();
        let small_kind = kind.unwrap();
        assert!(board.take(By::Core).unwrap().1.is_none());
        for (kind, core, nvdec) in [(large_kind, 9, 1), (small_kind, 1, 1)] {
            board.note(By::Core, kind, 10, Duration::from_secs(core));
            board.note(By::Nvdec, kind, 10, Duration::from_secs(nvdec));
        }
        for _ in 0..3 {
            [&large, &small].iter().for_each(|path| hanger.push(task(path)));
        }
        assert_eq!(names(&board, By::Core, 2), ["small.mp4", "small.mp4"]);
        assert_eq!(names(&board, By::Nvdec, 2), ["large.mp4", "large.mp4"]);
        // A large one is left, then a small one. The first is passed over so often and no more.
        for _ in 0..MOST_PASSED * 2 {
            hanger.push(task(&small));
        }
        let taken = names(&board, By::Core, MOST_PASSED + 1);
        assert_eq!(taken.iter().position(|name| name == "large.mp4"), Some(MOST_PASSED), "{taken:?}");
    }
}
