//! An engine that only looks.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use reeldeck_claims::{BEAT, Change, Claimer, Item, Load, Settled, Turn, Video};

use super::folder::{Disk, Operations, View};

const VIDEOS: usize = 60;

/// Takes over what others have settled, and checks that nothing was written.
fn look(looker: &mut Claimer, disk: &RefCell<Disk>, now: u64, known: &mut BTreeSet<Video>) {
    let written = |disk: &RefCell<Disk>| {
        let Operations { creates, renames, writes, beats, .. } = disk.borrow().operations;
        (creates, renames, writes, beats)
    };
    let before = written(disk);
    let mut view = View { disk, engine: 1, id: "looker".into(), now };
    looker.follow(&mut view, now).unwrap();
    let (changes, result) = looker.step(&mut view, now, Load { want: 0, free: 0, patience: u64::MAX });
    result.unwrap();
    for change in changes {
        let Change::Settled(video, settled) = change else { panic!("{change:?}") };
        let expected = if video % 7 == 3 { Settled::Other("failed".into()) } else { Settled::Done };
        assert_eq!(settled, expected);
        assert!(known.insert(video), "once each");
    }
    assert_eq!(written(disk), before);
}

#[test]
fn an_engine_that_only_looks_learns_everything_and_writes_nothing() {
    let disk = RefCell::new(Disk::new(1, 0, VIDEOS));
    let (mut worker, mut looker) = (Claimer::new("worker"), Claimer::new("looker"));
    for _ in 0..VIDEOS {
        let hash = disk.borrow_mut().random.next();
        for claimer in [&mut worker, &mut looker] {
            claimer.add(Item { hash, cost: 1, settled: None });
        }
    }
    let view = |now| View { disk: &disk, engine: 0, id: "worker".into(), now };
    let (mut now, mut queue, mut known, mut seen) = (0, VecDeque::new(), BTreeSet::new(), vec![]);
    look(&mut looker, &disk, now, &mut known);
    worker.join(&mut view(now), now).unwrap();
    while worker.unsettled() > 0 {
        now += BEAT;
        let (changes, result) = worker.step(&mut view(now), now, Load { want: 8, free: 4, patience: u64::MAX });
        result.unwrap();
        for change in changes {
            if let Change::Granted { videos, .. } = change {
                queue.extend(videos);
            }
        }
        for video in queue.drain(..queue.len().min(4)).collect::<Vec<Video>>() {
            let settled = if video % 7 == 3 { Settled::Other("failed".into()) } else { Settled::Done };
            worker.begin(video);
            disk.borrow_mut().put_result(video, 0, now, settled.clone());
            worker.settle(video, settled);
        }
        look(&mut looker, &disk, now, &mut known);
        seen.push(known.len());
    }
    assert!(seen.iter().any(|seen| (1..VIDEOS).contains(seen)), "it learns during the run: {seen:?}");
    assert_eq!(looker.engines().collect::<Vec<_>>(), ["worker"]);
    assert_eq!(worker.turn(&mut view(now), now, true).unwrap(), Turn::Mine);
    worker.turn_over(&mut view(now), Some(true)).unwrap();
    // It removes all records.
    worker.leave(&mut view(now), now).unwrap();
    look(&mut looker, &disk, now, &mut known);
    assert_eq!((known.len(), looker.unsettled()), (VIDEOS, 0));
    let before = disk.borrow().operations.all();
    look(&mut looker, &disk, now, &mut known);
    assert_eq!(disk.borrow().operations.all(), before + 1, "without engines, one listing");
    // A run between two looks leaves only its results.
    let mut late = Claimer::new("late");
    for _ in 0..VIDEOS {
        late.add(Item { hash: disk.borrow_mut().random.next(), cost: 1, settled: None });
    }
    let mut known = BTreeSet::new();
    look(&mut late, &disk, now, &mut known);
    assert!(known.is_empty());
    late.expect_results();
    look(&mut late, &disk, now, &mut known);
    assert_eq!(known.len(), VIDEOS);
    // An engine that was killed leaves its files.
    let mut killed = Claimer::new("killed");
    let mut late = Claimer::new("late");
    for _ in 0..VIDEOS {
        let hash = disk.borrow_mut().random.next();
        for claimer in [&mut killed, &mut late] {
            claimer.add(Item { hash, cost: 1, settled: None });
        }
    }
    killed.join(&mut view(now), now).unwrap();
    let mut known = BTreeSet::new();
    look(&mut late, &disk, now, &mut known);
    assert!(known.is_empty(), "no record shows the results");
    late.expect_results();
    look(&mut late, &disk, now, &mut known);
    assert_eq!((known.len(), late.engines().collect::<Vec<_>>()), (VIDEOS, vec!["killed"]));
}
