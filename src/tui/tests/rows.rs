//! Rows of the video table: where the cursor goes when they change, and what they show.

use super::fixtures::{failing, gpus, many, running};
use super::harness::Harness;
use crate::protocol::row::{Finding, RowState};

#[test]
fn the_next_video_moves_under_the_cursor_when_an_excluded_one_leaves_the_filter() {
    let mut harness = running(80, 24, many(90), vec![]);
    harness.press("f q enter j j j");
    let [selected, next] = [0, 1].map(|by| harness.app.videos.selected() + by);
    let [video, next] = [selected, next].map(|at| harness.app.videos.row(at).unwrap().video.clone());
    let exclude = |harness: &mut Harness, video: &str| {
        harness.press("x");
        harness.table.rows.iter_mut().find(|row| row.video == video).unwrap().state = RowState::Excluded;
        harness.table_changed();
        (harness.app.videos.selected(), harness.app.videos.current().unwrap().video.clone())
    };
    assert_eq!(exclude(&mut harness, &video), (selected, next));
    // Among all videos it is sorted elsewhere, and the cursor keeps its row.
    harness.press("esc");
    let (row, video) = (harness.app.videos.selected(), harness.app.videos.current().unwrap().video.clone());
    let (selected, next) = exclude(&mut harness, &video);
    assert!(selected == row && next != video);
}

#[test]
fn a_running_row_shows_what_was_found() {
    let mut harness = running(80, 24, failing(), gpus(1));
    let running = harness.app.snapshot().unwrap().devices[0].in_flight[0].video.clone();
    let row = harness.table.rows.iter_mut().find(|row| row.video == running).unwrap();
    row.findings = [Finding::WrongDuration, Finding::Duplicate].into_iter().collect();
    harness.snapshot.devices[0].in_flight[0].clips = 50;
    harness.table_changed();
    harness.press("f w enter");
    let line = harness.line("50 %");
    assert!(line.contains("≠≡"), "{line}");
}

#[test]
fn a_reason_that_its_column_cuts_is_shown_below_the_rows() {
    let reason = "the MP4 index (moov) is missing, because the download ended before the last part of the file came";
    let mut harness = running(80, 24, many(3), gpus(1));
    harness.table.rows.iter_mut().for_each(|row| row.reason = Some(reason.into()));
    harness.table_changed();
    let words = |harness: &Harness| harness.screen().replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&harness).contains("Why: the MP4 index (moov) is missing, because the download ended before"));
    assert!(harness.shows("part of the file came"), "{}", harness.screen());
    harness.resize(80, 9);
    let last = harness.line("Why:");
    assert!(last.contains("the MP4 index (moov) is missing") && last.contains('…'), "{last}");
}

#[test]
fn the_cursor_stays_on_the_video_that_was_found() {
    let mut harness = running(120, 40, failing(), gpus(2));
    let under = |harness: &Harness| harness.app.videos.current().unwrap().video.clone();
    harness.press("j j j");
    let before = under(&harness);
    harness.press("/").type_text("archery").press("enter");
    let found = under(&harness);
    assert_ne!(found, before);
    harness.press("esc");
    assert_eq!(under(&harness), found);
}
