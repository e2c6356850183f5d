//! Which video a worker gets, and when.

use reeldeck::internals::engine::{Effect, Event, Status, VideoId, WorkerId, WorkerStatus};
use reeldeck_common::error::ErrorKind;

use super::{Run, seen};

#[test]
fn videos_are_assigned_in_turns_and_the_last_ones_go_to_free_workers() {
    let mut run = super::run(12, 2, 3, |_| {});
    run.event(Event::Pause);
    run.done(0);
    run.done(0);
    run.done(1);
    run.event(Event::Resume);
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![2, 6, 8], vec![4, 5, 7]), "in turns");
    // Two of three places are for parallel decoding, the third is for decoding ahead.
    let mut run = super::run(7, 2, 3, |work| work.order = [6, 0, 1, 2, 3, 4, 5].map(VideoId).into());
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![6, 0, 1], vec![2, 3, 4]), "in the requested order");
    run.done(1);
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![6, 0, 1], vec![3, 4]));
    run.done(1);
    assert_eq!(
        (run.assignments(0), run.assignments(1)),
        (vec![6, 0, 1], vec![4, 5]),
        "the worker that is free first gets the last video"
    );
}

#[test]
fn the_last_videos_wait_for_workers_that_load_the_model() {
    let mut run = super::loading(2, 2, 2);
    run.ready(0);
    assert_eq!(run.assignments(0), [0], "the other worker gets the second one");
    run.ready(1);
    assert_eq!(run.assignments(1), [1]);
    let mut run = super::loading(3, 2, 2);
    run.ready(0);
    assert_eq!(run.assignments(0), [0, 1]);
}

#[test]
fn suspects_run_alone_in_their_worker_after_all_other_videos() {
    let mut run = super::run(6, 2, 2, |work| work.videos[VideoId(3)].suspect = true);
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![0, 1], vec![2, 4]));
    run.done(1);
    run.done(0);
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![1], vec![4]));
    run.done(0);
    assert_eq!(run.assignments(0), [5], "all other videos come first");
    run.done(0);
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![3], vec![4]));
    run.event(seen(7, 0, Status::Queued));
    run.event(seen(8, 0, Status::Queued));
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![3], vec![4, 6]), "no other video joins it");
    run.done(1);
    run.done(1);
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![3], vec![7]));
    run.done(0);
    assert_eq!(run.state.workers[WorkerId(0)].status, WorkerStatus::Ready, "another video may fail and come back");
    run.done(1);
    assert!(run.state.workers.iter().all(|w| w.status == WorkerStatus::Leaving));
}

#[test]
fn a_retry_delay_does_not_delay_other_videos() {
    let mut run = super::run(3, 1, 1, |_| {});
    run.fail(0, ErrorKind::Io);
    assert_eq!(run.assignments(0), [1]);
    run.done(0);
    assert_eq!(run.assignments(0), [2]);
    run.done(0);
    assert!(run.assignments(0).is_empty() && run.state.workers[WorkerId(0)].status == WorkerStatus::Ready);
    run.wait(1_750);
    assert!(run.assignments(0).is_empty());
    run.wait(250);
    assert_eq!(run.assignments(0), [0]);
}

#[test]
fn a_retry_delay_is_not_skipped_when_a_video_was_queued_twice() {
    let mut run = super::run(3, 2, 1, |_| {});
    run.event(Event::Exclude(vec![VideoId(2)], false));
    run.event(Event::Exclude(vec![VideoId(2)], true));
    run.done(0);
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![2], vec![1]));
    run.fail(0, ErrorKind::Io);
    assert!(run.assignments(0).is_empty(), "{:?}", run.assignments(0));
    run.event(Event::Exclude(vec![VideoId(2)], false));
    run.event(Event::Exclude(vec![VideoId(2)], true));
    run.wait(1_750);
    assert!(run.assignments(0).is_empty());
    run.wait(250);
    assert_eq!(run.assignments(0), [2]);
}

#[test]
fn a_video_that_is_begun_has_changed_and_so_has_one_that_waits_again() {
    let mut run = super::run(4, 1, 3, |_| {});
    assert_eq!(run.assignments(0), [0, 1, 2]);
    run.state.take_changed();
    run.done(0);
    assert!(run.state.take_changed().contains(&VideoId(1)), "its worker begins it");
    let second = run.state.workers[WorkerId(0)].in_flight[1].job;
    run.progress(0, second, 1);
    let (order, changed) = (run.assignments(0), run.state.take_changed());
    assert_eq!((order[0], order[1]), (2, 1), "it was ready sooner");
    assert!(changed.contains(&VideoId(1)) && changed.contains(&VideoId(2)), "{changed:?}");
}

/// A way in which a video returns to the queue, by name.
type Return = (&'static str, fn(&mut Run));

#[test]
fn a_suspect_runs_alone_however_it_returns_to_the_queue() {
    let returns: [Return; 5] = [
        ("excluded and included again", |run| {
            run.event(Event::Exclude(vec![VideoId(0)], false));
            run.fail(0, ErrorKind::Interrupted);
            run.event(Event::Exclude(vec![VideoId(0)], true));
            run.done(0);
        }),
        ("retried after a delay", |run| {
            run.fail(0, ErrorKind::Io);
            run.done(0);
            run.event(seen(2, 0, Status::Queued));
            run.wait(2_000);
            run.done(0);
        }),
        ("device fault", |run| {
            run.fail(0, ErrorKind::Device);
            run.gone(0, "killed");
            run.ready(0);
        }),
        ("full disk", |run| {
            run.fail(0, ErrorKind::DiskFull);
            run.event(Event::OutputBack(vec![]));
        }),
        ("interrupted", |run| drop(run.fail(0, ErrorKind::Interrupted))),
    ];
    for (how, comes_back) in returns {
        let mut run = super::run(2, 1, 2, |_| {});
        assert_eq!(run.assignments(0), [0, 1]);
        run.gone(0, "killed");
        run.ready(0);
        assert_eq!(run.assignments(0), [0], "{how}");
        comes_back(&mut run);
        assert!(run.state.videos[VideoId(0)].suspect && run.assignments(0) == [0], "{how}: {:?}", run.assignments(0));
        run.event(seen(7, 0, Status::Queued));
        assert_eq!(run.assignments(0), [0], "{how}");
        run.done(0);
        assert!(!run.state.videos[VideoId(0)].suspect, "{how}");
    }
}

/// Where videos have different numbers of clips, the remaining time follows from the sizes of their files.
#[test]
fn the_bytes_that_are_left_follow_each_video() {
    let mut run = super::run(3, 1, 1, |_| {});
    let bytes = |run: &Run| run.state.bytes_left();
    assert_eq!(bytes(&run), 3000);
    run.progress(0, run.job(0), 1);
    assert_eq!(bytes(&run), 2750, "a quarter of its clips");
    run.done(0);
    assert_eq!(bytes(&run), 2000);
    run.fail(0, ErrorKind::Corrupt);
    assert_eq!(bytes(&run), 1000, "a failed video is not computed");
    run.event(Event::Retry(vec![VideoId(1)]));
    assert_eq!(bytes(&run), 2000);
}

#[test]
fn a_worker_that_loads_its_model_is_ended_at_once_when_the_run_is_stopped() {
    let mut run = super::run(4, 2, 1, |_| {});
    run.state.workers[WorkerId(1)].status = WorkerStatus::Starting;
    run.state.workers[WorkerId(1)].in_flight.clear();
    let effects = run.event(Event::Interrupt);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Kill(WorkerId(1)))), "it may hang: {effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Kill(WorkerId(0)))), "it finishes its video");
    assert_eq!(run.state.workers[WorkerId(1)].status, WorkerStatus::Leaving);
}
