//! Marks many rows. Rows that are not held here are requested page by page.

use super::Effect;
use crate::protocol::row::{Row, RowState};
use crate::protocol::words::Level;
use crate::protocol::{MAX_ROWS, ToEngine};
use crate::tui::action::Action;
use crate::tui::app::{App, PendingRequest};
use crate::tui::marks::{BulkMark, MAX_NAMED, MarkOperation};

/// Marks the rows `from..to` of the current view. Returns what is to be done with them now.
pub(super) fn begin(
    app: &mut App,
    from: usize,
    to: usize,
    operation: MarkOperation,
    effects: &mut Vec<Effect>,
) -> Option<Action> {
    if to.saturating_sub(from) > MAX_NAMED {
        app.say(Level::Info, format!("at most {MAX_NAMED} videos can be marked one by one"));
        return None;
    }
    let here: Option<Vec<(String, RowState)>> =
        (from..to).map(|index| app.videos.row(index).map(|row| (row.video.clone(), row.state))).collect();
    let (filter, sort) = (app.videos.filter().clone(), app.videos.sort());
    let mut bulk_mark = BulkMark { filter, sort, next: from, to, names: vec![], operation };
    match here {
        Some(names) => {
            bulk_mark.names = names;
            finish(app, bulk_mark)
        }
        None => {
            ask(app, bulk_mark, effects);
            None
        }
    }
}

fn ask(app: &mut App, bulk_mark: BulkMark, effects: &mut Vec<Effect>) {
    let (filter, sort, offset) = (bulk_mark.filter.clone(), bulk_mark.sort, bulk_mark.next);
    let len = (bulk_mark.to - bulk_mark.next).min(MAX_ROWS);
    app.bulk_mark = Some(bulk_mark);
    app.ask(PendingRequest::BulkMark, |id| ToEngine::Query { id, filter, sort, offset, len }, effects);
}

/// Takes the answer to a request for rows. Returns what is to be done with the marked videos, when all are marked.
pub(super) fn rows(app: &mut App, total: usize, rows: Vec<Row>, effects: &mut Vec<Effect>) -> Option<Action> {
    let mut bulk_mark = app.bulk_mark.take()?;
    bulk_mark.next += rows.len();
    let none = rows.is_empty();
    bulk_mark.names.extend(rows.into_iter().map(|row| (row.video, row.state)));
    if none || bulk_mark.next >= bulk_mark.to.min(total) {
        finish(app, bulk_mark)
    } else {
        ask(app, bulk_mark, effects);
        None
    }
}

fn finish(app: &mut App, bulk_mark: BulkMark) -> Option<Action> {
    let marked = match bulk_mark.operation {
        MarkOperation::Mark | MarkOperation::MarkAnd(_) => {
            bulk_mark.names.into_iter().try_for_each(|(video, state)| app.marks.add(&video, state))
        }
        MarkOperation::Invert => app.marks.invert(bulk_mark.names.into_iter()),
    };
    if let Err(reason) = marked {
        app.say(Level::Info, reason);
    }
    app.touch(crate::tui::app::Dirty::Now);
    match bulk_mark.operation {
        MarkOperation::MarkAnd(action) => Some(action),
        MarkOperation::Mark | MarkOperation::Invert => None,
    }
}
