//! Single decisions of the engine's state machine: assignments, charges and holds.

use reeldeck::dataset::scan::VideoFile;
use reeldeck::engine::event::{Effect, Event, News};
use reeldeck::engine::state::{Rules, Slot, State, Status, Video, Work, WorkerProcess, WorkerStatus};
use reeldeck::engine::update::update;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::FrameCounts;
use reeldeck_common::protocol::Report;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

/// A run whose workers have loaded their models at 0 ms.
struct Run {
    state: State,
    now: u64,
    disk_hangs: bool,
    /// Videos that are not yet in the journal.
    unreleased: Vec<(WorkerProcess, u64)>,
}

fn run(videos: usize, workers: usize, capacity: usize, set: impl FnOnce(&mut Work)) -> Run {
    let stamp = SourceStamp { size: 1, mtime_ns: 0 };
    let file = |i| VideoFile { name: VideoName::new(&format!("A/v_{i}.mp4")).unwrap(), stamp };
    let mut work = Work {
        files: (0..videos).map(file).collect(),
        videos: vec![Video::new(Status::Queued); videos],
        order: (0..videos).collect(),
    };
    set(&mut work);
    let slots = vec![Slot { device: "cuda".into(), capacity, batch: 8 }; workers];
    let rules = Rules { clips: 4, stall_timeout: 60_000, wall_limit: 600_000 };
    let state = State::new(work, slots, rules);
    let mut run = Run { state, now: 0, disk_hangs: false, unreleased: vec![] };
    run.event(Event::Begin);
    (0..workers).for_each(|worker| drop(run.ready(worker)));
    run
}

fn report() -> Report {
    let frames = FrameCounts { expected: 9, output: 9, concealed: 0 };
    Report { frames, clips: 4, clips_computed: 4, ..Report::default() }
}

impl Run {
    /// Applies an event, and releases every video that it assigns, unless the disk hangs.
    fn event(&mut self, event: Event) -> Vec<Effect> {
        let effects = update(&mut self.state, event, self.now);
        for effect in &effects {
            if let Effect::Extract { worker, job, .. } = effect {
                self.unreleased.push((self.state.process(*worker), *job));
            }
        }
        if !self.disk_hangs {
            self.release();
        }
        effects
    }

    fn release(&mut self) {
        for (process, job) in std::mem::take(&mut self.unreleased) {
            self.event(Event::Released(process, job));
        }
    }

    /// Advances the time in steps of a quarter of a second.
    fn wait(&mut self, ms: u64) -> Vec<Effect> {
        (0..ms / 250)
            .flat_map(|_| {
                self.now += 250;
                self.event(Event::Tick)
            })
            .collect()
    }

    fn hands(&self, worker: usize) -> Vec<usize> {
        self.state.workers[worker].in_hand.iter().map(|hand| hand.video).collect()
    }

    fn job(&self, worker: usize) -> u64 {
        self.state.workers[worker].in_hand[0].job
    }

    fn ready(&mut self, worker: usize) -> Vec<Effect> {
        self.event(Event::Ready(self.state.process(worker), "GPU".into(), 1))
    }

    fn progress(&mut self, worker: usize, job: u64, clips: usize) -> Vec<Effect> {
        self.event(Event::Progress(self.state.process(worker), job, clips))
    }

    fn done(&mut self, worker: usize) -> Vec<Effect> {
        self.event(Event::Done(self.state.process(worker), self.job(worker), report()))
    }

    fn fail(&mut self, worker: usize, kind: ErrorKind) -> Vec<Effect> {
        self.event(Event::Failed(self.state.process(worker), self.job(worker), Failure::new(kind, "no"), None))
    }

    fn gone(&mut self, worker: usize, how: &str) -> Vec<Effect> {
        self.event(Event::Gone(self.state.process(worker), how.into()))
    }

    fn attempts(&self, video: usize) -> u32 {
        self.state.videos[video].attempts
    }
}

#[test]
fn no_device_gets_a_second_video_while_another_has_none_and_the_last_ones_are_not_hoarded() {
    let mut run = self::run(12, 2, 3, |_| {});
    run.event(Event::Pause);
    run.done(0);
    run.done(0);
    run.done(1);
    run.event(Event::Resume);
    assert_eq!((run.hands(0), run.hands(1)), (vec![2, 6, 8], vec![4, 5, 7]), "in turns");
    // Two of three places are for parallel decoding, the third is for decoding ahead.
    let mut run = self::run(7, 2, 3, |work| work.order = vec![6, 0, 1, 2, 3, 4, 5]);
    assert_eq!((run.hands(0), run.hands(1)), (vec![6, 0, 1], vec![2, 3, 4]), "in the order asked for");
    run.done(1);
    assert_eq!((run.hands(0), run.hands(1)), (vec![6, 0, 1], vec![3, 4]));
    run.done(1);
    assert_eq!((run.hands(0), run.hands(1)), (vec![6, 0, 1], vec![4, 5]), "whoever is free first gets the last");
}

#[test]
fn suspects_run_alone_in_their_worker_after_all_other_videos() {
    let mut run = self::run(6, 2, 2, |work| work.videos[3].suspect = true);
    assert_eq!((run.hands(0), run.hands(1)), (vec![0, 1], vec![2, 4]));
    run.done(1);
    run.done(0);
    assert_eq!((run.hands(0), run.hands(1)), (vec![1], vec![4]));
    run.done(0);
    assert_eq!(run.hands(0), [5], "all other videos come first");
    run.done(0);
    assert_eq!((run.hands(0), run.hands(1)), (vec![3], vec![4]));
    run.event(seen(7, 0, Status::Queued));
    run.event(seen(8, 0, Status::Queued));
    assert_eq!((run.hands(0), run.hands(1)), (vec![3], vec![4, 6]), "no other video joins it");
    run.done(1);
    run.done(1);
    assert_eq!((run.hands(0), run.hands(1)), (vec![3], vec![7]));
    run.done(0);
    assert_eq!(run.state.workers[0].status, WorkerStatus::Ready, "another video may fail and come back");
    run.done(1);
    assert!(run.state.workers.iter().all(|w| w.status == WorkerStatus::Leaving));
}

#[test]
fn out_of_memory_means_fewer_clips_at_a_time_and_another_try() {
    let mut run = self::run(1, 1, 1, |_| {});
    for batch in [4, 2] {
        let effects = run.fail(0, ErrorKind::OutOfMemory);
        assert!(effects.contains(&Effect::Tell(News::Smaller(0, batch))), "{effects:?}");
        assert!(run.hands(0).is_empty(), "not at once");
        let effects = run.wait(6_000);
        assert!(effects.iter().any(|e| matches!(e, Effect::Extract { batch: b, .. } if *b == batch)), "{effects:?}");
    }
    run.fail(0, ErrorKind::OutOfMemory);
    assert!(matches!(run.state.videos[0].status, Status::Failed { .. }));
    assert_eq!(run.attempts(0), 3);
}

#[test]
fn waiting_for_another_try_holds_nobody_up() {
    let mut run = self::run(3, 1, 1, |_| {});
    run.fail(0, ErrorKind::Io);
    assert_eq!(run.hands(0), [1]);
    run.done(0);
    assert_eq!(run.hands(0), [2]);
    run.done(0);
    assert!(run.hands(0).is_empty() && run.state.workers[0].status == WorkerStatus::Ready);
    run.wait(1_750);
    assert!(run.hands(0).is_empty());
    run.wait(250);
    assert_eq!(run.hands(0), [0]);
}

#[test]
fn a_video_that_keeps_its_worker_too_long_fails_and_those_behind_it_pay_nothing() {
    let mut run = self::run(3, 1, 3, |_| {});
    let killed = |effects: &[Effect]| effects.contains(&Effect::Kill(0));
    for _ in 0..59 {
        assert!(!killed(&run.wait(10_000)), "it shows that it lives");
        let job = run.job(0);
        run.progress(0, job, 1);
    }
    assert!(killed(&run.wait(20_000)));
    run.gone(0, "killed");
    let Status::Failed { failure, .. } = &run.state.videos[0].status else { panic!("{:?}", run.state.videos[0]) };
    assert!(failure.kind == ErrorKind::Limit && failure.line().contains("more than 600 s"), "{failure:?}");
    run.ready(0);
    assert_eq!((run.hands(0), run.attempts(1), run.attempts(2)), (vec![1, 2], 0, 0));
    // The time limit of the next video starts when its work starts.
    assert_eq!(run.state.workers[0].in_hand[0].begun, Some(run.now));
}

#[test]
fn the_limit_on_a_videos_time_is_for_the_one_that_the_worker_is_at() {
    let mut run = self::run(4, 1, 3, |_| {});
    run.state.rules.stall_timeout = 10_000_000;
    let job = |run: &Run, place: usize| run.state.workers[0].in_hand[place].job;
    run.wait(400_000);
    // The third video was decoded first.
    let third = job(&run, 2);
    run.progress(0, third, 0);
    assert_eq!(run.hands(0), [2, 0, 1]);
    assert!(!run.wait(400_000).contains(&Effect::Kill(0)));
    run.progress(0, third, 2);
    assert_eq!(run.hands(0), [2, 0, 1]);
    assert!(run.wait(200_500).contains(&Effect::Kill(0)));
    run.gone(0, "killed");
    assert!(matches!(run.state.videos[2].status, Status::Failed { .. }), "{:?}", run.state.videos[2]);
    assert_eq!((run.attempts(0), run.attempts(1)), (0, 0));
}

#[test]
fn a_broken_device_is_given_up_and_costs_no_video_an_attempt() {
    let mut run = self::run(4, 2, 2, |_| {});
    for round in 0..3 {
        let effects = run.fail(0, ErrorKind::Device);
        assert!(effects.contains(&Effect::Kill(0)), "a process that has met a fault is of no use: {effects:?}");
        run.gone(0, "killed");
        if round < 2 {
            run.ready(0);
        }
    }
    assert!(matches!(run.state.workers[0].status, WorkerStatus::Lost { .. }), "{:?}", run.state.workers[0]);
    while !run.hands(1).is_empty() {
        run.done(1);
    }
    assert_eq!((run.state.counts().done, run.state.counts().failed), (4, 0));
}

#[test]
fn a_video_that_always_breaks_its_device_is_to_blame_in_the_end() {
    let mut run = self::run(30, 1, 1, |_| {});
    let mut broken = 0;
    while !run.state.is_over() && run.state.counts().unfinished() > 0 {
        if run.state.workers[0].status == WorkerStatus::Starting {
            run.ready(0);
        } else if run.hands(0) == [7] && broken < 100 {
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
fn pausing_stops_the_clock_and_stopping_ends_the_pause() {
    let mut run = self::run(4, 1, 2, |_| {});
    run.wait(30_000);
    assert!(run.event(Event::Pause).contains(&Effect::Freeze(0)));
    let effects = run.wait(3_600_000);
    assert!(!effects.contains(&Effect::Kill(0)), "who stands still as told is not taken for dead");
    assert!(run.event(Event::Resume).contains(&Effect::Thaw(0)));
    assert!(!run.wait(29_000).contains(&Effect::Kill(0)));
    assert!(run.wait(5_000).contains(&Effect::Kill(0)), "but for who says nothing afterwards");

    let mut run = self::run(4, 1, 2, |_| {});
    run.event(Event::Pause);
    let effects = run.event(Event::Interrupt);
    assert!(effects.contains(&Effect::Thaw(0)), "what is in hand is to be finished: {effects:?}");
    run.done(0);
    run.done(0);
    assert_eq!(run.state.workers[0].status, WorkerStatus::Leaving);
}

#[test]
fn time_in_which_nobody_could_listen_is_not_held_against_workers() {
    let mut run = self::run(2, 1, 2, |_| {});
    run.wait(10_000);
    // The machine was suspended, or the engine was stopped.
    run.now += 7_200_000;
    assert!(!run.event(Event::Tick).contains(&Effect::Kill(0)));
    assert!(!run.wait(49_000).contains(&Effect::Kill(0)));
    assert!(run.wait(5_000).contains(&Effect::Kill(0)));
}

#[test]
fn a_held_output_folder_is_looked_at_again_and_again_and_nothing_is_handed_out_meanwhile() {
    let mut run = self::run(3, 1, 1, |_| {});
    let effects = run.fail(0, ErrorKind::DiskFull);
    assert!(effects.iter().any(|e| matches!(e, Effect::Tell(News::Held(_)))), "{effects:?}");
    for _ in 0..3 {
        assert_eq!(run.wait(10_000).iter().filter(|e| **e == Effect::LookAtOutput).count(), 1, "one look at a time");
        assert!(run.hands(0).is_empty());
        run.event(Event::StillHeld("full".into()));
    }
    run.event(Event::OutputBack(vec![]));
    assert_eq!((run.hands(0), run.attempts(0)), (vec![0], 0), "the same, and it was not charged");
    run.done(0);
    run.fail(0, ErrorKind::Output);
    run.event(Event::OutputBack(vec![0]));
    run.done(0);
    run.done(0);
    assert_eq!(run.hands(0), [0], "its feature was lost with the folder: it is done again");
}

#[test]
fn a_video_whose_feature_can_never_be_written_does_not_hold_the_run_for_ever() {
    let mut run = self::run(2, 1, 1, |_| {});
    for _ in 0..4 {
        assert_eq!(run.hands(0), [0]);
        run.fail(0, ErrorKind::Output);
        run.event(Event::OutputBack(vec![]));
    }
    run.fail(0, ErrorKind::Output);
    assert!(matches!(run.state.videos[0].status, Status::Failed { .. }));
    assert_eq!(run.hands(0), [1]);
}

/// A finished run of several videos that now waits for commands.
fn rested(videos: usize) -> Run {
    let mut run = self::run(videos, 1, 2, |_| {});
    (0..videos).for_each(|_| drop(run.done(0)));
    run.gone(0, "it left");
    run.event(Event::Rest);
    assert!(run.state.is_over());
    run
}

fn seen(video: usize, version: i64, status: Status) -> Event {
    let name = VideoName::new(&format!("A/v_{video}.mp4")).unwrap();
    Event::Seen(VideoFile { name, stamp: SourceStamp { size: 1, mtime_ns: version } }, status, false)
}

fn spawns(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Spawn(_)))
}

#[test]
fn one_that_rests_begins_with_what_is_asked_for_only_where_nothing_else_would_be_done_too() {
    let mut run = rested(3);
    assert!(!spawns(&run.event(Event::Start)), "there is nothing to do");
    assert!(spawns(&run.event(Event::Redo(vec![1]))));
    let mut run = rested(3);
    assert!(!spawns(&run.event(seen(7, 0, Status::Queued))), "what comes waits");
    assert!(!spawns(&run.event(Event::Redo(vec![1]))));
    assert_eq!(run.state.counts().queued, 2);
    assert!(spawns(&run.event(Event::Start)));
    // Videos that a change has queued are requested like the others.
    let mut run = rested(3);
    run.event(seen(1, 9, Status::Queued));
    assert!(spawns(&run.event(Event::Redo(vec![0, 1]))));
    run.ready(0);
    assert_eq!(run.hands(0), [0, 1]);
}

#[test]
fn one_that_is_to_be_left_alone_is_finished_where_it_is_in_hand_and_handed_out_no_more() {
    let mut run = self::run(3, 1, 1, |_| {});
    run.event(Event::Exclude(vec![0, 1], false));
    assert_eq!(run.state.videos[0].status, Status::Running(0));
    run.done(0);
    let counts = run.state.counts();
    assert_eq!((run.hands(0), counts.excluded, counts.done), (vec![2], 2, 0));
    assert!(run.state.videos[0].feature);
    run.event(Event::Exclude(vec![0, 1], true));
    assert_eq!(run.state.videos[0].status, Status::Done { degraded: false, resumed: false });
    run.done(0);
    assert_eq!(run.hands(0), [1]);
    // After two failures it stays excluded, and nothing waits for it.
    run.event(Event::Exclude(vec![1], false));
    run.fail(0, ErrorKind::Io);
    assert_eq!(run.state.counts().unfinished(), 0);
    assert_eq!((run.hands(0).len(), &run.state.workers[0].status), (0, &WorkerStatus::Leaving));
}

#[test]
fn a_file_that_changes_in_hand_is_looked_at_when_it_is_done() {
    let mut run = self::run(2, 1, 1, |_| {});
    run.event(seen(0, 5, Status::Queued));
    assert_eq!(run.hands(0), [0]);
    let looks = |effects: &[Effect]| effects.contains(&Effect::LookAt(0));
    assert!(looks(&run.done(0)));
    // The feature belongs to the previous version.
    run.event(seen(0, 5, Status::Stale));
    assert_eq!(run.state.videos[0].status, Status::Stale);
    // The same version again has no effect.
    run.event(seen(0, 5, Status::Queued));
    assert_eq!(run.state.videos[0].status, Status::Stale);
    // A video that disappears while it is in progress is marked as gone after a look at its file.
    let name = VideoName::new("A/v_1.mp4").unwrap();
    run.event(Event::Vanished(name.clone()));
    assert_eq!(run.hands(0), [1]);
    assert!(run.fail(0, ErrorKind::Missing).contains(&Effect::LookAt(1)));
    run.event(Event::Vanished(name));
    assert_eq!((&run.state.videos[1].status, run.state.counts().videos), (&Status::Gone, 1));
}

#[test]
fn a_retry_delay_is_not_skipped_when_a_video_was_queued_twice() {
    let mut run = self::run(3, 2, 1, |_| {});
    run.event(Event::Exclude(vec![2], false));
    run.event(Event::Exclude(vec![2], true));
    run.done(0);
    assert_eq!((run.hands(0), run.hands(1)), (vec![2], vec![1]));
    run.fail(0, ErrorKind::Io);
    assert!(run.hands(0).is_empty(), "{:?}", run.hands(0));
    run.event(Event::Exclude(vec![2], false));
    run.event(Event::Exclude(vec![2], true));
    run.wait(1_750);
    assert!(run.hands(0).is_empty());
    run.wait(250);
    assert_eq!(run.hands(0), [2]);
}

/// A way in which a video returns to the queue, by name.
type Return = (&'static str, fn(&mut Run));

#[test]
fn a_suspect_runs_alone_however_it_returns_to_the_queue() {
    let returns: [Return; 5] = [
        ("excluded and included again", |run| {
            run.event(Event::Exclude(vec![0], false));
            run.fail(0, ErrorKind::Interrupted);
            run.event(Event::Exclude(vec![0], true));
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
        let mut run = self::run(2, 1, 2, |_| {});
        assert_eq!(run.hands(0), [0, 1]);
        run.gone(0, "killed");
        run.ready(0);
        assert_eq!(run.hands(0), [0], "{how}");
        comes_back(&mut run);
        assert!(run.state.videos[0].suspect && run.hands(0) == [0], "{how}: {:?}", run.hands(0));
        run.event(seen(7, 0, Status::Queued));
        assert_eq!(run.hands(0), [0], "{how}");
        run.done(0);
        assert!(!run.state.videos[0].suspect, "{how}");
    }
}

#[test]
fn a_user_who_retries_a_suspect_clears_it() {
    let mut run = self::run(1, 1, 2, |_| {});
    for _ in 0..2 {
        run.gone(0, "killed");
        run.ready(0);
    }
    assert!(matches!(run.state.videos[0].status, Status::Failed { .. }));
    run.gone(0, "it left");
    run.event(seen(1, 0, Status::Queued));
    run.event(Event::Retry(vec![0]));
    run.ready(0);
    assert_eq!(run.hands(0), [0, 1]);
}

#[test]
fn late_events_of_a_process_do_not_count_for_the_next_one() {
    let mut run = self::run(2, 1, 1, |_| {});
    let first = run.state.process(0);
    assert!(run.event(Event::Fatal(first, Failure::new(ErrorKind::Device, "no"))).contains(&Effect::Kill(0)));
    assert!(spawns(&run.event(Event::Start)), "a user starts the run again before the process has ended");
    run.ready(0);
    let job = run.job(0);
    let late = [
        Event::Untold(first, job, report()),
        Event::Done(first, job, report()),
        Event::Failed(first, job, Failure::new(ErrorKind::Corrupt, "no"), None),
        Event::Fatal(first, Failure::new(ErrorKind::Device, "no")),
        Event::Gone(first, "killed".into()),
    ];
    for event in late {
        assert_eq!(run.event(event.clone()), [], "{event:?}");
        assert_eq!((run.hands(0), run.attempts(0)), (vec![0], 0), "{event:?}");
        assert_eq!(run.state.workers[0].status, WorkerStatus::Ready, "{event:?}");
    }
    run.gone(0, "killed");
    assert_eq!(run.attempts(0), 1, "its own end counts");
}

#[test]
fn a_worker_is_not_timed_before_it_has_received_its_order() {
    let mut run = self::run(3, 1, 2, |_| {});
    run.disk_hangs = true;
    run.done(0);
    run.done(0);
    assert_eq!(run.hands(0), [2]);
    let effects = run.wait(3_600_000);
    assert!(!effects.contains(&Effect::Kill(0)), "it has nothing to do");
    run.disk_hangs = false;
    run.release();
    assert!(!run.wait(60_000).contains(&Effect::Kill(0)));
    assert!(run.wait(1_000).contains(&Effect::Kill(0)), "from the release on it has");
    run.gone(0, "killed");
    assert_eq!(run.attempts(2), 1);

    // The time limit of a video starts at its release, too.
    let mut run = self::run(2, 1, 2, |_| {});
    run.disk_hangs = true;
    run.done(0);
    run.event(seen(7, 0, Status::Queued));
    run.done(0);
    run.wait(3_600_000);
    run.disk_hangs = false;
    run.release();
    let job = run.job(0);
    for _ in 0..11 {
        assert!(!run.wait(50_000).contains(&Effect::Kill(0)));
        run.progress(0, job, 1);
    }
    assert!(run.wait(51_000).contains(&Effect::Kill(0)));
}

#[test]
fn a_run_is_held_while_the_output_disk_hangs_and_resumes_by_itself() {
    let mut run = self::run(6, 1, 2, |_| {});
    run.disk_hangs = true;
    run.done(0);
    let held = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Tell(News::Held(_))));
    assert!(!held(&run.wait(10_000)));
    assert!(held(&run.wait(250)));
    assert!(!run.wait(3_600_000).iter().any(|e| held(std::slice::from_ref(e)) || *e == Effect::LookAtOutput), "once");
    run.done(0);
    assert_eq!(run.hands(0).len(), 1, "nothing is handed out meanwhile");
    // The worker exits; none of its videos is charged, because it never received them.
    run.gone(0, "killed");
    run.ready(0);
    assert!(run.hands(0).is_empty() && run.state.hold.is_some());
    run.disk_hangs = false;
    run.release();
    assert_eq!(run.state.hold, None);
    run.wait(250);
    assert_eq!(run.hands(0).len(), 2);
    assert!(run.state.videos.iter().all(|video| video.attempts == 0 && !video.suspect));
}

#[test]
fn an_order_that_is_released_after_its_process_has_ended_is_void() {
    let mut run = self::run(1, 1, 1, |_| {});
    run.disk_hangs = true;
    run.done(0);
    run.event(Event::Redo(vec![0]));
    run.gone(0, "left");
    run.ready(0);
    let (late, job) = (run.state.process(0), run.job(0));
    run.gone(0, "killed");
    run.ready(0);
    run.event(Event::Released(late, job));
    assert!(run.state.workers[0].in_hand[0].released.is_none());
    assert_eq!(run.event(Event::Done(run.state.process(0), job, report())), []);
    run.disk_hangs = false;
    run.release();
    run.done(0);
    assert_eq!(run.state.counts().done, 1);
}
