//! The preview beside the table, and the charts of devices and throughput.

use jiff::tz::TimeZone;

use super::fixtures::{failing, gpus, many, running};
use super::harness::Harness;
use crate::protocol::row::Finding;
use crate::protocol::words::Level;
use crate::protocol::{FromEngine, LogLine};
use crate::tui::app::PendingRequest;
use crate::tui::picture::Rgb;
use crate::tui::update::{Effect, Msg};

/// A wide screen on which the cursor rests.
fn resting() -> Harness {
    let mut harness = running(200, 50, failing(), gpus(2));
    harness.knows_details = true;
    harness.advance(300);
    harness
}

fn stills(harness: &Harness) -> usize {
    harness.effects.iter().filter(|effect| matches!(effect, Effect::Still { .. })).count()
}

#[test]
fn the_preview_shows_details_and_still_of_the_video_under_the_cursor() {
    let mut harness = resting();
    harness.press("f d enter").advance(300);
    let video = harness.app.videos.current().unwrap().video.clone();
    let file = video.split_once('/').unwrap().1;
    assert!(harness.screen().matches(file).count() >= 2 && harness.shows("29.97 fps"), "{}", harness.screen());
    assert!(matches!(harness.effects.last(), Some(Effect::Still { video: asked, .. }) if *asked == video));
    let still = Rgb::new(2, 2, &[200; 12]).unwrap();
    harness.send(Msg::Still { video: "another".into(), still: Ok(still.clone()) });
    assert!(harness.shows("being fetched"), "the still of another video is ignored");
    harness.send(Msg::Still { video: video.clone(), still: Ok(still) });
    assert!(!harness.shows("being fetched"));
    assert!(harness.line("2 Videos").contains(&format!("╭ {file} ✔ done")), "{}", harness.screen());
    insta::assert_snapshot!("preview_200x50", harness.screen());
}

#[test]
fn nothing_is_fetched_while_the_cursor_moves() {
    let mut harness = resting();
    let before = stills(&harness);
    for _ in 0..20 {
        harness.press("j").advance(50);
    }
    assert_eq!(stills(&harness), before);
    // The table knows name and reason at once.
    let video = harness.app.videos.current().unwrap().video.clone();
    let file = video.split_once('/').unwrap().1;
    assert!(harness.screen().matches(file).count() >= 2);
    harness.advance(300);
    assert_eq!(stills(&harness), before + 1);
}

#[test]
fn a_slow_connection_and_a_corrupt_video_get_no_stills_and_a_narrow_screen_no_preview() {
    let mut corrupt = running(200, 50, many(9), gpus(2));
    corrupt.knows_details = true;
    corrupt.table.rows.iter_mut().for_each(|row| row.findings.add(Finding::Corrupt));
    corrupt.table_changed();
    corrupt.press("j").advance(300);
    assert!(corrupt.shows("/data/hacs/") && stills(&corrupt) == 0);
    let mut harness = running(200, 50, failing(), gpus(2));
    harness.knows_details = true;
    harness.app.options.low_bandwidth = true;
    harness.press("j").advance(300);
    assert!(harness.shows("/data/hacs/") && stills(&harness) == 0);
    let mut harness = running(120, 40, failing(), gpus(2));
    harness.knows_details = true;
    harness.press("j").advance(300);
    assert!(!harness.shows("/data/hacs/") && stills(&harness) == 0);
    harness.press("z").advance(300);
    assert!(harness.shows("/data/hacs/"), "the table alone has room for it");
}

#[test]
fn a_changed_video_is_fetched_again_but_its_still_is_kept() {
    let mut harness = resting();
    harness.press("f d enter").advance(300);
    let before = stills(&harness);
    let video = harness.app.videos.current().unwrap().video.clone();
    harness.table.rows.iter_mut().find(|row| row.video == video).unwrap().reason = Some("changed meanwhile".into());
    harness.table_changed();
    assert!(harness.screen().matches("meanwhile").count() >= 2, "in the table and in the preview");
    assert_eq!(stills(&harness), before);
}

/// Lets the devices report for some minutes.
fn with_history(width: u16, height: u16, devices: usize) -> Harness {
    let mut harness = running(width, height, many(500), gpus(devices));
    for step in 0..40 {
        harness.advance(5_000);
        for (number, device) in harness.snapshot.devices.iter_mut().enumerate() {
            device.gauges.busy_percent = Some(50.0 + 40.0 * ((step + number) as f32 / 5.0).sin());
            device.clips_per_s = Some(800.0 + 10.0 * step as f64);
        }
        let snapshot = harness.snapshot.clone();
        harness.receive(FromEngine::Snapshot { id: None, snapshot });
    }
    harness
}

#[test]
fn zoomed_devices_show_their_history_with_axes_and_units() {
    for devices in [0, 1, 8, 16] {
        let mut harness = with_history(120, 40, devices);
        harness.press("3 z");
        insta::assert_snapshot!(format!("devices{devices}_zoomed_120x40"), harness.screen());
    }
    let mut harness = with_history(200, 50, 8);
    harness.press("3 z j j j");
    let screen = harness.screen();
    for part in
        ["cuda:3", "Utilisation", "Video decoder", "Memory", "Temperature", "Power", "Throughput", "-5 min", "now"]
    {
        assert!(screen.contains(part), "{part} in\n{screen}");
    }
    let mut harness = with_history(80, 24, 1);
    harness.press("3 z");
    insta::assert_snapshot!("devices1_zoomed_80x24", harness.screen());
}

#[test]
fn zoomed_throughput_has_axes_and_names_the_bottleneck() {
    let mut harness = with_history(120, 40, 2);
    harness.press("4 z");
    insta::assert_snapshot!("throughput_zoomed_120x40", harness.screen());
    assert!(harness.shows("Decoding limits the run") && harness.shows("now"));
}

#[test]
fn charts_are_plain_ascii_where_nothing_else_is_allowed() {
    let mut harness = with_history(120, 40, 2);
    harness.app.options.theme = harness.app.options.theme.with_ascii(true);
    for keys in ["3 z", "4"] {
        harness.press(keys);
        assert!(harness.screen().is_ascii());
    }
}

#[test]
fn a_late_answer_for_another_video_is_dropped() {
    let mut harness = resting();
    harness.press("f d enter");
    harness.silent = true;
    harness.advance(300);
    let first = harness.app.videos.current().unwrap().clone();
    let asked = |harness: &Harness, video: &str| {
        let wanted = PendingRequest::Preview(video.to_owned());
        harness.app.pending.iter().find(|(_, request)| **request == wanted).map(|(id, _)| *id)
    };
    let id = asked(&harness, &first.video).unwrap();
    harness.press("j").advance(300);
    let second = harness.app.videos.current().unwrap().video.clone();
    assert!(asked(&harness, &second).is_some(), "the second request does not wait for the first answer");
    harness.receive(FromEngine::Details { id, details: Box::new(super::fixtures::details(first)) });
    assert!(harness.app.preview.view().is_none());
}

#[test]
fn closed_details_stay_closed_when_the_answer_to_their_refresh_arrives() {
    let mut harness = resting();
    harness.press("enter");
    let video = harness.app.details().unwrap().video().to_owned();
    harness.silent = true;
    harness.app.table_stale = true;
    harness.advance(2_000);
    let wanted = PendingRequest::RefreshedDetails(video);
    let id = harness.app.pending.iter().find(|(_, request)| **request == wanted).map(|(id, _)| *id).unwrap();
    harness.press("esc");
    let row = harness.app.videos.current().unwrap().clone();
    harness.receive(FromEngine::Details { id, details: Box::new(super::fixtures::details(row)) });
    assert!(harness.app.modals.is_empty(), "{:?}", harness.app.modals);
}

#[test]
fn a_log_that_is_shown_alone_wraps_long_lines() {
    let words = (0..60).map(|i| format!("word{i}")).collect::<Vec<_>>().join(" ");
    for (width, height, keys) in [(80, 24, "5"), (120, 40, "5 z")] {
        let mut harness = running(width, height, many(9), gpus(1));
        for (second, text) in [(1, "before"), (2, words.as_str()), (3, "after")] {
            let time = format!("2026-11-24T15:00:0{second}Z");
            let line = LogLine { time, level: Level::Problem, text: text.into() };
            harness.app.log.add(line, &TimeZone::UTC);
        }
        harness.press(keys);
        let screen = harness.screen();
        for i in 0..60 {
            assert!(screen.contains(&format!("word{i}")), "{screen}");
        }
        assert!(
            harness.line("word0 ").contains("15:00:02 ✘ word0 ") && screen.contains("15:00:03 ✘ after"),
            "{screen}"
        );
        assert!(!screen.contains("word9 …"), "{screen}");
    }
    let harness = {
        let mut harness = running(120, 40, many(9), gpus(1));
        harness.press("5");
        harness
    };
    assert_eq!(harness.app.log.wrap, None, "beside other panes a line takes one row");
}
