//! The end of a run: card, header, notification and the last line.

use super::fixtures::{failing, gpus, many, running, snapshot, summary};
use super::harness::Harness;
use crate::protocol::FromEngine;
use crate::protocol::event::Event;
use crate::protocol::row::{Finding, RowState};
use crate::protocol::snapshot::{Counts, Phase, Snapshot};
use crate::protocol::summary::{Ending, ExportSummary};
use crate::tui::modal::Modal;
use crate::tui::run_end;
use crate::tui::update::Effect;

fn counts(done: usize, failed: usize, queued: usize) -> Counts {
    Counts { videos: done + failed + queued, done, failed, queued, degraded: 2, ..Counts::default() }
}

/// Ends the run of a harness.
fn end(harness: &mut Harness, ending: Ending, counts: Counts) {
    for row in &mut harness.table.rows {
        if matches!(row.state, RowState::Running | RowState::Queued) && counts.queued == 0 {
            row.state = RowState::Done;
        }
    }
    harness.snapshot.phase = Phase::Idle;
    harness.snapshot.ended = Some(0);
    harness.snapshot.last_run = Some(Box::new(summary(ending, counts)));
    harness.refresh();
}

#[test]
fn the_last_line_is_about_a_run_of_this_window() {
    let quits = |harness: &Harness| harness.effects.iter().any(|effect| matches!(effect, Effect::Quit(_)));
    // An older run is no news.
    let mut harness = Harness::new(120, 40);
    harness.table.rows = failing();
    harness.snapshot.last_run = Some(Box::new(summary(Ending::Finished, counts(83, 4, 0))));
    harness.connect();
    harness.press("q");
    let Some(Effect::Quit(Some(said))) = harness.effects.last() else { panic!("{:?}", harness.effects) };
    assert!(said.contains("done; no run is active"), "{said}");
    // Of a run that is over, the summary is awaited.
    let mut harness = running(120, 40, failing(), gpus(2));
    harness.press("q s");
    harness.snapshot.phase = Phase::Idle;
    harness.refresh();
    assert!(!quits(&harness), "the run is not summed up yet");
    end(&mut harness, Ending::Stopped, counts(3, 0, 14));
    let said = Effect::Quit(Some("run stopped after 20 s: 3 done, 0 failed, 14 queued".into()));
    assert!(harness.effects.contains(&said), "{:?}", harness.effects);
}

#[test]
fn a_new_window_tells_how_the_last_run_has_ended() {
    for (minutes, is_told) in [(3, true), (1_500, false)] {
        let mut harness = Harness::new(120, 40);
        harness.table.rows = failing();
        let ended = harness.app.wall - jiff::SignedDuration::from_mins(minutes);
        let run = crate::protocol::summary::RunSummary { ended, ..summary(Ending::Finished, counts(83, 4, 0)) };
        harness.snapshot.last_run = Some(Box::new(run));
        harness.connect();
        assert_eq!(harness.has_toast("3 m 0 s ago: run finished in"), is_told, "{:?}", harness.app.toasts);
    }
}

fn ended(width: u16, height: u16, ending: Ending, counts: Counts) -> Harness {
    let mut harness = running(width, height, failing(), gpus(2));
    end(&mut harness, ending, counts);
    harness
}

#[test]
fn the_card_says_what_was_done_what_failed_and_what_is_next() {
    for (width, height) in [(80, 24), (120, 40)] {
        let mut harness = ended(width, height, Ending::Finished, counts(83, 4, 0));
        insta::assert_snapshot!(format!("finished_{width}x{height}"), harness.screen());
        let export = ExportSummary { path: "/out/hacs/exports/result.pkl".into(), videos: 82, missing: 5 };
        harness.snapshot.last_run.as_mut().unwrap().exports.push(export);
        harness.refresh();
        assert!(harness.line("export").contains("/out/hacs/exports/result.pkl (82 videos; lacks 1 that is done)"));
    }
    insta::assert_snapshot!("stopped_80x24", ended(80, 24, Ending::Stopped, counts(83, 4, 14)).screen());
    let none_left = ended(80, 24, Ending::Stopped, counts(83, 0, 0));
    assert!(none_left.line("next").contains("e exports the features"), "{}", none_left.screen());
    let stale = Counts { videos: 90, done: 83, stale: 7, ..Counts::default() };
    let mut changed = ended(80, 24, Ending::Finished, stale);
    assert!(changed.line("next").contains("F shows the changed videos, r extracts one again"), "{}", changed.screen());
    let run = changed.snapshot.last_run.as_mut().unwrap();
    (run.counts.stale, run.next_step) = (0, Some("make all of the dataset folder readable".into()));
    changed.refresh();
    assert!(changed.line("next").contains("make all of the dataset folder readable"), "{}", changed.screen());
    insta::assert_snapshot!("failed_80x24", ended(80, 24, Ending::Failed, counts(3, 0, 14)).screen());
}

#[test]
fn a_card_tells_the_failures_of_this_run_from_older_ones() {
    let again = Counts { resumed: 82, failed_before: 1, ..counts(83, 1, 0) };
    let mut harness = ended(80, 24, Ending::Finished, again);
    assert!(harness.shows("failed    0 in this run, 1 in all"), "{}", harness.screen());
    harness.press("esc q");
    let said = "run finished in 20 s: 1 done, 0 failed in this run; 83 done, 1 failed in all";
    assert_eq!(harness.effects.last(), Some(&Effect::Quit(Some(said.into()))));
}

#[test]
fn a_window_with_nothing_left_says_so_and_names_the_next_key() {
    let opened = |failed: usize| {
        let mut harness = running(80, 24, many(9), gpus(0));
        harness.table.rows.iter_mut().for_each(|row| row.state = RowState::Done);
        harness.table.rows.iter_mut().take(failed).for_each(|row| row.state = RowState::Failed);
        harness.snapshot.phase = Phase::Waiting;
        harness.table_changed();
        harness.refresh();
        assert!(!harness.shows("ready to start") && !harness.shows("s start"), "{}", harness.screen());
        harness.screen().lines().next().unwrap().to_owned()
    };
    let (done, failed) = (opened(0), opened(1));
    assert!(done.contains("○ all done: e export") && failed.contains("○ 1 failed: R retry"), "{done}\n{failed}");
}

#[test]
fn corrupt_videos_are_no_reason_to_offer_a_retry() {
    let mut harness = running(80, 24, many(9), gpus(0));
    harness.table.rows.iter_mut().for_each(|row| row.state = RowState::Done);
    harness.table.rows.iter_mut().take(3).for_each(|row| {
        row.state = RowState::Failed;
        row.findings.add(Finding::Corrupt);
    });
    let footer = |harness: &Harness| harness.screen().lines().last().unwrap().to_owned();
    harness.table_changed();
    assert!(!footer(&harness).contains("R retry"), "during a run: {}", footer(&harness));
    harness.snapshot.phase = Phase::Waiting;
    harness.table_changed();
    let screen = harness.screen();
    let [first, last] = [screen.lines().next(), screen.lines().last()].map(Option::unwrap);
    assert!(first.contains("○ 3 corrupt: F shows why"), "{first}");
    assert!(!last.contains("R retry") && last.contains("F problems"), "{last}");
    harness.press("s");
    assert!(harness.has_toast("3 videos failed as corrupt"), "{:?}", harness.app.toasts);
}

#[test]
fn an_export_that_lacks_videos_says_so() {
    let mut run = summary(Ending::Finished, counts(83, 0, 0));
    let path = "/out/hacs/exports/result.pkl".into();
    run.exports = vec![crate::protocol::summary::ExportSummary { path, videos: 80, missing: 3 }];
    let mut harness = running(120, 40, many(9), gpus(0));
    harness.snapshot.phase = Phase::Idle;
    harness.snapshot.last_run = Some(Box::new(run));
    harness.refresh();
    assert!(harness.shows("result.pkl (80 videos; lacks 3 that are done)"), "{}", harness.screen());
}

#[test]
fn the_header_tells_finished_from_stopped_and_failed() {
    let head = |harness: &Harness| harness.screen().lines().next().unwrap().to_owned();
    let mut finished = ended(120, 40, Ending::Finished, counts(83, 4, 0));
    assert!(head(&finished).contains("○ finished"), "{}", head(&finished));
    finished.table.rows[0].state = RowState::Queued;
    finished.table_changed();
    assert!(head(&finished).contains("○ finished, 1 queued"), "{}", head(&finished));
    let stopped = ended(120, 40, Ending::Stopped, counts(83, 4, 14));
    let left = stopped.snapshot.counts.unfinished();
    assert!(head(&stopped).contains(&format!("○ stopped, {left} queued")), "{}", head(&stopped));
    let failed = ended(120, 40, Ending::Failed, counts(83, 4, 14));
    assert!(head(&failed).contains("○ failed"), "{}", head(&failed));
}

#[test]
fn the_end_is_announced_once() {
    let mut harness = ended(120, 40, Ending::Finished, counts(83, 4, 0));
    harness.refresh();
    let said: Vec<&Effect> = harness.effects.iter().filter(|effect| matches!(effect, Effect::Notify(_))).collect();
    assert_eq!(said, [&Effect::Notify("run finished in 20 s: 83 done, 4 failed".into())]);
}

#[test]
fn a_toast_repeats_the_card_only_where_it_is_hidden() {
    let toast = "run finished in 20 s: 83 done, 4 failed";
    let mut harness = ended(120, 40, Ending::Finished, counts(83, 4, 0));
    let exported = || Event::Exported { videos: 83, missing: 0, path: "/out/result.pkl".into() };
    harness.event(exported());
    assert!(!harness.has_toast(toast) && !harness.has_toast("exported 83"));
    harness.press("esc");
    harness.event(exported());
    assert!(harness.has_toast("exported 83"));
    let mut harness = running(120, 40, failing(), gpus(2));
    harness.press("e");
    end(&mut harness, Ending::Finished, counts(83, 4, 0));
    assert!(harness.has_toast(toast));
}

#[test]
fn a_run_that_ended_before_this_window_opened_is_not_announced() {
    let mut harness = Harness::new(120, 40);
    harness.snapshot.last_run = Some(Box::new(summary(Ending::Finished, counts(83, 4, 0))));
    harness.snapshot.phase = Phase::Idle;
    // The engine learns of it while it starts.
    let starting = Snapshot::starting("listing the videos", None);
    harness.receive(FromEngine::Snapshot { id: None, snapshot: starting });
    harness.connect();
    assert!(harness.app.modals.is_empty() && !harness.effects.iter().any(|effect| matches!(effect, Effect::Notify(_))));
}

#[test]
fn a_key_of_a_pane_closes_the_card_and_takes_effect() {
    let mut harness = ended(120, 40, Ending::Finished, counts(83, 4, 0));
    let before = harness.app.videos.selected();
    harness.press("j");
    assert!(harness.app.modals.is_empty() && harness.app.videos.selected() == before + 1);
    let mut harness = ended(120, 40, Ending::Finished, counts(83, 4, 0));
    harness.press("esc");
    assert!(harness.app.modals.is_empty());
    harness.press("q");
    assert_eq!(harness.effects.last(), Some(&Effect::Quit(Some("run finished in 20 s: 83 done, 4 failed".into()))));
}

#[test]
fn the_card_waits_behind_an_open_menu_and_goes_when_the_next_run_starts() {
    let mut harness = running(120, 40, failing(), gpus(2));
    harness.press("e");
    end(&mut harness, Ending::Finished, counts(5, 0, 0));
    assert!(matches!(harness.app.modals.as_slice(), [Modal::RunEnd, Modal::Menu(_)]));
    harness.press("esc");
    assert!(harness.shows("Run finished"));
    harness.snapshot.phase = Phase::Running;
    harness.snapshot.last_run = None;
    harness.refresh();
    assert!(harness.app.modals.is_empty());
}

#[test]
fn a_run_that_could_not_begin_has_no_card() {
    let mut harness = running(120, 40, failing(), gpus(2));
    let reason = Some("no usable device".into());
    harness.event(Event::RunEnded { exit: 1, counts: Counts::default(), seconds: 0.0, reason });
    assert!(harness.app.modals.is_empty() && harness.has_toast("run failed: no usable device"));
}

#[test]
fn the_header_says_that_the_remaining_time_is_being_estimated() {
    let mut harness = running(80, 24, failing(), gpus(2));
    assert!(harness.shows("ETA 3 h 51 m"));
    harness.snapshot.eta_s = None;
    harness.refresh();
    assert!(harness.shows("estimating ETA"), "{}", harness.screen());
    harness.snapshot.eta_guess_s = Some(171);
    harness.refresh();
    assert!(harness.shows("ETA about 3 m") && !harness.shows("estimating"), "{}", harness.screen());
    harness.snapshot.phase = Phase::Paused;
    harness.refresh();
    assert!(!harness.shows("estimating") && !harness.shows("about"));
}

#[test]
fn the_header_has_a_bar_with_the_overall_progress() {
    let harness = running(120, 40, failing(), gpus(2));
    let counts = harness.snapshot.counts;
    let least = (counts.done + counts.failed) as f64 / (counts.done + counts.failed + counts.unfinished()) as f64;
    let head = harness.screen().lines().next().unwrap().to_owned();
    let percent: f64 = head.split_once(" %").unwrap().0.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(percent / 100.0 >= least - 0.01 && percent / 100.0 < least + 0.1 && head.contains('█'), "{head}");
}

#[test]
fn the_overall_progress_does_not_fall_when_an_excluded_video_ends() {
    let mut snapshot = snapshot();
    snapshot.counts = Counts { videos: 8, done: 3, running: 1, queued: 4, ..Counts::default() };
    let before = run_end::progress(&snapshot).unwrap();
    // Its worker has just done it.
    snapshot.counts = Counts { running: 0, excluded: 1, excluded_in_run: 1, ..snapshot.counts };
    assert!(run_end::progress(&snapshot).unwrap() > before);
    // One that had no turn yet.
    snapshot.counts = Counts { queued: 3, excluded: 2, ..snapshot.counts };
    assert!(run_end::progress(&snapshot).unwrap() > before);
}
