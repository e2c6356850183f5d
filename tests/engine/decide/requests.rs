//! Pauses, exclusions, and files that change.

use reeldeck::internals::engine::{Effect, Event, Status, VideoId, WorkerId, WorkerStatus};
use reeldeck_common::error::ErrorKind;
use reeldeck_common::video::VideoName;

use super::{rested, seen, spawns};

#[test]
fn pausing_stops_the_clock_and_stopping_ends_the_pause() {
    let mut run = super::run(4, 1, 2, |_| {});
    run.wait(30_000);
    assert!(run.event(Event::Pause).contains(&Effect::Freeze(WorkerId(0))));
    let effects = run.wait(3_600_000);
    assert!(!effects.contains(&Effect::Kill(WorkerId(0))), "a paused worker does not count as hanging");
    assert!(run.event(Event::Resume).contains(&Effect::Thaw(WorkerId(0))));
    assert_eq!(run.state.paused_for, 3_600_000, "this time does not count as time of the run");
    assert!(!run.wait(29_000).contains(&Effect::Kill(WorkerId(0))));
    assert!(run.wait(5_000).contains(&Effect::Kill(WorkerId(0))), "a worker that stays silent after the pause does");

    let mut run = super::run(4, 1, 2, |_| {});
    run.event(Event::Pause);
    let effects = run.event(Event::Interrupt);
    assert!(effects.contains(&Effect::Thaw(WorkerId(0))), "videos in flight are finished: {effects:?}");
    run.done(0);
    run.done(0);
    assert_eq!(run.state.workers[WorkerId(0)].status, WorkerStatus::Leaving);
}

#[test]
fn suspended_time_does_not_count_against_workers() {
    let mut run = super::run(2, 1, 2, |_| {});
    run.wait(10_000);
    // The machine was suspended, or the engine was stopped.
    run.now += 7_200_000;
    assert!(!run.event(Event::Tick).contains(&Effect::Kill(WorkerId(0))));
    assert!(!run.wait(49_000).contains(&Effect::Kill(WorkerId(0))));
    assert!(run.wait(5_000).contains(&Effect::Kill(WorkerId(0))));
}

#[test]
fn a_waiting_engine_starts_by_itself_only_if_just_the_requested_videos_are_queued() {
    let mut run = rested(3);
    assert!(!spawns(&run.event(Event::StartRun)), "there is nothing to do");
    assert!(spawns(&run.event(Event::Redo(vec![VideoId(1)]))));
    let mut run = rested(3);
    assert!(!spawns(&run.event(seen(7, 0, Status::Queued))), "new videos wait");
    assert!(!spawns(&run.event(Event::Redo(vec![VideoId(1)]))));
    assert_eq!(run.state.counts().queued, 2);
    assert!(spawns(&run.event(Event::StartRun)));
    // Videos that a change has queued are requested like the others.
    let mut run = rested(3);
    run.event(seen(1, 9, Status::Queued));
    assert!(spawns(&run.event(Event::Redo(vec![VideoId(0), VideoId(1)]))));
    run.ready(0);
    assert_eq!(run.assignments(0), [0, 1]);
}

#[test]
fn results_of_one_run_are_those_of_an_earlier_run_for_the_next_one() {
    let mut run = rested(3);
    let counts = run.state.counts();
    assert_eq!((counts.done, counts.resumed), (3, 3));
    run.event(Event::Redo(vec![VideoId(1)]));
    run.ready(0);
    run.done(0);
    let counts = run.state.counts();
    assert_eq!((counts.done, counts.resumed), (3, 2), "one is of this run");
}

#[test]
fn a_request_for_queued_videos_starts_the_run_with_them_first() {
    let mut run = rested(5);
    for video in [1, 2, 4] {
        run.event(seen(video, 9, Status::Queued));
    }
    assert!(!spawns(&run.event(Event::Redo(vec![VideoId(0), VideoId(4)]))), "others are queued, too");
    assert!(spawns(&run.event(Event::Redo(vec![VideoId(4)]))));
    run.ready(0);
    assert_eq!((run.assignments(0)[0], run.state.counts().unfinished()), (4, 4));
    assert_eq!(run.state.counts(), run.state.recount());
    // During a run, the order stays.
    let mut run = super::run(5, 1, 1, |_| {});
    run.event(Event::Retry(vec![VideoId(4)]));
    run.done(0);
    assert_eq!(run.assignments(0), [1]);
}

#[test]
fn an_excluded_video_in_flight_is_finished_and_not_assigned_again() {
    let mut run = super::run(3, 1, 1, |_| {});
    run.event(Event::Exclude(vec![VideoId(0), VideoId(1)], false));
    assert_eq!(run.state.videos[VideoId(0)].status, Status::Running(WorkerId(0)));
    run.done(0);
    let counts = run.state.counts();
    assert_eq!((run.assignments(0), counts.excluded, counts.done), (vec![2], 2, 0));
    assert!(run.state.videos[VideoId(0)].feature);
    run.event(Event::Exclude(vec![VideoId(0), VideoId(1)], true));
    assert_eq!(run.state.videos[VideoId(0)].status, Status::Done { degraded: false, resumed: false });
    run.done(0);
    assert_eq!(run.assignments(0), [1]);
    // After two failures it stays excluded, and nothing waits for it.
    run.event(Event::Exclude(vec![VideoId(1)], false));
    run.fail(0, ErrorKind::Io);
    assert_eq!(run.state.counts().unfinished(), 0);
    assert_eq!((run.assignments(0).len(), &run.state.workers[WorkerId(0)].status), (0, &WorkerStatus::Leaving));
}

#[test]
fn a_file_that_changes_in_flight_is_checked_afterwards() {
    let mut run = super::run(2, 1, 1, |_| {});
    run.event(seen(0, 5, Status::Queued));
    assert_eq!(run.assignments(0), [0]);
    let looks = |effects: &[Effect]| effects.contains(&Effect::LookAt(VideoId(0)));
    assert!(looks(&run.done(0)));
    // The feature belongs to the previous version.
    run.event(seen(0, 5, Status::Stale));
    assert_eq!(run.state.videos[VideoId(0)].status, Status::Stale);
    // The same version again has no effect.
    run.event(seen(0, 5, Status::Queued));
    assert_eq!(run.state.videos[VideoId(0)].status, Status::Stale);
    // A video that disappears while it is in progress is marked as gone after a look at its file.
    let name = VideoName::new("A/v_1.mp4").unwrap();
    run.event(Event::Vanished(name.clone()));
    assert_eq!(run.assignments(0), [1]);
    assert!(run.fail(0, ErrorKind::Missing).contains(&Effect::LookAt(VideoId(1))));
    run.event(Event::Vanished(name));
    assert_eq!((&run.state.videos[VideoId(1)].status, run.state.counts().videos), (&Status::Gone, 1));
}

#[test]
fn a_video_that_an_export_missed_is_extracted_again_once() {
    let mut run = super::run(2, 1, 2, |_| {});
    (0..2).for_each(|_| drop(run.done(0)));
    run.gone(0, "it left");
    assert!(run.state.is_over());
    // A video that has its feature is not queued again.
    run.event(Event::ExportMissed(VideoId(1), Status::Done { degraded: false, resumed: true }, false));
    assert!(run.state.is_over());
    let effects = run.event(Event::ExportMissed(VideoId(0), Status::Queued, true));
    assert!(spawns(&effects) && run.state.videos[VideoId(0)].damaged);
    run.ready(0);
    assert_eq!(run.assignments(0), [0]);
    run.done(0);
    assert!(!run.state.videos[VideoId(0)].damaged);
    run.gone(0, "it left");
    // The second time, the disk is at fault.
    assert!(!spawns(&run.event(Event::ExportMissed(VideoId(0), Status::Queued, true))));
    let Status::Failed { failure, .. } = &run.state.videos[VideoId(0)].status else { panic!("it has not failed") };
    assert!(failure.line().contains("check the disk"), "{failure:?}");
    assert_eq!(run.state.counts(), run.state.recount());
}

#[test]
fn an_excluded_video_that_an_export_missed_stays_excluded() {
    let mut run = rested(2);
    run.event(Event::Exclude(vec![VideoId(0)], false));
    run.event(Event::ExportMissed(VideoId(0), Status::Queued, true));
    assert_eq!(run.state.videos[VideoId(0)].status, Status::Excluded { before: Box::new(Status::Queued) });
    assert!(!spawns(&run.event(Event::StartRun)), "there is nothing to do");
}
