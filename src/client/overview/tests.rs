//! Rates, estimates and silent engines.

use super::*;
use crate::protocol::holder::tests::holder;

fn working(done: usize, eta_s: u64, rate: f64) -> Snapshot {
    Snapshot {
        phase: Phase::Running,
        counts: Counts { videos: 100, done, queued: 98 - done, running: 2, ..Counts::default() },
        eta_s: Some(eta_s),
        clips_per_s: Some(rate),
        videos_per_s: Some(rate / 100.0),
        clips_done: done * 100,
        ..Snapshot::default()
    }
}

fn seen(id: &str, host: &str, snapshot: &Snapshot) -> Seen {
    let report = Some(EngineReport::of("s", snapshot));
    let holder = Some(Holder { host: host.into(), report, ..holder(id) });
    Seen { path: PathBuf::new(), held: true, may_run: true, holder }
}

fn overview(seen: Vec<Seen>) -> Overview {
    Reader::new(Path::new("/out")).overview(seen, Instant::now(), clock::now())
}

#[test]
fn rates_are_added_and_estimates_joined() {
    let both = overview(vec![seen("a", "one", &working(40, 60, 10.0)), seen("b", "two", &working(50, 30, 20.0))]);
    let joint = both.joint("s");
    assert_eq!((joint.engines, joint.active, joint.hosts, joint.silent), (2, 2, 2, 0));
    assert_eq!(joint.in_words(), "2 engines on 2 hosts");
    let Snapshot { phase, counts, eta_s, clips_per_s, videos_per_s, clips_done, .. } = joint.snapshot;
    assert_eq!((phase, eta_s, clips_per_s, clips_done), (Phase::Running, Some(20), Some(30.0), 9_000));
    assert!(videos_per_s.is_some_and(|rate| (rate - 0.3).abs() < 1e-9));
    assert_eq!((counts.done, counts.running, counts.queued), (50, 4, 46), "the engine that knows most is right");
    let none = both.joint("another set");
    assert_eq!((none.engines, none.snapshot.phase), (0, Phase::Waiting));
    assert_eq!(both.sets(), ["s"]);
}

#[test]
fn one_engine_is_a_run_of_its_own() {
    let one = overview(vec![seen("a", "one", &working(40, 61, 10.0))]).joint("s");
    assert_eq!((one.snapshot.eta_s, one.snapshot.clips_per_s), (Some(61), Some(10.0)));
    assert_eq!(one.in_words(), "1 engine");
    let nothing = Overview::default().joint("s");
    assert_eq!((nothing.engines, nothing.snapshot.eta_s), (0, None));
}

#[test]
fn an_engine_that_only_looks_changes_neither_rate_nor_phase() {
    let looks = Snapshot { phase: Phase::Waiting, eta_s: None, ..working(55, 1, 99.0) };
    let joint = overview(vec![seen("a", "one", &looks), seen("b", "two", &working(50, 30, 20.0))]).joint("s");
    assert_eq!((joint.engines, joint.active, joint.open, joint.snapshot.phase), (2, 1, 1, Phase::Running));
    assert_eq!((joint.snapshot.clips_per_s, joint.snapshot.eta_s), (Some(20.0), Some(30)));
}

#[test]
fn a_run_is_open_until_its_export_is_over() {
    let idle = Snapshot { phase: Phase::Idle, ..working(98, 1, 1.0) };
    let ended = Snapshot { ended: Some(0), ..idle.clone() };
    let open = |parts: [&Snapshot; 2]| {
        let joint = overview(vec![seen("a", "one", parts[0]), seen("b", "two", parts[1])]).joint("s");
        (joint.active, joint.open)
    };
    assert_eq!((open([&idle, &ended]), open([&ended, &ended])), ((0, 1), (0, 0)));
}

#[test]
fn a_paused_engine_does_not_shorten_the_estimate_and_the_run_goes_on() {
    let paused = Snapshot { phase: Phase::Paused, clips_per_s: None, ..working(40, 60, 0.0) };
    let joint = overview(vec![seen("a", "one", &paused), seen("b", "two", &working(50, 30, 20.0))]).joint("s");
    assert_eq!((joint.snapshot.phase, joint.snapshot.eta_s), (Phase::Running, Some(30)));
    let joint = overview(vec![seen("a", "one", &paused), seen("b", "two", &paused)]).joint("s");
    assert_eq!((joint.snapshot.phase, joint.snapshot.eta_s), (Phase::Paused, None));
}

#[test]
fn engines_are_grouped_by_host_and_silent_ones_give_no_rate() {
    let snapshot = working(40, 60, 10.0);
    let long_ago = clock::now() - jiff::SignedDuration::from_secs(40);
    let mut late = seen("b", "two", &snapshot);
    late.holder.as_mut().unwrap().heartbeat = long_ago;
    let mut dead = seen("d", "three", &snapshot);
    dead.held = false;
    let old = Seen { holder: Some(Holder { host: "four".into(), ..holder("e") }), ..seen("e", "four", &snapshot) };
    let all = overview(vec![seen("a", "one", &snapshot), late, seen("c", "one", &snapshot), dead, old]);
    let hosts: Vec<&str> = all.engines.iter().map(|engine| engine.holder.host.as_str()).collect();
    assert_eq!(hosts, ["one", "one", "two", "three", "four"]);
    assert!(all.engines[2].silent.is_some_and(|silent| silent.as_secs() == 40), "{:?}", all.engines[2].silent);
    let joint = all.joint("s");
    assert_eq!((joint.engines, joint.silent), (3, 1), "neither the dead one nor the one without a report");
    assert_eq!((joint.snapshot.clips_per_s, joint.snapshot.eta_s), (Some(20.0), Some(30)));
    assert_eq!(joint.in_words(), "3 engines on 2 hosts, 1 silent");
    assert!(all.engines[4].snapshot.is_none() && !all.engines[4].is_active());
}

#[test]
fn the_clock_of_another_machine_counts_at_the_first_look_only() {
    let snapshot = working(40, 60, 10.0);
    let (mut reader, start) = (Reader::new(Path::new("/out")), Instant::now());
    let mut look = |counter: u64, seconds: u64| {
        let mut one = seen("a", "one", &snapshot);
        let holder = one.holder.as_mut().unwrap();
        // Its clock is slow by more than a minute.
        holder.heartbeat = clock::now() - jiff::SignedDuration::from_secs(70);
        holder.counter = counter;
        let later = start + Duration::from_secs(seconds);
        reader.overview(vec![one], later, clock::now()).engines[0].silent.map(|silent| silent.as_secs())
    };
    assert_eq!(look(1, 0), Some(70));
    assert_eq!((look(2, 5), look(2, 15)), (None, None));
    assert_eq!(look(2, 35), Some(30));
    assert_eq!(look(3, 36), None);
}

#[test]
fn an_engine_whose_heartbeats_come_runs_whatever_its_clock_says() {
    let snapshot = working(40, 60, 10.0);
    let (mut reader, start) = (Reader::new(Path::new("/out")), Instant::now());
    let mut is_running = |counter: u64, seconds: u64| {
        let mut one = Seen { held: false, ..seen("a", "one", &snapshot) };
        one.holder.as_mut().unwrap().counter = counter;
        reader.overview(vec![one], start + Duration::from_secs(seconds), clock::now()).held().count() == 1
    };
    assert!(!is_running(1, 0), "the first look has only the clocks");
    assert!(is_running(2, 10) && is_running(2, 90) && !is_running(2, 101));
}

#[test]
fn hostile_counts_do_not_overflow() {
    let counts = Counts { done: usize::MAX, failed: usize::MAX, running: usize::MAX, ..Counts::default() };
    let snapshot = Snapshot { counts, clips_done: usize::MAX, ..working(0, 1, 1.0) };
    let checked = EngineReport::of("s", &snapshot).checked().snapshot();
    let joint = overview(vec![seen("a", "one", &checked), seen("b", "two", &checked)]).joint("s");
    assert!(joint.snapshot.counts.done > 0);
}
