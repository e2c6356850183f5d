//! What a failure costs, and which process it counts for.

use reeldeck::internals::engine::{Effect, Event, Notice, Status, VideoId, WorkerId, WorkerStatus};
use reeldeck_common::error::{ErrorKind, Failure};

use super::{Run, report, seen, spawns};

#[test]
fn out_of_memory_halves_the_batch_and_retries() {
    let mut run = super::run(1, 1, 1, |_| {});
    for batch in [4, 2] {
        let effects = run.fail(0, ErrorKind::OutOfMemory);
        assert!(effects.contains(&Effect::Notify(Notice::BatchHalved(WorkerId(0), batch))), "{effects:?}");
        assert!(run.assignments(0).is_empty(), "not at once");
        let effects = run.wait(6_000);
        assert!(effects.iter().any(|e| matches!(e, Effect::Extract { batch: b, .. } if *b == batch)), "{effects:?}");
    }
    run.fail(0, ErrorKind::OutOfMemory);
    assert!(matches!(run.state.videos[VideoId(0)].status, Status::Failed { .. }));
    assert_eq!(run.attempts(0), 3);
}

#[test]
fn one_shortage_of_memory_halves_the_batch_once() {
    let mut run = super::run(5, 1, 5, |_| {});
    let batches: Vec<usize> = (0..5)
        .flat_map(|_| run.fail(0, ErrorKind::OutOfMemory))
        .filter_map(
            |effect| if let Effect::Notify(Notice::BatchHalved(_, batch)) = effect { Some(batch) } else { None },
        )
        .collect();
    assert_eq!(batches, [4]);
    let attempts: Vec<u32> = (0..5).map(|video| run.attempts(video)).collect();
    assert_eq!(attempts, [1, 0, 0, 0, 0], "the others failed with the batch that was too large");
}

#[test]
fn a_video_over_the_time_limit_fails_and_those_behind_it_are_not_charged() {
    let mut run = super::run(3, 1, 3, |_| {});
    let killed = |effects: &[Effect]| effects.contains(&Effect::Kill(WorkerId(0)));
    for _ in 0..59 {
        assert!(!killed(&run.wait(10_000)), "the message counts as a heartbeat");
        let job = run.job(0);
        run.progress(0, job, 1);
    }
    assert!(killed(&run.wait(20_000)));
    run.gone(0, "killed");
    let Status::Failed { failure, .. } = &run.state.videos[VideoId(0)].status else {
        panic!("{:?}", run.state.videos[VideoId(0)])
    };
    assert!(failure.kind == ErrorKind::Limit && failure.line().contains("more than 600 s"), "{failure:?}");
    run.ready(0);
    assert_eq!((run.assignments(0), run.attempts(1), run.attempts(2)), (vec![1, 2], 0, 0));
    // The time limit of the next video starts when its work starts.
    assert_eq!(run.state.workers[WorkerId(0)].in_flight[0].begun, Some(run.now));
}

#[test]
fn the_time_limit_applies_to_the_first_video_in_flight() {
    let mut run = super::run(4, 1, 3, |_| {});
    run.state.rules.stall_timeout = 10_000_000;
    let job = |run: &Run, place: usize| run.state.workers[WorkerId(0)].in_flight[place].job;
    run.wait(400_000);
    // The third video was decoded first.
    let third = job(&run, 2);
    run.progress(0, third, 0);
    assert_eq!(run.assignments(0), [2, 0, 1]);
    assert!(!run.wait(400_000).contains(&Effect::Kill(WorkerId(0))));
    run.progress(0, third, 2);
    assert_eq!(run.assignments(0), [2, 0, 1]);
    assert!(run.wait(200_500).contains(&Effect::Kill(WorkerId(0))));
    run.gone(0, "killed");
    assert!(matches!(run.state.videos[VideoId(2)].status, Status::Failed { .. }), "{:?}", run.state.videos[VideoId(2)]);
    assert_eq!((run.attempts(0), run.attempts(1)), (0, 0));
}

/// The videos whose beginning was published.
fn started(effects: &[Effect]) -> Vec<usize> {
    let video = |effect: &Effect| match effect {
        Effect::Notify(Notice::Started(_, video)) => Some(video.0),
        _ => None,
    };
    effects.iter().filter_map(video).collect()
}

/// When the attempt that is recorded began.
fn since(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| if let Effect::Record { since, .. } = effect { Some(*since) } else { None })
}

#[test]
fn a_video_starts_when_its_worker_begins_to_compute_it() {
    let mut run = super::run(4, 1, 3, |_| {});
    let process = run.state.process(WorkerId(0));
    run.disk_hangs = true;
    let job = |run: &Run, place: usize| run.state.workers[WorkerId(0)].in_flight[place].job;
    assert!(run.state.workers[WorkerId(0)].in_flight.iter().map(|a| a.is_published).eq([true, false, false]));
    run.now = 5_000;
    let effects = run.done(0);
    let kinds: Vec<&Effect> = effects.iter().filter(|effect| matches!(effect, Effect::Notify(_))).collect();
    assert!(matches!(kinds[0], Effect::Notify(Notice::Done(..))) && started(&effects) == [1], "{effects:?}");
    // The third one was decoded first, and is begun once.
    run.now = 9_000;
    let third = job(&run, 1);
    assert_eq!(started(&run.progress(0, third, 0)), [2]);
    assert!(started(&run.progress(0, third, 1)).is_empty());
    run.now = 20_000;
    let effects = run.fail(0, ErrorKind::Corrupt);
    assert_eq!((since(&effects), started(&effects)), (Some(9_000), vec![]), "the second one was published before");
    assert_eq!(run.state.workers[WorkerId(0)].in_flight[0].begun, Some(20_000));
    // It fails before its turn.
    run.release();
    run.now = 30_000;
    let last = job(&run, 1);
    let failed = Event::Failed(process, last, Failure::new(ErrorKind::Corrupt, "no"), None);
    assert_eq!(since(&run.event(failed)), Some(30_000));
}

#[test]
fn a_broken_device_is_given_up_and_costs_no_video_an_attempt() {
    let mut run = super::run(4, 2, 2, |_| {});
    for round in 0..3 {
        let effects = run.fail(0, ErrorKind::Device);
        assert!(effects.contains(&Effect::Kill(WorkerId(0))), "a process with a fault is replaced: {effects:?}");
        run.gone(0, "killed");
        if round < 2 {
            run.ready(0);
        }
    }
    assert!(
        matches!(run.state.workers[WorkerId(0)].status, WorkerStatus::Lost { .. }),
        "{:?}",
        run.state.workers[WorkerId(0)]
    );
    while !run.assignments(1).is_empty() {
        run.done(1);
    }
    assert_eq!((run.state.counts().done, run.state.counts().failed), (4, 0));
}

#[test]
fn a_worker_that_is_killed_while_the_run_stops_charges_no_video() {
    let mut run = super::run(2, 1, 1, |_| {});
    run.event(Event::Interrupt);
    run.gone(0, "was killed by signal 15 (SIGTERM)");
    assert_eq!((run.attempts(0), &run.state.videos[VideoId(0)].status), (0, &Status::Queued));
    assert!(run.state.is_over());
}

#[test]
fn a_worker_that_hangs_while_it_loads_is_given_up() {
    let mut run = super::run(1, 1, 1, |_| {});
    run.gone(0, "exited with code 1");
    for _ in 0..3 {
        assert_eq!(run.state.workers[WorkerId(0)].status, WorkerStatus::Starting);
        assert!(run.wait(62_000).contains(&Effect::Kill(WorkerId(0))));
        run.gone(0, "killed");
    }
    assert!(matches!(run.state.workers[WorkerId(0)].status, WorkerStatus::Lost { .. }), "{:?}", run.state.workers);
    assert_eq!(run.attempts(0), 1, "no video is charged for it");
}

#[test]
fn a_video_that_always_breaks_its_device_is_charged_in_the_end() {
    let mut run = super::run(30, 1, 1, |_| {});
    let mut broken = 0;
    while !run.state.is_over() && run.state.counts().unfinished() > 0 {
        if run.state.workers[WorkerId(0)].status == WorkerStatus::Starting {
            run.ready(0);
        } else if run.assignments(0) == [7] && broken < 100 {
            broken += 1;
            run.fail(0, ErrorKind::Device);
            run.gone(0, "killed");
        } else {
            run.done(0);
        }
    }
    assert!(broken <= 5, "{broken}");
}

#[test]
fn a_user_who_retries_a_suspect_clears_it() {
    let mut run = super::run(1, 1, 2, |_| {});
    for _ in 0..2 {
        run.gone(0, "killed");
        run.ready(0);
    }
    assert!(matches!(run.state.videos[VideoId(0)].status, Status::Failed { .. }));
    run.gone(0, "it left");
    run.event(seen(1, 0, Status::Queued));
    run.event(Event::Retry(vec![VideoId(0)]));
    run.ready(0);
    assert_eq!(run.assignments(0), [0, 1]);
}

#[test]
fn late_events_of_a_process_do_not_count_for_the_next_one() {
    let mut run = super::run(2, 1, 1, |_| {});
    let first = run.state.process(WorkerId(0));
    assert!(run.event(Event::Fatal(first, Failure::new(ErrorKind::Device, "no"))).contains(&Effect::Kill(WorkerId(0))));
    assert!(spawns(&run.event(Event::StartRun)), "a user starts the run again before the process has ended");
    run.ready(0);
    let job = run.job(0);
    let late = [
        Event::Unreported(first, job, report()),
        Event::Done(first, job, report()),
        Event::Failed(first, job, Failure::new(ErrorKind::Corrupt, "no"), None),
        Event::Fatal(first, Failure::new(ErrorKind::Device, "no")),
        Event::Gone(first, "killed".into()),
    ];
    for event in late {
        assert_eq!(run.event(event.clone()), [], "{event:?}");
        assert_eq!((run.assignments(0), run.attempts(0)), (vec![0], 0), "{event:?}");
        assert_eq!(run.state.workers[WorkerId(0)].status, WorkerStatus::Ready, "{event:?}");
    }
    run.gone(0, "killed");
    assert_eq!(run.attempts(0), 1, "its own end counts");
}
