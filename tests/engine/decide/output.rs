//! An output folder that cannot be written to, or does not respond.

use reeldeck::internals::engine::{Effect, Event, Notice, Status, VideoId, WorkerId};
use reeldeck::internals::protocol::snapshot::Folder;
use reeldeck_common::error::ErrorKind;

use super::{report, seen};

#[test]
fn during_a_hold_the_output_folder_is_checked_and_nothing_is_assigned() {
    let mut run = super::run(3, 1, 1, |_| {});
    let effects = run.fail(0, ErrorKind::DiskFull);
    assert!(effects.iter().any(|e| matches!(e, Effect::Notify(Notice::Held(..)))), "{effects:?}");
    for _ in 0..3 {
        assert_eq!(run.wait(10_000).iter().filter(|e| **e == Effect::LookAtOutput).count(), 1, "one check at a time");
        assert!(run.assignments(0).is_empty());
        run.event(Event::StillHeld(Folder::Output, "full".into()));
    }
    run.event(Event::OutputBack(vec![]));
    assert_eq!((run.assignments(0), run.attempts(0)), (vec![0], 0), "the same video, which was not charged");
    run.done(0);
    run.fail(0, ErrorKind::Output);
    run.event(Event::OutputBack(vec![VideoId(0)]));
    run.done(0);
    run.done(0);
    assert_eq!(run.assignments(0), [0], "its feature was lost with the folder, so it is extracted again");
}

#[test]
fn an_unwritable_feature_does_not_hold_the_run_for_ever() {
    let mut run = super::run(2, 1, 1, |_| {});
    for _ in 0..4 {
        assert_eq!(run.assignments(0), [0]);
        run.fail(0, ErrorKind::Output);
        run.event(Event::OutputBack(vec![]));
    }
    run.fail(0, ErrorKind::Output);
    assert!(matches!(run.state.videos[VideoId(0)].status, Status::Failed { .. }));
    assert_eq!(run.assignments(0), [1]);
}

#[test]
fn a_worker_is_not_timed_before_it_has_received_its_order() {
    let mut run = super::run(3, 1, 2, |_| {});
    run.disk_hangs = true;
    run.done(0);
    run.done(0);
    assert_eq!(run.assignments(0), [2]);
    let effects = run.wait(3_600_000);
    assert!(!effects.contains(&Effect::Kill(WorkerId(0))), "it has nothing to do");
    run.disk_hangs = false;
    run.release();
    assert!(!run.wait(60_000).contains(&Effect::Kill(WorkerId(0))));
    assert!(run.wait(1_000).contains(&Effect::Kill(WorkerId(0))), "after the release it is in progress");
    run.gone(0, "killed");
    assert_eq!(run.attempts(2), 1);

    // The time limit of a video starts at its release, too.
    let mut run = super::run(2, 1, 2, |_| {});
    run.disk_hangs = true;
    run.done(0);
    run.event(seen(7, 0, Status::Queued));
    run.done(0);
    run.wait(3_600_000);
    run.disk_hangs = false;
    run.release();
    let job = run.job(0);
    for _ in 0..11 {
        assert!(!run.wait(50_000).contains(&Effect::Kill(WorkerId(0))));
        run.progress(0, job, 1);
    }
    assert!(run.wait(51_000).contains(&Effect::Kill(WorkerId(0))));
}

#[test]
fn a_run_is_held_while_the_output_disk_hangs_and_resumes_by_itself() {
    let mut run = super::run(6, 1, 2, |_| {});
    run.disk_hangs = true;
    run.done(0);
    let held = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Notify(Notice::Held(..))));
    assert!(!held(&run.wait(10_000)));
    assert!(held(&run.wait(250)));
    assert!(!run.wait(3_600_000).iter().any(|e| held(std::slice::from_ref(e)) || *e == Effect::LookAtOutput), "once");
    run.done(0);
    assert_eq!(run.assignments(0).len(), 1, "nothing is assigned meanwhile");
    // The worker exits; none of its videos is charged, because it never received them.
    run.gone(0, "killed");
    run.ready(0);
    assert!(run.assignments(0).is_empty() && run.state.hold.is_some());
    run.disk_hangs = false;
    run.release();
    assert_eq!(run.state.hold, None);
    run.wait(250);
    assert_eq!(run.assignments(0).len(), 2);
    assert!(run.state.videos.iter().all(|video| video.attempts == 0 && !video.suspect));
}

#[test]
fn a_late_release_has_no_effect() {
    let mut run = super::run(1, 1, 1, |_| {});
    run.disk_hangs = true;
    run.done(0);
    run.event(Event::Redo(vec![VideoId(0)]));
    run.gone(0, "left");
    run.ready(0);
    let (late, job) = (run.state.process(WorkerId(0)), run.job(0));
    run.gone(0, "killed");
    run.ready(0);
    run.event(Event::Released(late, job));
    assert!(run.state.workers[WorkerId(0)].in_flight[0].released.is_none());
    assert_eq!(run.event(Event::Done(run.state.process(WorkerId(0)), job, report())), []);
    run.disk_hangs = false;
    run.release();
    run.done(0);
    assert_eq!(run.state.counts().done, 1);
}

/// A worker reports nothing: it may wait for a disk.
#[test]
fn a_silent_worker_is_killed_only_while_the_disks_respond() {
    for folder in [Folder::Output, Folder::Dataset] {
        let mut run = super::run(1, 1, 1, |_| {});
        run.disk_hangs = true;
        let looks = |effects: &[Effect]| {
            let output = effects.iter().filter(|e| **e == Effect::LookAtOutput).count();
            (output, effects.iter().filter(|e| matches!(e, Effect::LookAtDataset(_))).count())
        };
        assert_eq!(looks(&run.wait(30_000)), (0, 0));
        assert_eq!(looks(&run.wait(250)), (1, 1), "after half of the stall timeout");
        run.event(if folder == Folder::Output { Event::DatasetBack } else { Event::OutputBack(vec![]) });
        let effects = run.wait(3_600_000);
        let held = |e: &&Effect| matches!(e, Effect::Notify(Notice::Held(which, _)) if *which == folder);
        assert_eq!(effects.iter().filter(held).count(), 1, "held once");
        assert!(!effects.contains(&Effect::Kill(WorkerId(0))) && looks(&effects) == (0, 0));
        // The disk responds. The worker has its full time again.
        run.disk_hangs = false;
        run.event(if folder == Folder::Output { Event::OutputBack(vec![]) } else { Event::DatasetBack });
        assert_eq!(run.state.hold, None);
        assert!(!run.wait(60_000).contains(&Effect::Kill(WorkerId(0))));
        assert!(run.wait(250).contains(&Effect::Kill(WorkerId(0))), "the worker itself hangs");
        run.gone(0, "killed");
        assert_eq!(run.attempts(0), 1);
    }
}

#[test]
fn a_silent_worker_whose_disk_fails_leads_to_a_hold() {
    for folder in [Folder::Output, Folder::Dataset] {
        let mut run = super::run(1, 1, 1, |_| {});
        run.disk_hangs = true;
        run.wait(35_000);
        run.event(Event::StillHeld(folder, "the disk is gone".into()));
        assert_eq!(run.state.hold.as_ref().map(|hold| hold.folder), Some(folder));
        assert_eq!(run.attempts(0), 0);
    }
}
