//! Collecting names for marks from rows that are not held here, a window at a time.

use super::super::app::{App, Tag};
use super::super::marks::MOST;
use super::Effect;
use crate::engine::protocol::row::{Filter, Row, RowState, Sort};
use crate::engine::protocol::words::Level;
use crate::engine::protocol::{MAX_ROWS, ToEngine};

/// What becomes of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// They are marked.
    Mark,
    /// They are marked where they were not, and the other way round.
    Invert,
}

/// Names on their way.
#[derive(Clone, Debug)]
pub struct Gather {
    filter: Filter,
    sort: Sort,
    next: usize,
    to: usize,
    names: Vec<(String, RowState)>,
    then: Then,
}

/// Begins with rows `from..to` of the present view.
pub(super) fn begin(app: &mut App, from: usize, to: usize, then: Then, effects: &mut Vec<Effect>) {
    if to.saturating_sub(from) > MOST {
        return app.say(Level::Info, format!("no more than {MOST} are marked one by one"));
    }
    let here: Option<Vec<(String, RowState)>> =
        (from..to).map(|index| app.videos.row(index).map(|row| (row.video.clone(), row.state))).collect();
    let (filter, sort) = (app.videos.filter().clone(), app.videos.sort());
    let mut gather = Gather { filter, sort, next: from, to, names: vec![], then };
    match here {
        Some(names) => {
            gather.names = names;
            finish(app, gather);
        }
        None => ask(app, gather, effects),
    }
}

fn ask(app: &mut App, gather: Gather, effects: &mut Vec<Effect>) {
    let (filter, sort, offset) = (gather.filter.clone(), gather.sort, gather.next);
    let len = (gather.to - gather.next).min(MAX_ROWS);
    app.gather = Some(gather);
    app.ask(Tag::Gather, |id| ToEngine::Query { id, filter, sort, offset, len }, effects);
}

/// Some have come.
pub(super) fn rows(app: &mut App, total: usize, rows: Vec<Row>, effects: &mut Vec<Effect>) {
    let Some(mut gather) = app.gather.take() else { return };
    gather.next += rows.len();
    let none = rows.is_empty();
    gather.names.extend(rows.into_iter().map(|row| (row.video, row.state)));
    if none || gather.next >= gather.to.min(total) {
        finish(app, gather);
    } else {
        ask(app, gather, effects);
    }
}

fn finish(app: &mut App, gather: Gather) {
    let marked = match gather.then {
        Then::Mark => gather.names.into_iter().try_for_each(|(video, state)| app.marks.add(&video, state)),
        Then::Invert => app.marks.invert(gather.names.into_iter()),
    };
    if let Err(reason) = marked {
        app.say(Level::Info, reason);
    }
    app.touch(super::super::app::Dirty::Now);
}
