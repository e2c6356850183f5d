//! Moving, filtering, sorting and marking.

use std::time::Duration;

use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::fixtures::{failing, gpus, many, named, row, running};
use super::harness::Harness;
use crate::protocol::Command;
use crate::protocol::row::{Column, Filter, Finding, RowState};
use crate::protocol::snapshot::Phase;
use crate::tui::pane::Pane;
use crate::tui::update::{Effect, Msg};

fn harness() -> Harness {
    running(120, 40, many(5_000), gpus(2))
}

fn under(harness: &Harness) -> String {
    harness.app.videos.current().unwrap().video.clone()
}

#[test]
fn vim_and_arrow_keys_are_equivalent() {
    let after = |keys: &str| {
        let mut harness = harness();
        harness.press("g g").press(keys);
        harness.app.videos.selected()
    };
    for (vim, arrows) in
        [("j j j", "down down down"), ("G", "end"), ("ctrl-f", "pgdn"), ("G ctrl-b", "end pgup"), ("G k", "end up")]
    {
        assert_eq!(after(vim), after(arrows), "{vim}");
    }
    assert_eq!((after("j j k"), after("G")), (1, 4_999));
    assert_eq!(after("ctrl-d"), after("ctrl-f").div_ceil(2));
    assert_eq!(after("j j j j g g"), 0);
    assert_eq!(after("g j"), 1, "an unfinished sequence does not swallow the next key");
}

#[test]
fn number_keys_and_tab_focus_panes() {
    let mut harness = harness();
    for (key, pane) in [("1", Pane::Classes), ("4", Pane::Throughput), ("5", Pane::Log), ("2", Pane::Videos)] {
        harness.press(key);
        assert_eq!(harness.app.focus, pane);
    }
    harness.press("tab");
    assert_eq!(harness.app.focus, Pane::Devices);
    harness.press("backtab backtab backtab");
    assert_eq!(harness.app.focus, Pane::Log);
    harness.press("esc");
    assert_eq!(harness.app.focus, Pane::Videos);
}

#[test]
fn a_small_terminal_shows_the_focused_pane() {
    let mut harness = running(80, 24, many(50), gpus(2));
    let frame = |harness: &Harness| harness.screen().lines().nth(2).unwrap().to_owned();
    assert!(frame(&harness).contains("2 Videos") && harness.shows("cuda:1"));
    harness.press("5");
    assert!(frame(&harness).contains("5 Log") && !frame(&harness).contains("2 Videos"));
    let mut wide = self::harness();
    assert!(wide.shows("5 Log") && wide.shows("2 Videos"));
    wide.press("z");
    assert!(!wide.shows("14:02:59") && wide.shows("2 Videos"));
    wide.press("esc");
    assert!(wide.shows("14:02:59"));
}

#[test]
fn a_filter_applies_while_typing_and_can_be_cancelled() {
    let mut harness = running(120, 40, failing(), gpus(2));
    let all = harness.app.videos.total();
    harness.press("/").type_text("MOOV");
    assert_eq!(harness.app.videos.total(), 3);
    assert!(harness.line("2 Videos").contains("/MOOV"));
    harness.press("enter");
    assert!(harness.app.modals.is_empty());
    assert_eq!(harness.app.videos.total(), 3);
    harness.press("/").type_text("x");
    assert_eq!(harness.app.videos.filter().text, "x", "typing replaces the filter before");
    harness.press("esc /").press("end").type_text("x");
    assert_eq!(harness.app.videos.filter().text, "MOOVx", "a moved cursor edits it");
    harness.press("esc");
    assert_eq!(
        (harness.app.videos.total(), harness.app.videos.filter().text.as_str()),
        (3, "MOOV"),
        "cancelling restores the filter"
    );
    harness.press("esc");
    assert_eq!(harness.app.videos.total(), all);
    // The filter also matches state and name. While a filter is typed, the arrow keys move the cursor.
    harness.press("/").type_text("manifest says").press("down down");
    assert_eq!((harness.app.videos.total(), harness.app.videos.selected()), (3, 2));
    harness.send(Msg::Paste("nothing like that".into()));
    assert!(harness.shows("No matching videos. esc clears the filter."));
}

#[test]
fn states_and_problems_are_chosen_by_keys() {
    let mut harness = running(120, 40, failing(), gpus(0));
    harness.press("f f c enter");
    assert_eq!(harness.app.videos.filter().states, [RowState::Failed]);
    assert_eq!(harness.app.videos.filter().findings, [Finding::Corrupt]);
    assert_eq!(harness.app.videos.total(), 3 + 3 + 2);
    harness.press("f c enter");
    assert_eq!(harness.app.videos.filter().states, [RowState::Failed]);
    harness.press("F");
    assert!(harness.app.videos.filter().is_problems());
    assert!(harness.line("2 Videos").contains("Videos · problems only · sorted by state, ascending"));
    harness.press("F");
    assert_eq!(harness.app.videos.filter().states, []);
    harness.press("f j enter");
    assert_eq!(
        (harness.app.videos.filter().states.as_slice(), harness.app.modals.len()),
        ([RowState::Failed].as_slice(), 0)
    );
    harness.press("f a enter");
    assert_eq!(harness.app.videos.filter().states, []);
}

#[test]
fn enter_keeps_the_chosen_states_and_esc_restores_those_before() {
    let mut harness = running(120, 40, failing(), gpus(0));
    let states = |harness: &Harness| harness.app.videos.filter().states.clone();
    // The cursor is on the chosen item, which enter must not remove.
    harness.press("f q");
    assert_eq!(states(&harness), [RowState::Queued]);
    harness.press("enter");
    assert_eq!((states(&harness), harness.app.modals.len()), (vec![RowState::Queued], 0));
    harness.press("f enter");
    assert_eq!(states(&harness), [RowState::Queued], "without a choice enter changes nothing");
    harness.press("f d x");
    assert_eq!(states(&harness), [RowState::Queued, RowState::Done, RowState::Excluded]);
    harness.press("esc");
    assert_eq!((states(&harness), harness.app.modals.len()), (vec![RowState::Queued], 0));
}

#[test]
fn sorting_keeps_the_row_number_of_the_cursor() {
    let mut harness = harness();
    harness.press("ctrl-f ctrl-f j");
    let before = (harness.app.videos.selected(), harness.app.videos.top());
    let at = |harness: &Harness| (harness.app.videos.selected(), harness.app.videos.top());
    harness.press("o z");
    assert_eq!(harness.app.videos.sort().by, Column::Size);
    assert_eq!(at(&harness), before);
    harness.press("o z");
    assert!(harness.app.videos.sort().descending);
    assert!(harness.shows("sorted by size, descending"));
    harness.press("O");
    assert_eq!((harness.app.videos.sort().by, harness.app.videos.sort().descending), (Column::Size, false));
    assert_eq!(at(&harness), before);
    // From now on the cursor stays on the video that it has come to.
    let video = under(&harness);
    harness.table.rows.iter_mut().find(|row| row.video == video).unwrap().size = 1;
    harness.table_changed();
    assert_eq!((under(&harness), harness.app.videos.selected()), (video, 0));
}

#[test]
fn retrying_leaves_the_cursor_on_its_video_and_excluding_on_its_row() {
    // From the table and from the details, and on the first row without a move before.
    for (keys, moves, next) in
        [("x", "", RowState::Excluded), ("x", "j j", RowState::Excluded), ("r", "", RowState::Queued)]
    {
        for details in [false, true] {
            let mut harness = harness();
            harness.knows_details = true;
            if !moves.is_empty() {
                harness.press(moves);
            }
            let (video, row) = (under(&harness), harness.app.videos.selected());
            if details {
                harness.press("enter");
            }
            harness.press(keys);
            harness.table.rows.iter_mut().find(|row| row.video == video).unwrap().state = next;
            harness.table_changed();
            if keys == "x" && !details {
                assert!(under(&harness) != video && harness.app.videos.selected() == row, "{moves}");
                continue;
            }
            assert_eq!(under(&harness), video, "{keys} {moves} {details}");
            assert!(harness.app.videos.selected() > 3);
            if next == RowState::Excluded {
                harness.press(keys);
                let Command::Exclude { select, undo } = harness.last_command() else { panic!() };
                assert_eq!((named(select), *undo), (vec![video.as_str()], true), "the same key takes it back");
            }
        }
    }
}

#[test]
fn a_video_that_leaves_the_filter_gives_the_cursor_to_the_next_one() {
    let mut harness = harness();
    harness.press("f f enter").press("j");
    let failed: Vec<String> =
        harness.table.rows.iter().filter(|row| row.state == RowState::Failed).map(|row| row.video.clone()).collect();
    let set = |harness: &mut Harness, video: &str, state| {
        harness.table.rows.iter_mut().find(|row| row.video == video).unwrap().state = state;
        harness.table_changed();
    };
    harness.press("x");
    set(&mut harness, &failed[1], RowState::Excluded);
    assert_eq!(under(&harness), failed[2]);
    set(&mut harness, &failed[0], RowState::Done);
    assert_eq!(under(&harness), failed[2], "from now on it stays on this one");
    harness.press("esc");
    assert_eq!(under(&harness), failed[2]);
}

#[test]
fn excluding_other_videos_leaves_the_cursor_on_its_video() {
    let mut harness = harness();
    harness.press("space space j j");
    let video = under(&harness);
    let marked: Vec<String> = harness
        .table
        .rows
        .iter()
        .filter(|row| row.state == RowState::Failed)
        .map(|row| row.video.clone())
        .take(2)
        .collect();
    harness.press("x");
    for row in harness.table.rows.iter_mut().filter(|row| marked.contains(&row.video)) {
        row.state = RowState::Excluded;
    }
    harness.table_changed();
    assert_eq!(under(&harness), video);
}

#[test]
fn the_cursor_follows_its_video_while_the_run_goes_on() {
    let mut harness = harness();
    harness.press("/").type_text("archery").press("enter j j j j j");
    let before = under(&harness);
    // Rows above the cursor get another state and move.
    for row in harness.table.rows.iter_mut().filter(|row| row.state == RowState::Failed) {
        row.state = RowState::Done;
    }
    harness.table_changed();
    assert_eq!(under(&harness), before);
    harness.press("esc");
    assert_eq!(under(&harness), before, "the cursor stays when the filter is cleared");
}

#[test]
fn enter_on_a_class_filters_by_it_and_escape_clears_it() {
    let mut harness = harness();
    harness.press("1 j j enter");
    assert_eq!((harness.app.videos.filter().class.as_deref(), harness.app.focus), (Some("Archery"), Pane::Videos));
    assert!(harness.line("2 Videos").contains("Archery") && harness.shows("▸ Archery"));
    harness.press("esc");
    assert_eq!(harness.app.videos.filter().class, None);
    harness.press("1 /").type_text("zum").press("enter j enter");
    assert_eq!(harness.app.videos.filter().class.as_deref(), Some("Zumba"));
    harness.press("1 o");
    assert!(harness.shows("by progress"));
}

#[test]
fn marks_are_set_singly_by_range_for_all_and_inverted() {
    let mut harness = harness();
    harness.press("space space j space");
    assert_eq!((harness.app.marks.len(), harness.app.videos.selected()), (3, 4));
    assert!(harness.line("2 Videos").contains("● 3 marked"));
    harness.press("A v j j j v");
    assert_eq!(harness.app.marks.len(), 4);
    harness.press("esc");
    assert!(harness.app.marks.is_empty());
    // A range that reaches beyond the rows held here.
    harness.press("g g v G v");
    assert_eq!(harness.app.marks.len(), 5_000);
    harness.press("A space i");
    assert_eq!(harness.app.marks.len(), 4_999);
    harness.press("A /").type_text("zumba").press("enter a");
    let zumba = harness.app.videos.total();
    assert_eq!(harness.app.marks.len(), zumba);
    // Marks outlast the filter.
    harness.press("esc");
    assert_eq!(harness.app.marks.len(), zumba);
    harness.press("v j esc");
    assert_eq!(
        (harness.app.videos.range(), harness.app.marks.len()),
        (None, zumba),
        "escape ends the range before it clears marks"
    );
}

#[test]
fn marking_very_many_marks_all_of_the_filter() {
    let mut harness = running(80, 24, many(30_000), gpus(1));
    harness.press("a");
    assert!(harness.app.marks.are_all() && harness.shows("30,000 marked"));
    harness.press("space");
    assert!(harness.has_toast("remove the marks"));
    harness.press("i");
    assert!(harness.app.marks.is_empty());
    harness.press("space i");
    assert!(harness.has_toast("too many to mark one by one"));
    assert!(harness.app.videos.held() <= 5 * harness.app.videos.height());
}

#[test]
fn the_log_scrolls_and_filters() {
    let mut harness = harness();
    harness.press("5 k k");
    assert!(harness.shows("scrolled back"));
    harness.press("G f f");
    assert_eq!(harness.app.log.count(), 8);
    harness.press("/").type_text("zumba").press("enter enter");
    assert!(harness.shows("failed Zumba/"), "{}", harness.screen());
    harness.press("esc esc");
    assert_eq!(harness.app.log.count(), 60);
}

#[test]
fn the_palette_runs_actions() {
    let mut harness = harness();
    harness.press("1 ctrl-p").type_text("mark all").press("enter");
    assert_eq!((harness.app.focus, harness.app.marks.len()), (Pane::Videos, 5_000));
    harness.press(":").type_text("zoom").press("enter");
    assert!(harness.app.zoom);
    harness.press(": esc");
    assert!(harness.app.modals.is_empty());
}

#[test]
fn names_are_copied_verbatim_and_shown_sanitized() {
    let mut harness = running(120, 40, vec![row("A/v_\u{1b}]0;x.mp4", RowState::Queued)], vec![]);
    harness.press("y");
    assert_eq!(harness.effects.pop(), Some(Effect::Copy("A/v_\u{1b}]0;x.mp4".into())));
    harness.press("Y");
    assert_eq!(harness.effects.pop(), Some(Effect::Copy("/data/hacs/A/v_\u{1b}]0;x.mp4".into())));
    assert!(harness.shows("\\u{1b}]0;x.mp4") && !harness.screen().contains('\u{1b}'));
}

#[test]
fn mouse_clicks_and_wheel() {
    let mut harness = harness();
    let mut mouse = |kind, column, row| {
        harness.send(Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
        (harness.app.focus, harness.app.videos.selected())
    };
    let click = MouseEventKind::Down(MouseButton::Left);
    assert_eq!(mouse(click, 60, 9), (Pane::Videos, 5));
    assert_eq!(mouse(MouseEventKind::ScrollDown, 60, 9), (Pane::Videos, 8));
    assert_eq!(mouse(click, 5, 5).0, Pane::Classes);
    assert_eq!(mouse(click, 60, 200).0, Pane::Classes, "a click outside of all panes does nothing");
    assert_eq!(harness.app.videos.filter(), &Filter { class: Some("Archery".into()), ..Filter::default() });
}

#[test]
fn snapshots_cause_requests_only_on_ticks() {
    let mut harness = harness();
    let before = harness.requests;
    for _ in 0..1_000 {
        harness.table.revision += 1;
        harness.snapshot.revision = harness.table.revision;
        let snapshot = harness.snapshot.clone();
        harness.receive(crate::protocol::FromEngine::Snapshot { id: None, snapshot });
    }
    assert_eq!(harness.requests, before, "no request before a tick");
    for _ in 0..4 {
        harness.advance(250);
    }
    assert!(harness.requests - before <= 4, "{}", harness.requests - before);
    harness.press("j");
    assert!(harness.app.now > Duration::ZERO);
}

#[test]
fn an_empty_table_says_why() {
    let mut harness = Harness::new(80, 24);
    harness.app.connection = crate::tui::app::Connection::Up(Box::new(super::fixtures::welcome()));
    harness.app.videos.rows(harness.app.videos.generation(), 0, 0, vec![]);
    assert!(harness.shows("Reading the dataset folder"), "the engine has not said that it has read it");
    harness.connect();
    assert!(harness.shows("No videos in"));
    harness.table.rows = vec![row("A/v_1.mp4", RowState::Done)];
    harness.table_changed();
    harness.press("F");
    assert!(harness.shows("No problems. esc shows all videos."), "{}", harness.screen());
    let mut starting = Harness::new(80, 24);
    starting.snapshot.phase = Phase::Starting;
    starting.connect();
    assert!(starting.shows("Reading the dataset folder") && !starting.shows("No videos in"));
}

#[test]
fn a_marked_row_under_the_cursor_shows_both() {
    let mut harness = running(80, 24, failing(), gpus(1));
    harness.press("space k");
    assert!(harness.line("◉ ").contains("failed"));
}
