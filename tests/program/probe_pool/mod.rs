//! The probe of a dataset: several processes at a time, some of which crash or hang on command, and the probe cache.

mod bench;
mod command;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bench::{Bench, corrupt, is_healthy};
use reeldeck::internals::dataset::{Ended, Outcome, ProbeError, Request, Setup, probe};
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::Level;

#[test]
fn every_video_is_probed_once_and_then_cached() {
    let names: Vec<String> = (0..40).map(|i| format!("{}/v_{i}.mp4", i % 4)).collect();
    let bench = Bench::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for processes in [1, 3, 100] {
        let _ = fs::remove_file(bench.path("probe-cache"));
        let found = bench.probe(&bench.setup(processes), Level::Quick).unwrap();
        assert!(found.values().all(is_healthy));
        assert_eq!(bench.orders().len(), 40);
    }
    let found = bench.probe(&bench.setup(2), Level::Quick).unwrap();
    assert!(found.values().all(|f| matches!(f, Outcome::Probed { cached: true, .. })));
    assert_eq!(bench.orders().len(), 0);
    // A file is probed again at another level or after a change. A deep probe satisfies both levels.
    assert!(bench.probe(&bench.setup(2), Level::Deep).unwrap().values().all(is_healthy));
    assert_eq!(bench.orders().len(), 40);
    bench.video("1/v_1.mp4", b"another one");
    for level in [Level::Deep, Level::Quick] {
        bench.probe(&bench.setup(2), level).unwrap();
    }
    assert_eq!(bench.orders(), ["v_1.mp4"]);
}

#[test]
fn a_file_whose_prober_is_killed_is_not_judged() {
    let bench = Bench::new(&["A/v_killed.mp4", "A/v_1.mp4"]);
    for _ in 0..2 {
        let found = bench.probe(&bench.setup(2), Level::Quick).unwrap();
        let outcome = &found["A/v_killed.mp4"];
        assert!(matches!(outcome, Outcome::Unreadable(why) if why.contains("killed by signal 9")), "{outcome:?}");
        assert!(is_healthy(&found["A/v_1.mp4"]));
        // Nothing is cached: it is checked again by the next probe.
        assert_eq!(bench.orders().iter().filter(|name| *name == "v_killed.mp4").count(), 2);
    }
}

#[test]
fn a_file_that_crashes_its_prober_is_retried_alone_and_affects_no_other() {
    let bench = Bench::new(&["A/v_crash.mp4", "A/v_exit.mp4", "A/v_garbage.mp4", "A/v_once.mp4", "A/v_other.mp4"]);
    (0..12).for_each(|i| bench.video(&format!("B/v_{i}.mp4"), b"x"));
    let found = bench.probe(&bench.setup(3), Level::Quick).unwrap();
    for (name, how) in [
        ("A/v_crash.mp4", "it was killed by signal 11 (SIGSEGV): assertion failed"),
        ("A/v_exit.mp4", "it exited with code 7"),
        ("A/v_garbage.mp4", "it broke the protocol"),
        ("A/v_other.mp4", "it sent an unexpected message"),
    ] {
        let reason = corrupt(&found[name]);
        assert!(reason.starts_with(&format!("crashes the prober: {how}")), "{reason}");
    }
    assert!(found.iter().filter(|(name, _)| name.starts_with('B')).all(|(_, finding)| is_healthy(finding)));
    // The file did not cause the crash: alone, it is probed without one.
    assert!(is_healthy(&found["A/v_once.mp4"]), "{:?}", found["A/v_once.mp4"]);
    let orders = bench.orders();
    assert_eq!(orders.len(), 17 + 5, "each suspect is checked a second time: {orders:?}");
    // The verdict is cached like any other.
    bench.probe(&bench.setup(3), Level::Quick).unwrap();
    assert_eq!(bench.orders().len(), 0);
}

#[test]
fn a_file_that_takes_too_long_is_corrupt_and_one_that_the_disk_withholds_is_unchecked() {
    let bench =
        Bench::new(&["A/v_spin.mp4", "A/v_sleep.mp4", "A/v_gone.mp4", "A/v_long.mp4", "A/v_1.mp4", "A/v_2.mp4"]);
    let setup = Setup { stall: Duration::from_secs(5), ..bench.setup(2) };
    let found = bench.probe(&setup, Level::Deep).unwrap();
    let reason = corrupt(&found["A/v_spin.mp4"]);
    assert_eq!(reason, "crashes the prober: it computed for 5 s without progress");
    let Outcome::Unreadable(why) = &found["A/v_sleep.mp4"] else { panic!("{found:?}") };
    assert_eq!(why, "the disk or the network gave no answer for 5 s");
    assert_eq!(found["A/v_gone.mp4"], Outcome::Unreadable("failed to read the file".into()));
    // The probe takes longer than the limit and keeps sending signs of life.
    assert!(["A/v_long.mp4", "A/v_1.mp4", "A/v_2.mp4"].iter().all(|name| is_healthy(&found[*name])), "{found:?}");
    // Files without a verdict are probed again.
    bench.orders();
    fs::remove_file(bench.path("data/A/v_sleep.mp4")).unwrap();
    bench.probe(&bench.setup(2), Level::Deep).unwrap();
    assert_eq!(bench.orders(), ["v_gone.mp4"]);
}

#[test]
fn a_disk_that_does_not_respond_ends_the_probe() {
    let names: Vec<String> = (0..30).map(|i| format!("A/v_sleep_{i}.mp4")).collect();
    let bench = Bench::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let setup = Setup { stall: Duration::from_millis(200), ..bench.setup(2) };
    let error = bench.probe(&setup, Level::Quick).unwrap_err();
    assert!(matches!(error, ProbeError::Silent { .. }), "{error}");
    assert!(bench.orders().len() < 12);
}

#[test]
fn files_that_still_arrive_are_not_checked() {
    let bench = Bench::new(&["A/v_1.mp4", "A/v_grow.mp4"]);
    fs::write(bench.path("data/A/v_new.mp4"), "just begun").unwrap();
    let found = bench.probe(&bench.setup(2), Level::Quick).unwrap();
    assert!(is_healthy(&found["A/v_1.mp4"]));
    assert_eq!((&found["A/v_new.mp4"], &found["A/v_grow.mp4"]), (&Outcome::Arriving, &Outcome::Arriving));
    assert_eq!(bench.orders(), ["v_1.mp4", "v_grow.mp4"], "files that were just written are not opened");
    assert_eq!(fs::read_to_string(bench.path("probe-cache")).unwrap().lines().count(), 2);
}

#[test]
fn a_broken_prober_is_charged_to_no_video() {
    let bench = Bench::new(&["A/v_1.mp4", "A/v_2.mp4"]);
    for (script, how) in [
        ("#!/bin/bash\necho 'libavcodec.so.59: cannot open' >&2; exit 127\n", "code 127: libavcodec.so.59"),
        ("#!/bin/bash\nread -r line; echo '{}'\n", "it broke the protocol"),
        ("#!/bin/bash\nexec sleep 1000\n", "it does not respond"),
    ] {
        bench.program(script);
        // Long enough for probers that do answer, also on a busy machine.
        let setup = Setup { start: Duration::from_secs(15), ..bench.setup(2) };
        let error = bench.probe(&setup, Level::Quick).unwrap_err();
        assert!(matches!(error, ProbeError::Broken { .. }) && error.to_string().contains(how), "{error}");
    }
    bench.program("#!/bin/bash\nread -r line; kill -KILL $$\n");
    let error = bench.probe(&bench.setup(2), Level::Quick).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("killed by signal 9") && text.contains("enough memory") && !text.contains("build"), "{text}");
    fs::remove_file(bench.path("fake")).unwrap();
    let error = bench.probe(&bench.setup(2), Level::Quick).unwrap_err();
    assert!(matches!(error, ProbeError::Start { .. }), "{error}");
    assert!(!bench.path("probe-cache").exists());
}

#[test]
fn a_cancelled_probe_keeps_what_it_found() {
    let names: Vec<String> = (0..60).map(|i| format!("A/v_slow_{i:02}.mp4")).collect();
    let bench = Bench::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let scan = bench.scan();
    let (cancel, limits) = (AtomicBool::new(false), Limits::default());
    let root = bench.path("data");
    let request = Request { root: &root, videos: &scan.videos, level: Level::Quick, limits: &limits };
    let mut told = 0;
    let mut each = |_, finding: Outcome| {
        assert!(is_healthy(&finding));
        told += 1;
        if told == 7 {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let ended = probe(request, &bench.setup(2), &mut bench.cache(&scan), &cancel, &mut each).unwrap();
    assert_eq!(ended, Ended::Cancelled);
    // Results that were already sent may arrive, but no others.
    assert!((7..60).contains(&told), "{told}");
    bench.orders();
    let found = bench.probe(&bench.setup(2), Level::Quick).unwrap();
    assert_eq!(found.values().filter(|f| matches!(f, Outcome::Probed { cached: true, .. })).count(), told);
    assert_eq!(bench.orders().len(), 60 - told);
}
