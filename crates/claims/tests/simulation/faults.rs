//! One engine, and a folder in which one operation fails.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use reeldeck_claims::{Change, Claimer, Folder, Item, Load, Pulse, Settled, Video};

/// A folder in memory.
struct Faulty {
    files: BTreeMap<String, String>,
    results: BTreeSet<Video>,
    operations: usize,
    /// The operation that fails.
    fails: usize,
    /// The operation is done, and an error is reported nevertheless.
    is_done: bool,
}

impl Faulty {
    fn run<T>(&mut self, operation: impl FnOnce(&mut Self) -> T) -> io::Result<T> {
        self.operations += 1;
        let is_faulty = self.operations == self.fails;
        if is_faulty && !self.is_done {
            return Err(io::Error::other("it fails"));
        }
        let answer = operation(self);
        if is_faulty { Err(io::Error::other("it fails")) } else { Ok(answer) }
    }
}

impl Folder for Faulty {
    fn list(&mut self) -> io::Result<Vec<String>> {
        self.run(|folder| folder.files.keys().cloned().collect())
    }

    fn create(&mut self, name: &str, text: &str) -> io::Result<bool> {
        self.run(|folder| {
            let is_new = !folder.files.contains_key(name);
            folder.files.entry(name.into()).or_insert(text.into());
            is_new
        })
    }

    fn read(&mut self, name: &str) -> io::Result<Option<String>> {
        self.run(|folder| folder.files.get(name).cloned())
    }

    fn write(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.run(|folder| drop(folder.files.insert(name.into(), text.into())))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<bool> {
        self.run(|folder| {
            let moved = folder.files.remove(from).map(|text| folder.files.insert(to.into(), text));
            moved.is_some()
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.run(|folder| drop(folder.files.remove(name)))
    }

    fn beat(&mut self, _counter: u64) -> io::Result<bool> {
        self.run(|_| false)
    }

    fn pulse(&mut self, _engine: &str) -> io::Result<Pulse> {
        self.run(|_| Pulse::Gone)
    }

    fn bury(&mut self, _engine: &str) -> io::Result<()> {
        self.run(|_| ())
    }

    fn results(&mut self, videos: &[Video]) -> io::Result<Vec<(Video, Settled)>> {
        self.run(|folder| {
            let known = videos.iter().filter(|video| folder.results.contains(video));
            known.map(|video| (*video, Settled::Done)).collect()
        })
    }

    fn accepts(&self, _video: Video, _text: &str) -> bool {
        true
    }
}

/// The seconds until 60 videos are settled, 6 in each step, and the number of operations.
fn run(fails: usize, is_done: bool) -> (u64, usize) {
    let mut folder = Faulty { files: BTreeMap::new(), results: BTreeSet::new(), operations: 0, fails, is_done };
    let mut claimer = Claimer::new("engine");
    for video in 0..60_u64 {
        claimer.add(Item { hash: video.wrapping_mul(0x9e37_79b9_7f4a_7c15), cost: 1, settled: None });
    }
    let mut queue: Vec<Video> = vec![];
    let mut joined = false;
    for second in 0..1_000 {
        let now = second * 1_000;
        if !joined {
            joined = claimer.join(&mut folder, now).is_ok();
            continue;
        }
        let (changes, _) = claimer.step(&mut folder, now, Load { want: 12, free: 6, patience: u64::MAX });
        for change in changes {
            match change {
                Change::Granted { videos, .. } => queue.extend(videos),
                Change::Revoked(videos) => queue.retain(|video| !videos.contains(video)),
                Change::Settled(video, _) => queue.retain(|one| *one != video),
                Change::EngineDied(_) => {}
            }
        }
        for video in queue.drain(..queue.len().min(6)) {
            claimer.begin(video);
            assert!(folder.results.insert(video), "{video} twice, with fault {fails}");
            claimer.settle(video, Settled::Done);
        }
        if claimer.unsettled() == 0 {
            return (second, folder.operations);
        }
    }
    panic!("{} of 60 videos are left, with fault {fails} (done: {is_done})", claimer.unsettled());
}

#[test]
fn a_failed_operation_delays_a_run_by_seconds() {
    let (usual, operations) = run(usize::MAX, false);
    assert!(operations > 60);
    for fails in 1..=operations {
        for is_done in [false, true] {
            let (seconds, _) = run(fails, is_done);
            assert!(seconds <= usual + 30, "{seconds} s instead of {usual} s, with fault {fails} (done: {is_done})");
        }
    }
}
