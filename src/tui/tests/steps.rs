//! Moving about, looking for things, marking them.

use std::time::Duration;

use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::super::app::Pane;
use super::super::classes::PROBLEMS;
use super::super::update::{Effect, Msg};
use super::desk::Desk;
use super::made::{failing, gpus, many, row, running};
use crate::protocol::row::{Column, Filter, RowState};

fn desk() -> Desk {
    running(120, 40, many(5_000), gpus(2))
}

fn under(desk: &Desk) -> String {
    desk.app.videos.current().unwrap().video.clone()
}

#[test]
fn vim_and_arrow_keys_do_the_same() {
    let after = |keys: &str| {
        let mut desk = desk();
        desk.press("g g").press(keys);
        desk.app.videos.selected()
    };
    for (vim, arrows) in
        [("j j j", "down down down"), ("G", "end"), ("ctrl-f", "pgdn"), ("G ctrl-b", "end pgup"), ("G k", "end up")]
    {
        assert_eq!(after(vim), after(arrows), "{vim}");
    }
    assert_eq!((after("j j k"), after("G")), (1, 4_999));
    assert_eq!(after("ctrl-d"), after("ctrl-f").div_ceil(2));
    assert_eq!(after("j j j j g g"), 0);
    assert_eq!(after("g j"), 1, "a slip is forgiven");
}

#[test]
fn numbers_and_tab_lead_to_panes() {
    let mut desk = desk();
    for (key, pane) in [("1", Pane::Classes), ("4", Pane::Throughput), ("5", Pane::Log), ("2", Pane::Videos)] {
        desk.press(key);
        assert_eq!(desk.app.focus, pane);
    }
    desk.press("tab");
    assert_eq!(desk.app.focus, Pane::Devices);
    desk.press("backtab backtab backtab");
    assert_eq!(desk.app.focus, Pane::Log);
    desk.press("esc");
    assert_eq!(desk.app.focus, Pane::Videos);
}

#[test]
fn a_small_terminal_shows_the_pane_that_has_the_keys() {
    let mut desk = running(80, 24, many(50), gpus(2));
    assert!(desk.shows("2 Videos") && !desk.shows("5 Log") && desk.shows("cuda:1"));
    desk.press("5");
    assert!(desk.shows("5 Log") && !desk.shows("2 Videos"));
    let mut wide = self::desk();
    assert!(wide.shows("5 Log") && wide.shows("2 Videos"));
    wide.press("z");
    assert!(!wide.shows("5 Log") && wide.shows("2 Videos"));
    wide.press("esc");
    assert!(wide.shows("5 Log"));
}

#[test]
fn a_filter_works_as_it_is_typed_and_can_be_taken_back() {
    let mut desk = running(120, 40, failing(), gpus(2));
    let all = desk.app.videos.total();
    desk.press("/").typed("MOOV");
    assert_eq!(desk.app.videos.total(), 3);
    assert!(desk.line("2 Videos").contains("/MOOV"));
    desk.press("enter");
    assert!(desk.app.modals.is_empty());
    assert_eq!(desk.app.videos.total(), 3);
    desk.press("/").typed("x").press("esc");
    assert_eq!((desk.app.videos.total(), desk.app.videos.filter().text.as_str()), (3, "MOOV"), "as before");
    desk.press("esc");
    assert_eq!(desk.app.videos.total(), all);
    // State and name are looked at, too; keys move the cursor while one types.
    desk.press("/").typed("wrong dur").press("down down");
    assert_eq!((desk.app.videos.total(), desk.app.videos.selected()), (3, 2));
    desk.tell(Msg::Paste("nothing like that".into()));
    assert!(desk.shows("No video is like that. `esc` shows more."));
}

#[test]
fn states_and_problems_are_chosen_by_keys() {
    let mut desk = running(120, 40, failing(), gpus(0));
    desk.press("f f c esc");
    assert_eq!(desk.app.videos.filter().states, [RowState::Failed, RowState::Corrupt]);
    assert_eq!(desk.app.videos.total(), 3 + 3 + 2);
    desk.press("f c esc");
    assert_eq!(desk.app.videos.filter().states, [RowState::Failed]);
    desk.press("F");
    assert_eq!(desk.app.videos.filter().states, PROBLEMS);
    assert!(desk.line("2 Videos").contains("problems"));
    desk.press("F");
    assert_eq!(desk.app.videos.filter().states, []);
    desk.press("f j enter");
    assert_eq!((desk.app.videos.filter().states.as_slice(), desk.app.modals.len()), ([RowState::Failed].as_slice(), 0));
    desk.press("f a esc");
    assert_eq!(desk.app.videos.filter().states, []);
}

#[test]
fn any_column_sorts_and_the_cursor_stays_on_its_video() {
    let mut desk = desk();
    desk.press("ctrl-f ctrl-f j");
    let before = under(&desk);
    desk.press("o z");
    assert_eq!(desk.app.videos.sort().by, Column::Size);
    assert_eq!(under(&desk), before);
    desk.press("o z");
    assert!(desk.app.videos.sort().descending);
    assert!(desk.shows("by size ▾"));
    desk.press("O > <");
    assert_eq!((desk.app.videos.sort().by, desk.app.videos.sort().descending), (Column::Size, false));
    assert_eq!(under(&desk), before);
}

#[test]
fn the_cursor_follows_its_video_while_the_run_goes_on() {
    let mut desk = desk();
    desk.press("/").typed("archery").press("enter j j j j j");
    let before = under(&desk);
    // Those above it are done and go.
    for row in desk.table.rows.iter_mut().filter(|row| row.state == RowState::Failed) {
        row.state = RowState::Done;
    }
    desk.news();
    assert_eq!(under(&desk), before);
    desk.press("esc");
    assert_eq!(under(&desk), before, "and when the filter goes");
}

#[test]
fn a_class_is_chosen_and_left() {
    let mut desk = desk();
    desk.press("1 j j enter");
    assert_eq!((desk.app.videos.filter().class.as_deref(), desk.app.focus), (Some("Archery"), Pane::Videos));
    assert!(desk.line("2 Videos").contains("Archery") && desk.shows("▸ Archery"));
    desk.press("esc");
    assert_eq!(desk.app.videos.filter().class, None);
    desk.press("1 /").typed("zum").press("enter j enter");
    assert_eq!(desk.app.videos.filter().class.as_deref(), Some("Zumba"));
    desk.press("1 o");
    assert!(desk.shows("by progress"));
}

#[test]
fn marks_are_set_one_by_one_by_range_all_and_inverted() {
    let mut desk = desk();
    desk.press("space space j space");
    assert_eq!((desk.app.marks.len(), desk.app.videos.selected()), (3, 4));
    assert!(desk.line("2 Videos").contains("● 3 marked"));
    desk.press("A v j j j v");
    assert_eq!(desk.app.marks.len(), 4);
    desk.press("esc");
    assert!(desk.app.marks.is_empty());
    // A range that reaches beyond what is held here.
    desk.press("g g v G v");
    assert_eq!(desk.app.marks.len(), 5_000);
    desk.press("A space i");
    assert_eq!(desk.app.marks.len(), 4_999);
    desk.press("A /").typed("zumba").press("enter a");
    let zumba = desk.app.videos.total();
    assert_eq!(desk.app.marks.len(), zumba);
    // Marks stay when the filter goes.
    desk.press("esc");
    assert_eq!(desk.app.marks.len(), zumba);
    desk.press("v j esc");
    assert_eq!((desk.app.videos.range(), desk.app.marks.len()), (None, zumba), "a range is given up first");
}

#[test]
fn very_many_are_marked_as_all_of_a_filter() {
    let mut desk = running(80, 24, many(30_000), gpus(1));
    desk.press("a");
    assert!(desk.app.marks.are_all() && desk.shows("30,000 marked"));
    desk.press("space");
    assert!(desk.says("take the marks away"));
    desk.press("i");
    assert!(desk.app.marks.is_empty());
    desk.press("space i");
    assert!(desk.says("too many to be marked one by one"));
    assert!(desk.app.videos.held() <= 5 * desk.app.videos.height());
}

#[test]
fn the_log_is_read_back_and_filtered() {
    let mut desk = desk();
    desk.press("5 k k");
    assert!(desk.shows("older lines"));
    desk.press("G f f");
    assert_eq!(desk.app.log.count(), 8);
    desk.press("/").typed("zumba").press("enter enter");
    assert!(desk.shows("failed Zumba/"), "{}", desk.screen());
    desk.press("esc esc");
    assert_eq!(desk.app.log.count(), 60);
}

#[test]
fn the_palette_does_what_the_key_does() {
    let mut desk = desk();
    desk.press("1 ctrl-p").typed("mark all").press("enter");
    assert_eq!((desk.app.focus, desk.app.marks.len()), (Pane::Videos, 5_000));
    desk.press(":").typed("zoom").press("enter");
    assert!(desk.app.zoom);
    desk.press(": esc");
    assert!(desk.app.modals.is_empty());
}

#[test]
fn names_are_copied_as_they_are_and_shown_harmless() {
    let mut desk = running(120, 40, vec![row("A/v_\u{1b}]0;x.mp4", RowState::Ready)], vec![]);
    desk.press("y");
    assert_eq!(desk.effects.pop(), Some(Effect::Copy("A/v_\u{1b}]0;x.mp4".into())));
    desk.press("Y");
    assert_eq!(desk.effects.pop(), Some(Effect::Copy("/data/hacs/A/v_\u{1b}]0;x.mp4".into())));
    assert!(desk.shows("\\u{1b}]0;x.mp4") && !desk.screen().contains('\u{1b}'));
}

#[test]
fn the_mouse_points_and_scrolls() {
    let mut desk = desk();
    let mut mouse = |kind, column, row| {
        desk.tell(Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
        (desk.app.focus, desk.app.videos.selected())
    };
    let click = MouseEventKind::Down(MouseButton::Left);
    assert_eq!(mouse(click, 60, 9), (Pane::Videos, 5));
    assert_eq!(mouse(MouseEventKind::ScrollDown, 60, 9), (Pane::Videos, 8));
    assert_eq!(mouse(click, 5, 5).0, Pane::Classes);
    assert_eq!(mouse(click, 60, 200).0, Pane::Classes, "outside of everything");
    assert_eq!(desk.app.videos.filter(), &Filter { class: Some("Archery".into()), ..Filter::default() });
}

#[test]
fn what_has_happened_is_said_and_goes_by_itself() {
    use crate::protocol::event::Event;
    let mut desk = desk();
    desk.event(Event::Paused);
    desk.event(Event::Requeued { videos: 3 });
    assert!(desk.shows("paused") && desk.shows("3 to be tried again"));
    assert!(desk.app.log.held() == 62);
    desk.wait(20_000);
    assert!(desk.app.toasts.shown().is_empty());
}

#[test]
fn little_is_asked_however_often_the_engine_speaks() {
    let mut desk = desk();
    let before = desk.asked;
    for _ in 0..1_000 {
        desk.table.revision += 1;
        desk.snapshot.revision = desk.table.revision;
        let snapshot = desk.snapshot.clone();
        desk.hear(crate::protocol::FromEngine::Snapshot { id: None, snapshot });
    }
    assert_eq!(desk.asked, before, "nothing without a tick");
    for _ in 0..4 {
        desk.wait(250);
    }
    assert!(desk.asked - before <= 4, "{}", desk.asked - before);
    desk.press("j");
    assert!(desk.app.now > Duration::ZERO);
}
