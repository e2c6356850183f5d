//! The window of the video table that is held here: which rows to ask for, where the cursor is, and how it stays on its
//! video when rows move. The table itself is the engine's.

use crate::protocol::MAX_ROWS;
use crate::protocol::row::{Filter, Row, Sort};

/// What the table wants to know next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableQuery {
    /// A window.
    Rows {
        /// Rows to leave out.
        offset: usize,
        /// Rows to give.
        len: usize,
    },
    /// Where this video is.
    Locate {
        /// Which.
        video: String,
    },
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct VideoTable {
    filter: Filter,
    sort: Sort,
    /// Raised with filter and order: answers to older questions mean nothing.
    generation: u64,
    total: usize,
    /// The answer to the present question is here.
    known: bool,
    offset: usize,
    rows: Vec<Row>,
    selected: usize,
    top: usize,
    height: usize,
    /// The video that the user has put the cursor on. None at the first row: there the cursor stays at the top instead.
    anchor: Option<String>,
    /// The anchor is not among the rows of this filter.
    anchor_hidden: bool,
    /// The anchor is whatever row comes under the cursor.
    adopt_anchor: bool,
    locate_anchor: bool,
    stale: bool,
    in_flight: bool,
    range: Option<usize>,
}

impl VideoTable {
    /// Nothing known yet, in this order.
    pub fn new(sort: Sort) -> Self {
        Self { sort, height: 1, ..Self::default() }
    }

    /// Which videos.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// In which order.
    pub fn sort(&self) -> Sort {
        self.sort
    }

    /// How many the filter lets through, as of the last answer.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The last answer is to the present question.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// All that is seen is here, as an answer to the present question.
    pub fn is_settled(&self) -> bool {
        self.known && self.covers()
    }

    /// Raised with filter and order.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The row under the cursor, from 0.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// The first row that is seen.
    pub fn top(&self) -> usize {
        self.top
    }

    /// Where a range of marks begins.
    pub fn range(&self) -> Option<usize> {
        self.range
    }

    /// Rows held at present.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.rows.len()
    }

    /// A row, where it is here.
    pub fn row(&self, index: usize) -> Option<&Row> {
        self.rows.get(index.checked_sub(self.offset)?)
    }

    /// The row under the cursor, where it is here.
    pub fn current(&self) -> Option<&Row> {
        self.row(self.selected)
    }

    /// So many rows are seen at a time.
    pub fn set_height(&mut self, height: usize) {
        self.height = height.max(1);
        self.scroll_to_cursor();
    }

    /// So many rows are seen at a time.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Other videos or another order.
    pub fn set_view(&mut self, filter: Filter, sort: Sort) {
        if self.filter == filter && self.sort == sort {
            return;
        }
        (self.filter, self.sort) = (filter, sort);
        self.generation += 1;
        self.known = false;
        self.range = None;
        self.anchor_hidden = false;
        self.locate_anchor = self.anchor.is_some();
        if !self.locate_anchor {
            (self.selected, self.top) = (0, 0);
        }
    }

    /// Everything may be different: another engine answers.
    pub fn invalidate(&mut self) {
        self.generation += 1;
        (self.known, self.in_flight) = (false, false);
        self.locate_anchor = self.anchor.is_some() && !self.anchor_hidden;
    }

    /// Videos have changed. While a range is being chosen nothing moves.
    pub fn mark_stale(&mut self) {
        self.stale |= self.range.is_none();
    }

    /// Puts the cursor on a row.
    pub fn move_to(&mut self, index: usize) {
        self.selected = index.min(self.total.saturating_sub(1));
        self.anchor_hidden = false;
        self.locate_anchor = false;
        self.anchor = match self.selected {
            0 => None,
            _ => self.current().map(|row| row.video.clone()),
        };
        self.adopt_anchor = self.selected > 0 && self.anchor.is_none();
        self.scroll_to_cursor();
    }

    /// Puts the cursor so many rows further down, or up.
    pub fn move_by(&mut self, by: isize) {
        self.move_to(self.selected.saturating_add_signed(by));
    }

    /// Begins a range of marks at the cursor, or gives the one begun and ends it.
    pub fn toggle_range(&mut self) -> Option<(usize, usize)> {
        match self.range.take() {
            Some(from) => Some((from.min(self.selected), from.max(self.selected))),
            None => {
                self.range = Some(self.selected);
                None
            }
        }
    }

    /// No range any more; whether there was one.
    pub fn end_range(&mut self) -> bool {
        self.range.take().is_some()
    }

    fn scroll_to_cursor(&mut self) {
        if self.selected < self.top {
            self.top = self.selected;
        }
        if self.selected >= self.top + self.height {
            self.top = self.selected + 1 - self.height;
        }
        self.top = self.top.min(self.total.saturating_sub(self.height.min(self.total)));
        self.top = self.top.min(self.selected);
    }

    /// The window to hold: what is seen, and two screens on either side.
    fn window(&self) -> (usize, usize) {
        let offset = self.top.saturating_sub(2 * self.height);
        (offset, (self.top - offset + 3 * self.height).min(MAX_ROWS))
    }

    /// What is seen is here, with half a screen to spare where there is more.
    fn covers(&self) -> bool {
        let spare = self.height / 2;
        let from = self.top.saturating_sub(spare);
        let to = (self.top + self.height + spare).min(self.total);
        self.offset <= from && to <= self.offset + self.rows.len()
    }

    /// What to ask next; nothing while a question is open. Whoever takes it asks it.
    pub fn next_query(&mut self) -> Option<TableQuery> {
        if self.in_flight {
            return None;
        }
        if self.locate_anchor
            && let Some(video) = self.anchor.clone()
        {
            self.in_flight = true;
            return Some(TableQuery::Locate { video });
        }
        if self.known && !self.stale && self.covers() {
            return None;
        }
        self.in_flight = true;
        self.stale = false;
        let (offset, len) = self.window();
        Some(TableQuery::Rows { offset, len })
    }

    /// Rows have come for a question of that generation.
    pub fn rows(&mut self, generation: u64, offset: usize, total: usize, rows: Vec<Row>) {
        if generation != self.generation {
            self.in_flight = false;
            return;
        }
        (self.in_flight, self.known) = (false, true);
        (self.total, self.offset, self.rows) = (total, offset, rows);
        self.selected = self.selected.min(total.saturating_sub(1));
        self.scroll_to_cursor();
        self.restore_cursor();
    }

    /// Keeps the cursor on its video.
    fn restore_cursor(&mut self) {
        if std::mem::take(&mut self.adopt_anchor) {
            self.anchor = self.current().map(|row| row.video.clone());
        }
        let Some(anchor) = self.anchor.as_deref().filter(|_| !self.anchor_hidden && self.range.is_none()) else {
            return;
        };
        if self.current().is_some_and(|row| row.video == anchor) {
            return;
        }
        match self.rows.iter().position(|row| row.video == anchor) {
            Some(place) => self.jump(self.offset + place),
            None => self.locate_anchor = true,
        }
    }

    /// The cursor's video is elsewhere now: it keeps its line on the screen where that is possible.
    fn jump(&mut self, index: usize) {
        let line = self.selected - self.top.min(self.selected);
        self.selected = index;
        self.top = index.saturating_sub(line);
        self.scroll_to_cursor();
    }

    /// The anchor's place has come for a question of that generation.
    pub fn place(&mut self, generation: u64, offset: Option<usize>, total: usize) {
        self.in_flight = false;
        if generation != self.generation {
            return;
        }
        self.locate_anchor = false;
        let fresh = !self.known;
        self.total = total;
        match offset {
            Some(offset) => self.jump(offset),
            None => {
                self.anchor_hidden = true;
                if fresh {
                    (self.selected, self.top) = (0, 0);
                }
            }
        }
        self.selected = self.selected.min(total.saturating_sub(1));
        self.scroll_to_cursor();
    }

    /// A question could not be answered.
    pub fn query_failed(&mut self) {
        (self.in_flight, self.locate_anchor) = (false, false);
        self.known = true;
    }
}

#[cfg(test)]
mod tests;
