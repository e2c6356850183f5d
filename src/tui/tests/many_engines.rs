//! One run of many engines: their devices, the added rates, the one estimate, and engines that are silent.

use std::time::Duration;

use super::fixtures::{gpus, many, running};
use super::harness::Harness;
use crate::client::overview::{Engine, Overview};
use crate::protocol::Command;
use crate::protocol::holder::Holder;
use crate::protocol::holder::tests::holder;
use crate::protocol::snapshot::{Counts, Phase, Snapshot};
use crate::tui::update::Msg;

/// An engine with two GPUs; every fourth one belongs to no job, every seventh one is silent.
fn engine(number: usize) -> Engine {
    let snapshot = Snapshot {
        phase: Phase::Running,
        counts: Counts { videos: 500, done: 290 + number, queued: 200 - number, running: 4, ..Counts::default() },
        clips_per_video: 100,
        clips_done: 7_500,
        clips_per_s: Some(1_600.0),
        videos_per_s: Some(16.0),
        eta_s: Some(13_860),
        elapsed_s: 8_000.0,
        devices: gpus(2),
        ..Snapshot::default()
    };
    let started = "2026-11-24T12:00:00Z".parse().unwrap();
    let holder = Holder {
        host: format!("node{number:02}"),
        pid: 2_000 + number as u32,
        started,
        job: (!number.is_multiple_of(4)).then(|| format!("77_{number}")),
        ..holder(&format!("engine{number}"))
    };
    let silent = (number % 7 == 6).then_some(Duration::from_secs(40));
    let set = Some("slowonly-0123abcd".into());
    Engine { holder, held: true, silent, set, snapshot: Some(snapshot), more_devices: 0 }
}

fn engines(count: usize) -> Overview {
    Overview { engines: (1..=count).map(engine).collect() }
}

/// A run of the window's own engine with one GPU, and so many others.
fn window(width: u16, height: u16, others: usize) -> Harness {
    let mut harness = running(width, height, many(500), gpus(1));
    harness.send(Msg::Engines(engines(others)));
    harness.advance(300);
    harness
}

#[test]
fn any_number_of_engines_fits() {
    for others in [0, 1, 8, 16, 64] {
        for (width, height) in [(80, 24), (200, 50)] {
            let mut harness = window(width, height, others);
            insta::assert_snapshot!(format!("engines{others}_{width}x{height}"), harness.screen());
            harness.press("3");
            insta::assert_snapshot!(format!("engines{others}_pane_{width}x{height}"), harness.screen());
        }
    }
}

#[test]
fn zoomed_devices_name_host_process_and_job_of_each_engine() {
    for (width, height) in [(80, 24), (200, 50)] {
        let mut harness = window(width, height, 8);
        harness.press("3 z j j");
        for part in ["node01", "2001", "77_1", "2026-11-24 12:00:00", "7,500 clips"] {
            assert!(harness.shows(part), "{part}\n{}", harness.screen());
        }
        insta::assert_snapshot!(format!("engines8_zoomed_{width}x{height}"), harness.screen());
        harness.press("j");
        assert!(harness.shows("node01 cuda:0"), "{}", harness.screen());
    }
}

#[test]
fn rates_are_added_and_the_estimates_joined() {
    let harness = window(200, 50, 3);
    // 2,415 of its own and three times 1,600; four estimates of 3 h 51 min.
    assert!(harness.shows("7,215 clips/s") && harness.shows("57.2 videos/s"), "{}", harness.screen());
    assert!(harness.line("ETA").contains("ETA 57 m 45 s"), "{}", harness.line("ETA"));
    assert!(harness.line("ETA").contains("4 engines"));
    // Six videos are in progress elsewhere, and six wait for them.
    assert!(harness.shows("running 7 + 7 next"), "{}", harness.screen());
}

#[test]
fn silent_engines_are_drawn_as_old_data_and_give_no_rate() {
    let mut harness = window(200, 50, 7);
    harness.press("3").press(&"j ".repeat(17));
    assert!(harness.line("node06").contains("silent for 40 s"), "{}", harness.line("node06"));
    assert!(harness.line("ETA").contains("8 engines, 1 silent"), "{}", harness.line("ETA"));
    assert!(harness.shows("12,015 clips/s"), "{}", harness.screen());
    // A file system that does not answer makes all of them silent. The window's own engine is heard over its socket.
    harness.advance(60_000);
    assert!(harness.line("node06").contains("silent for 1 m"), "{}", harness.line("node06"));
    assert!(harness.shows("8 engines, 7 silent") && harness.shows("2,415 clips/s"), "{}", harness.screen());
}

#[test]
fn a_window_that_looks_shows_the_run_of_the_others() {
    let mut harness = running(80, 24, many(500), gpus(1));
    harness.snapshot.phase = Phase::Waiting;
    (harness.snapshot.clips_per_s, harness.snapshot.videos_per_s, harness.snapshot.eta_s) = (None, None, None);
    harness.snapshot.devices.iter_mut().for_each(|device| {
        device.status = "left".into();
        device.in_flight.clear();
    });
    harness.refresh();
    assert!(harness.shows("ready to start"));
    harness.send(Msg::Engines(engines(2)));
    harness.advance(300);
    assert!(
        harness.shows("running") && harness.shows("3 engines") && harness.shows("ETA 1 h 55 m"),
        "{}",
        harness.screen()
    );
    insta::assert_snapshot!("looks_80x24", harness.screen());
    harness.press("S s");
    assert_eq!(harness.last_command(), &Command::Stop { now: false });
    // The others have ended.
    harness.send(Msg::Engines(Overview::default()));
    harness.advance(300);
    assert!(harness.shows("ready to start"), "{}", harness.screen());
}

#[test]
fn hostile_names_and_old_versions_are_shown_harmlessly() {
    let mut harness = running(120, 40, many(50), gpus(1));
    let mut all = engines(2);
    all.engines[0].holder.host = "\u{1b}[2Jx\u{202e}日本".repeat(20);
    all.engines[0].holder.job = Some("\n".into());
    (all.engines[1].snapshot, all.engines[1].set) = (None, None);
    harness.send(Msg::Engines(all));
    harness.advance(300).press("3");
    assert!(!harness.screen().contains('\u{1b}') && harness.shows("an older version"), "{}", harness.screen());
    for _ in 0..8 {
        harness.press("j");
        for (width, height) in [(34, 8), (60, 20), (100, 28), (300, 60)] {
            harness.buffer(width, height);
        }
    }
}
