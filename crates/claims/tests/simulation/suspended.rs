//! An engine that continues after the others have done everything and have left.

use std::cell::RefCell;
use std::collections::VecDeque;

use reeldeck_claims::{BEAT, Change, Claimer, Item, LEASE, Load, SILENT, Settled, Turn, Video};

use super::folder::{Disk, View};

const VIDEOS: usize = 60;

const LOAD: Load = Load { want: 8, free: 4, patience: u64::MAX };

/// Two engines with the same videos.
fn two(disk: &RefCell<Disk>) -> [Claimer; 2] {
    let mut claimers = ["first", "second"].map(Claimer::new);
    for _ in 0..VIDEOS {
        let hash = disk.borrow_mut().random.next();
        claimers.iter_mut().for_each(|claimer| claimer.add(Item { hash, cost: 1, settled: None }));
    }
    claimers
}

/// The videos that a step grants.
fn granted(claimer: &mut Claimer, view: &mut View<'_>, now: u64) -> Vec<Video> {
    let (changes, result) = claimer.step(view, now, LOAD);
    result.unwrap();
    let granted = changes.into_iter().filter_map(|change| match change {
        Change::Granted { videos, .. } => Some(videos),
        _ => None,
    });
    granted.flatten().collect()
}

/// `steps`: whether the first engine tries steps meanwhile, all of which fail because it does not see its disk.
fn all_done_meanwhile(steps: bool) {
    let disk = RefCell::new(Disk::new(2, 0, VIDEOS));
    let [mut first, mut second] = two(&disk);
    let view = |engine: usize, now| View { disk: &disk, engine, id: ["first", "second"][engine].into(), now };
    first.join(&mut view(0, 0), 0).unwrap();
    let held = granted(&mut first, &mut view(0, 0), 0);
    assert!(!held.is_empty());
    // The second engine starts while the first one is suspended.
    let mut now = BEAT;
    second.join(&mut view(1, now), now).unwrap();
    let mut queue = VecDeque::new();
    while second.unsettled() > 0 {
        now += BEAT;
        assert!(now < 100 * LEASE, "it takes over the claims of the first");
        if steps {
            disk.borrow_mut().fails = true;
            assert!(first.step(&mut view(0, now), now, LOAD).1.is_err());
            disk.borrow_mut().fails = false;
        }
        queue.extend(granted(&mut second, &mut view(1, now), now));
        for video in queue.drain(..) {
            second.begin(video);
            disk.borrow_mut().put_result(video, 1, now, Settled::Done);
            second.settle(video, Settled::Done);
        }
    }
    assert_eq!(second.turn(&mut view(1, now), now, true).unwrap(), Turn::Mine);
    second.turn_over(&mut view(1, now), Some(true)).unwrap();
    second.leave(&mut view(1, now), now).unwrap();
    for _ in 0..10 {
        now += BEAT;
        let again = granted(&mut first, &mut view(0, now), now);
        assert!(again.is_empty(), "extracted again: {again:?}");
    }
    assert_eq!(first.unsettled(), 0);
}

#[test]
fn a_suspended_engine_extracts_nothing_that_was_done_meanwhile() {
    all_done_meanwhile(false);
}

#[test]
fn an_engine_whose_disk_was_away_extracts_nothing_that_was_done_meanwhile() {
    all_done_meanwhile(true);
}

#[test]
fn an_engine_claims_nothing_that_one_has_done_which_it_does_not_know_yet() {
    let disk = RefCell::new(Disk::new(3, 0, VIDEOS));
    let [mut first, mut second] = two(&disk);
    let view = |engine: usize, now| View { disk: &disk, engine, id: ["first", "second"][engine].into(), now };
    first.join(&mut view(0, 0), 0).unwrap();
    let mut all = granted(&mut first, &mut view(0, 0), 0);
    // The second engine joins and finishes some buckets before the first one lists the folder again.
    second.join(&mut view(1, 1_000), 1_000).unwrap();
    let done = granted(&mut second, &mut view(1, 1_000), 1_000);
    assert!(!all.is_empty() && !done.is_empty());
    for video in done.iter().copied() {
        second.begin(video);
        disk.borrow_mut().put_result(video, 1, 1_000, Settled::Done);
        second.settle(video, Settled::Done);
    }
    second.step(&mut view(1, 1_500), 1_500, Load { want: 0, ..LOAD }).1.unwrap();
    let (changes, result) = first.step(&mut view(0, 2_000), 2_000, Load { want: VIDEOS, ..LOAD });
    result.unwrap();
    for change in changes {
        if let Change::Granted { videos, .. } = change {
            all.extend(videos);
        }
    }
    let twice: Vec<_> = all.iter().filter(|video| done.contains(video)).collect();
    assert!(twice.is_empty(), "extracted twice: {twice:?}");
}

#[test]
fn an_idle_engine_names_the_one_whose_videos_it_waits_for() {
    let disk = RefCell::new(Disk::new(2, 0, VIDEOS));
    let [mut first, mut second] = two(&disk);
    let view = |engine: usize, now| View { disk: &disk, engine, id: ["first", "second"][engine].into(), now };
    let all = Load { want: 2 * VIDEOS, free: 4, patience: u64::MAX };
    first.join(&mut view(0, 0), 0).unwrap();
    let mut now = 0;
    while first.waits_for_others() {
        now += BEAT;
        first.step(&mut view(0, now), now, all).1.unwrap();
    }
    // The first engine is killed.
    second.join(&mut view(1, now), now).unwrap();
    let (mut idle, mut silent) = (vec![], vec![]);
    while granted(&mut second, &mut view(1, now), now).is_empty() {
        idle.extend(second.is_idle().then_some(now));
        silent.extend(second.silent(now).map(|engine| (engine.to_owned(), now)));
        now += BEAT;
        assert!(now < 3 * LEASE, "it takes the claims over");
    }
    assert!(!second.is_idle() && second.silent(now).is_none(), "it has videos");
    let (engine, since) = &silent[0];
    assert!(engine == "first" && (SILENT..LEASE / 2).contains(&(since - idle[0])), "{idle:?} {silent:?}");
}
