//! The part of the video table that is held here: which rows to request, and where the cursor is. The cursor stays on its
//! video when rows move, and on its row number when the user sorts them. The engine holds the whole table.

use super::text;
use crate::protocol::MAX_ROWS;
use crate::protocol::row::{Filter, Row, RowState, Sort};

/// A question to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TableQuery {
    Rows {
        offset: usize,
        len: usize,
    },
    /// The position of a video.
    Locate {
        video: String,
    },
}

#[derive(Clone, Debug, Default)]
pub(super) struct VideoTable {
    filter: Filter,
    sort: Sort,
    /// Raised with each new filter or order. Answers to older generations are ignored.
    generation: u64,
    total: usize,
    /// The rows answer the current generation.
    known: bool,
    offset: usize,
    rows: Vec<Row>,
    selected: usize,
    top: usize,
    height: usize,
    /// The video that the cursor stays on. `None` until the user moves the cursor or acts on a row: until then the cursor stays on
    /// the first row.
    anchor: Option<String>,
    /// The video that the cursor was on before a filter hid it. The next filter that matches it returns the cursor.
    hidden: Option<String>,
    /// The anchor that the user has just excluded or included, and its state before. If it is sorted elsewhere, the cursor keeps its
    /// row and goes to the next video: so many videos are excluded with one key.
    leaving: Option<(String, RowState)>,
    /// The next row under the cursor becomes the anchor.
    adopt_anchor: bool,
    /// The filter was chosen before its rows have arrived: the cursor stays on the first of them.
    keeps_next: bool,
    locate_anchor: bool,
    stale: bool,
    in_flight: bool,
    range: Option<usize>,
    widest: Widest,
}

/// The columns that the widest texts of the rows take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Widest {
    pub file: usize,
    pub class: usize,
    pub reason: usize,
}

impl Widest {
    fn include(&mut self, row: &Row) {
        let wide = |text: &str| text::width(&text::sanitized(text));
        let (class, file) = row.video.split_once('/').unwrap_or(("", &row.video));
        self.file = self.file.max(wide(file));
        self.class = self.class.max(wide(class));
        self.reason = self.reason.max(row.reason.as_deref().map_or(0, wide));
    }
}

impl VideoTable {
    /// An empty table in this order.
    pub(super) fn new(sort: Sort) -> Self {
        Self { sort, height: 1, ..Self::default() }
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(super) fn sort(&self) -> Sort {
        self.sort
    }

    /// The number of rows that match the filter, as of the last answer.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// All visible rows are held and answer the current generation.
    pub(super) fn is_current(&self) -> bool {
        self.known && self.covers()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The index of the row under the cursor.
    pub(super) fn selected(&self) -> usize {
        self.selected
    }

    /// The index of the first visible row.
    pub(super) fn top(&self) -> usize {
        self.top
    }

    /// Of all rows seen with this filter and order, so that the columns of the screen do not move with each line scrolled.
    pub(super) fn widest(&self) -> Widest {
        self.widest
    }

    /// The start of a range of marks.
    pub(super) fn range(&self) -> Option<usize> {
        self.range
    }

    /// The number of rows held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.rows.len()
    }

    /// `None` if the row is not held.
    pub(super) fn row(&self, index: usize) -> Option<&Row> {
        self.rows.get(index.checked_sub(self.offset)?)
    }

    /// The row under the cursor; `None` if it is not held.
    pub(super) fn current(&self) -> Option<&Row> {
        self.row(self.selected)
    }

    pub(super) fn set_height(&mut self, height: usize) {
        self.height = height.max(1);
        self.scroll_to_cursor();
    }

    /// The number of rows that fit on the screen.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// Sets the filter and the order.
    pub(super) fn set_view(&mut self, filter: Filter, sort: Sort) {
        if self.filter == filter && self.sort == sort {
            return;
        }
        let sorted = self.filter == filter;
        (self.filter, self.sort) = (filter, sort);
        self.generation += 1;
        (self.known, self.keeps_next) = (false, false);
        self.widest = Widest::default();
        self.range = None;
        // Sorting is about the rows at this place, filtering is about the video.
        if sorted {
            self.anchor = None;
            self.adopt_anchor = self.selected > 0;
        } else if let Some(hidden) = self.hidden.take() {
            self.anchor = Some(hidden);
        }
        self.locate_anchor = self.anchor.is_some();
    }

    /// The user acts on the row under the cursor, which stays on its video from now on.
    pub(super) fn pin(&mut self) {
        if let Some(row) = self.current() {
            self.anchor = Some(row.video.clone());
            self.hidden = None;
        }
    }

    /// The user has chosen this filter: the cursor stays on its video when the filter is cleared.
    pub(super) fn keep_filter(&mut self) {
        match self.known {
            _ if self.filter.text.is_empty() => {}
            true => self.pin(),
            false => self.keeps_next = true,
        }
    }

    /// A different engine answers now: everything is requested anew.
    pub(super) fn invalidate(&mut self) {
        self.generation += 1;
        (self.known, self.in_flight) = (false, false);
        self.locate_anchor = self.anchor.is_some();
    }

    /// Videos have changed. The rows are not refreshed while a range is being chosen.
    pub(super) fn mark_stale(&mut self) {
        self.stale |= self.range.is_none();
    }

    /// Moves the cursor to the first row of the next answer, which is another list.
    pub(super) fn move_to_top(&mut self) {
        self.move_to(0);
        (self.anchor, self.adopt_anchor) = (None, true);
    }

    /// Moves the cursor to a row.
    pub(super) fn move_to(&mut self, index: usize) {
        self.selected = index.min(self.total.saturating_sub(1));
        (self.hidden, self.leaving, self.locate_anchor) = (None, None, false);
        self.anchor = self.current().map(|row| row.video.clone());
        self.adopt_anchor = self.anchor.is_none();
        self.scroll_to_cursor();
    }

    /// The cursor does not follow its video, which the user excludes or includes.
    pub(super) fn let_go(&mut self) {
        self.leaving = self.current().map(|row| (row.video.clone(), row.state));
        self.anchor = self.leaving.as_ref().map(|(video, _)| video.clone());
    }

    pub(super) fn move_by(&mut self, by: isize) {
        match self.selected.checked_add_signed(by) {
            Some(index) => self.move_to(index),
            // Beyond the first row.
            None if by < 0 => self.move_to(0),
            None => self.move_to(usize::MAX),
        }
    }

    /// Starts a range of marks at the cursor. Ends a range that was started, and returns its first and last row.
    pub(super) fn toggle_range(&mut self) -> Option<(usize, usize)> {
        let ended = self.finish_range();
        if ended.is_none() {
            self.range = Some(self.selected);
        }
        ended
    }

    /// Ends a range that was started, and returns its first and last row.
    pub(super) fn finish_range(&mut self) -> Option<(usize, usize)> {
        self.range.take().map(|from| (from.min(self.selected), from.max(self.selected)))
    }

    /// Ends a range; true if there was one.
    pub(super) fn end_range(&mut self) -> bool {
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

    /// The rows to hold: the visible ones and two screens on either side.
    fn window(&self) -> (usize, usize) {
        let offset = self.top.saturating_sub(2 * self.height);
        (offset, (self.top - offset + 3 * self.height).min(MAX_ROWS))
    }

    /// The visible rows are held, with half a screen to spare if there are more.
    fn covers(&self) -> bool {
        let spare = self.height / 2;
        let from = self.top.saturating_sub(spare);
        let to = (self.top + self.height + spare).min(self.total);
        self.offset <= from && to <= self.offset + self.rows.len()
    }

    /// The next question, which counts as sent. `None` while one is in flight.
    pub(super) fn next_query(&mut self) -> Option<TableQuery> {
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

    /// Takes the answer to [`TableQuery::Rows`].
    pub(super) fn rows(&mut self, generation: u64, offset: usize, total: usize, rows: Vec<Row>) {
        if generation != self.generation {
            self.in_flight = false;
            return;
        }
        (self.in_flight, self.known) = (false, true);
        rows.iter().for_each(|row| self.widest.include(row));
        (self.total, self.offset, self.rows) = (total, offset, rows);
        self.selected = self.selected.min(total.saturating_sub(1));
        self.scroll_to_cursor();
        self.restore_cursor();
        if std::mem::take(&mut self.keeps_next) {
            self.pin();
        }
    }

    /// Puts the cursor back on its video.
    fn restore_cursor(&mut self) {
        if std::mem::take(&mut self.adopt_anchor) {
            self.anchor = self.current().map(|row| row.video.clone());
        }
        let Some(anchor) = self.anchor.as_deref().filter(|_| self.range.is_none()) else { return };
        if let Some(row) = self.current().filter(|row| row.video == anchor) {
            if self.leaving.as_ref().is_some_and(|(_, before)| *before != row.state) {
                self.leaving = None;
            }
            return;
        }
        if self.leaving.take().is_some_and(|(video, _)| video == anchor) {
            self.anchor = self.current().map(|row| row.video.clone());
            return;
        }
        match self.rows.iter().position(|row| row.video == anchor) {
            Some(place) => self.jump(self.offset + place),
            None => self.locate_anchor = true,
        }
    }

    /// Moves the cursor to the new position of its video and keeps its line on the screen if possible.
    fn jump(&mut self, index: usize) {
        let line = self.selected - self.top.min(self.selected);
        self.selected = index;
        self.top = index.saturating_sub(line);
        self.scroll_to_cursor();
    }

    /// Takes the answer to [`TableQuery::Locate`].
    pub(super) fn place(&mut self, generation: u64, offset: Option<usize>, total: usize) {
        self.in_flight = false;
        if generation != self.generation {
            return;
        }
        self.locate_anchor = false;
        self.total = total;
        match offset {
            Some(offset) => self.jump(offset),
            // The video has left the view by itself, and the cursor moves on to the next one.
            None if self.known => self.anchor = self.current().map(|row| row.video.clone()),
            None => {
                self.hidden = self.anchor.take();
                self.adopt_anchor = true;
            }
        }
        self.selected = self.selected.min(total.saturating_sub(1));
        self.scroll_to_cursor();
    }

    /// The engine could not answer.
    pub(super) fn query_failed(&mut self) {
        (self.in_flight, self.locate_anchor) = (false, false);
        self.known = true;
    }
}

#[cfg(test)]
mod tests;
