//! Workers that are killed with SIGKILL, as the kernel does when memory runs out, and GPUs with little memory.

use reeldeck::internals::engine::{Effect, Event, Notice, Phase, Status, VideoId, WorkerId};

use super::Run;

/// Kills the worker at each video that it gets, until the run stops. Returns how often.
fn kill_until_it_stops(run: &mut Run, is_counted: bool) -> usize {
    for kills in 1..100 {
        run.killed(0, is_counted);
        if run.state.is_over() {
            return kills;
        }
        run.ready(0);
    }
    panic!("it does not stop: {:?}", run.state);
}

fn reason(run: &Run) -> &str {
    match &run.state.phase {
        Phase::Finishing { because: Some(why) } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn kills_on_different_videos_stop_the_run_and_charge_none() {
    for (capacity, is_counted, kills) in [(1, true, 3), (2, true, 3), (1, false, 5)] {
        let mut run = super::run(20, 1, capacity, |_| {});
        assert_eq!(kill_until_it_stops(&mut run, is_counted), kills);
        assert!(reason(&run).contains("on different videos; there are 1.50 GiB"), "{}", reason(&run));
        assert!((0..20).all(|video| run.attempts(video) == 0));
        assert_eq!((run.state.counts().queued, run.state.counts().failed), (20, 0));
    }
}

#[test]
fn a_worker_that_is_killed_while_it_loads_stops_the_run() {
    let mut run = super::run(1, 1, 1, |_| {});
    run.killed(0, true);
    run.killed(0, true);
    run.killed(0, true);
    assert!(reason(&run).contains("3 times in a row") && run.attempts(0) == 0);
}

#[test]
fn workers_that_are_killed_together_count_once() {
    let mut run = super::run(20, 4, 1, |_| {});
    for round in 0..3 {
        run.wait(1_000);
        (0..4).for_each(|worker| drop(run.killed(worker, true)));
        assert_eq!(run.state.phase == Phase::Running, round < 2);
        (0..4).for_each(|worker| drop(run.ready(worker)));
    }
}

#[test]
fn finished_videos_begin_a_new_count() {
    let mut run = super::run(20, 1, 1, |_| {});
    for _ in 0..6 {
        for _ in 0..2 {
            run.killed(0, true);
            run.ready(0);
        }
        run.done(0);
    }
    assert_eq!((run.state.phase.clone(), run.state.counts().failed), (Phase::Running, 0));
}

#[test]
fn a_single_video_that_is_always_killed_fails_in_the_end() {
    let mut run = super::run(2, 1, 1, |_| {});
    run.killed(0, true);
    run.ready(0);
    run.done(0);
    let mut kills = 1;
    while !run.state.is_over() && run.state.counts().unfinished() > 0 {
        run.wait(1_000);
        run.killed(0, true);
        run.ready(0);
        kills += 1;
    }
    assert!(matches!(run.state.videos[VideoId(0)].status, Status::Failed { .. }), "{:?}", run.state.phase);
    assert!(kills <= 6, "{kills}");
}

#[test]
fn a_kill_while_the_run_stops_charges_no_video() {
    let mut run = super::run(20, 2, 1, |_| {});
    for _ in 0..3 {
        run.wait(1_000);
        run.killed(0, true);
        run.ready(0);
    }
    assert!(reason(&run).contains("in a row"));
    run.killed(1, true);
    assert_eq!((run.attempts(1), run.state.counts().failed), (0, 0));
    assert!(run.state.is_over());
}

#[test]
fn a_gpu_with_little_free_memory_gets_small_batches() {
    let mut run = super::run(1, 2, 1, |_| {});
    let process = run.state.process(WorkerId(1));
    let effects = run.event(Event::LittleMemory(process, 15 << 29, 5));
    let said = effects.iter().find_map(|effect| match effect {
        Effect::Notify(Notice::WorkerWarns(WorkerId(1), text)) => Some(text.clone()),
        _ => None,
    });
    assert!(said.unwrap().starts_with("its GPU has 7.5 GiB of free memory, so it computes 5 clips at a time"));
    assert_eq!([0, 1].map(|worker| run.state.workers[WorkerId(worker)].batch), [8, 5]);
    // A batch that was halved before is not raised, and nothing is said twice.
    assert!(run.event(Event::LittleMemory(process, 15 << 29, 5)).is_empty());
    assert!(run.event(Event::LittleMemory(process, 15 << 29, 6)).is_empty());
}
