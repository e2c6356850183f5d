//! The table against an engine that answers late or not at all.

use super::*;
use crate::protocol::row::{Column, Findings, RowState};
use proptest::prelude::*;

/// The names of a table, in an order that the test changes.
struct Engine(Vec<String>);

impl Engine {
    fn new(n: usize) -> Self {
        Self((0..n).map(|i| format!("A/v_{i:05}.mp4")).collect())
    }

    fn row(name: &str) -> Row {
        Row {
            video: name.into(),
            state: RowState::Queued,
            findings: Findings::default(),
            has_feature: false,
            leaves: false,
            size: 1,
            attempts: 0,
            reason: None,
            facts: None,
        }
    }

    /// Answers until no question is left. Returns the largest number of rows held.
    fn serve(&self, table: &mut VideoTable) -> usize {
        let mut most = 0;
        let found: Vec<&String> = self.0.iter().filter(|name| name.contains(&table.filter().text)).collect();
        for _ in 0..10 {
            let Some(query) = table.next_query() else { return most };
            match query {
                TableQuery::Rows { offset, len } => {
                    assert!(len <= MAX_ROWS);
                    let rows = found.iter().skip(offset).take(len).map(|name| Self::row(name)).collect();
                    table.rows(table.generation(), offset, found.len(), rows);
                }
                TableQuery::Locate { video } => {
                    let place = found.iter().position(|name| **name == video);
                    table.place(table.generation(), place, found.len());
                }
            }
            most = most.max(table.held());
        }
        panic!("requests never end");
    }
}

fn table(engine: &Engine) -> VideoTable {
    let mut table = VideoTable::new(Sort::default());
    table.set_height(20);
    engine.serve(&mut table);
    table
}

fn under(table: &VideoTable) -> &str {
    &table.current().unwrap().video
}

#[test]
fn only_visible_rows_and_a_margin_are_held() {
    let engine = Engine::new(10_000);
    let mut table = table(&engine);
    for to in [9_999, 0, 5_000, 5_015, 5_030] {
        table.move_to(to);
        assert!(engine.serve(&mut table) <= 20 * 5);
        assert_eq!(under(&table), format!("A/v_{to:05}.mp4"));
        assert!(table.top() <= to && to < table.top() + 20);
    }
    table.move_to(7_000);
    engine.serve(&mut table);
    table.move_by(3);
    assert_eq!(table.next_query(), None, "a move within the margin needs no request");
}

#[test]
fn the_cursor_stays_on_its_video_when_rows_move() {
    let mut engine = Engine::new(1_000);
    let mut table = table(&engine);
    table.move_to(500);
    engine.serve(&mut table);
    let line = table.selected() - table.top();
    let name = under(&table).to_owned();
    // First a few rows, then far away.
    engine.0.remove(3);
    table.mark_stale();
    engine.serve(&mut table);
    assert_eq!((under(&table), table.selected(), table.selected() - table.top()), (name.as_str(), 499, line));
    let moved = engine.0.remove(499);
    engine.0.push(moved);
    table.mark_stale();
    engine.serve(&mut table);
    assert_eq!((under(&table), table.selected()), (name.as_str(), 998));
    // The video is gone: the cursor stays where it was, and the table does not look for it forever.
    engine.0.pop();
    table.mark_stale();
    engine.serve(&mut table);
    assert_eq!(table.selected(), 997);
}

#[test]
fn the_cursor_at_the_top_stays_at_the_top() {
    let mut engine = Engine::new(100);
    let mut table = table(&engine);
    let first = engine.0.remove(0);
    engine.0.push(first);
    table.mark_stale();
    engine.serve(&mut table);
    assert_eq!((table.selected(), under(&table)), (0, "A/v_00001.mp4"));
}

#[test]
fn the_cursor_on_the_first_row_stays_on_its_video_once_the_user_has_gone_there() {
    let mut engine = Engine::new(100);
    let mut table = table(&engine);
    table.move_by(1);
    table.move_by(-1);
    engine.serve(&mut table);
    let first = engine.0.remove(0);
    engine.0.push(first.clone());
    table.mark_stale();
    engine.serve(&mut table);
    assert_eq!((table.selected(), under(&table)), (99, first.as_str()));
    // Beyond the first row is the first row.
    table.move_to(0);
    table.move_by(-1);
    engine.serve(&mut table);
    engine.0.swap(0, 50);
    table.mark_stale();
    engine.serve(&mut table);
    assert_eq!((table.selected(), under(&table)), (50, engine.0[50].as_str()));
}

#[test]
fn an_action_on_the_first_row_ties_the_cursor_to_its_video() {
    let mut engine = Engine::new(100);
    let mut table = table(&engine);
    table.pin();
    let first = engine.0.remove(0);
    engine.0.push(first.clone());
    table.mark_stale();
    engine.serve(&mut table);
    assert_eq!((table.selected(), under(&table)), (99, first.as_str()));
}

#[test]
fn the_cursor_stays_on_the_video_that_a_filter_has_brought_under_it() {
    let mut engine = Engine::new(1_000);
    let mut table = table(&engine);
    table.move_to(700);
    engine.serve(&mut table);
    table.set_view(Filter { text: "v_0012".into(), ..Filter::default() }, Sort::default());
    engine.serve(&mut table);
    assert_eq!(under(&table), "A/v_00129.mp4");
    let moved = engine.0.remove(129);
    engine.0.insert(0, moved);
    table.mark_stale();
    engine.serve(&mut table);
    assert_eq!((table.selected(), under(&table)), (0, "A/v_00129.mp4"));
    table.set_view(Filter::default(), Sort::default());
    engine.serve(&mut table);
    assert_eq!(under(&table), "A/v_00700.mp4", "without the filter, the cursor returns");
}

#[test]
fn the_cursor_returns_to_its_video_after_a_filter() {
    let engine = Engine::new(1_000);
    let mut table = table(&engine);
    table.move_to(700);
    engine.serve(&mut table);
    let look = |table: &mut VideoTable, text: &str| {
        table.set_view(Filter { text: text.into(), ..Filter::default() }, Sort::default());
        engine.serve(table);
    };
    look(&mut table, "v_007");
    assert_eq!((table.total(), under(&table)), (100, "A/v_00700.mp4"), "the filter matches the cursor's video");
    look(&mut table, "v_0012");
    assert_eq!((table.total(), under(&table)), (10, "A/v_00120.mp4"));
    look(&mut table, "nothing");
    assert_eq!((table.total(), table.current()), (0, None));
    look(&mut table, "");
    assert_eq!((table.selected(), under(&table)), (700, "A/v_00700.mp4"));
}

#[test]
fn the_video_found_by_a_chosen_filter_stays_under_the_cursor_however_late_the_rows_arrive() {
    for is_late in [false, true] {
        let engine = Engine::new(1_000);
        let mut table = table(&engine);
        table.move_to(700);
        engine.serve(&mut table);
        table.set_view(Filter { text: "v_00123".into(), ..Filter::default() }, Sort::default());
        if !is_late {
            engine.serve(&mut table);
        }
        table.keep_filter();
        engine.serve(&mut table);
        table.set_view(Filter::default(), Sort::default());
        engine.serve(&mut table);
        assert_eq!((table.selected(), under(&table)), (123, "A/v_00123.mp4"), "late: {is_late}");
    }
}

#[test]
fn a_filter_that_hides_the_video_keeps_the_row_number() {
    let engine = Engine::new(1_000);
    let mut table = table(&engine);
    table.move_to(7);
    engine.serve(&mut table);
    table.set_view(Filter { text: "v_001".into(), ..Filter::default() }, Sort::default());
    engine.serve(&mut table);
    assert_eq!((table.selected(), under(&table)), (7, "A/v_00107.mp4"));
}

#[test]
fn answers_of_older_generations_are_ignored() {
    let engine = Engine::new(10);
    let mut table = table(&engine);
    let old = table.generation();
    table.set_view(Filter::default(), Sort { by: Column::Size, descending: false });
    assert!(table.next_query().is_some());
    assert_eq!(table.next_query(), None, "one request at a time");
    table.rows(old, 0, 1, vec![Engine::row("A/old.mp4")]);
    assert_eq!(table.total(), 10);
    assert!(table.next_query().is_some(), "the request is repeated for the new generation");
}

#[test]
fn rows_do_not_move_while_a_range_is_open() {
    let mut engine = Engine::new(100);
    let mut table = table(&engine);
    table.move_to(10);
    assert_eq!(table.toggle_range(), None);
    table.move_by(5);
    engine.0.remove(0);
    table.mark_stale();
    engine.serve(&mut table);
    assert_eq!(table.selected(), 15);
    assert_eq!(table.toggle_range(), Some((10, 15)));
}

proptest! {
    #[test]
    fn the_cursor_is_always_visible(
        n in 0usize..300,
        steps in proptest::collection::vec((0u8..5, 0usize..400), 0..40),
    ) {
        let mut engine = Engine::new(n);
        let mut table = table(&engine);
        for (what, amount) in steps {
            match what {
                0 => table.move_to(amount),
                1 => table.move_by(-(amount as isize)),
                2 => table.set_height(amount % 60),
                3 => {
                    if !engine.0.is_empty() {
                        let at = amount % engine.0.len();
                        engine.0.remove(at);
                    }
                    table.mark_stale();
                }
                _ => {
                    let text = format!("{}", amount % 30);
                    table.set_view(Filter { text, ..Filter::default() }, Sort::default());
                }
            }
            engine.serve(&mut table);
            prop_assert!(table.selected() < table.total().max(1));
            prop_assert!(table.top() <= table.selected());
            prop_assert!(table.selected() < table.top() + table.height());
            prop_assert_eq!(table.current().is_some(), table.total() > 0);
        }
    }
}
