//! The rows sorted by name. Those of the first scan are sorted already; later and missing ones are merged into them.

use std::cmp::Ordering;

use super::{RowId, Table};
use crate::engine::state::VideoId;

/// The sorted rows and the revision for which they were made.
#[derive(Debug, Default)]
pub(super) struct SortedRows {
    pub(super) ids: Vec<RowId>,
    rows_revision: u64,
}

impl Table {
    /// All rows sorted by name, including those of files that are gone.
    pub(super) fn by_name(&mut self) -> &[RowId] {
        if self.order.rows_revision != self.rows_revision {
            self.order = SortedRows { ids: self.sorted(), rows_revision: self.rows_revision };
        }
        &self.order.ids
    }

    fn sorted(&self) -> Vec<RowId> {
        let base = self.files.sorted();
        let mut later: Vec<VideoId> = (base..self.files.len()).map(VideoId).collect();
        later.sort_unstable_by(|a, b| self.names_of_files(*a, *b));
        let without_file = self.missing().chain(self.others());
        let mut missing: Vec<(String, RowId)> = without_file.filter_map(|id| Some((self.name(id)?, id))).collect();
        missing.sort_unstable();
        let files = merge((0..base).map(VideoId).collect(), later, |a, b| self.names_of_files(*a, *b));
        let compare = |a: &VideoId, (name, _): &(String, RowId)| self.file_name(*a).cmp(name.as_str());
        let mut all = Vec::with_capacity(files.len() + missing.len());
        let (mut files, mut missing) = (files.into_iter().peekable(), missing.into_iter().peekable());
        while let (Some(file), Some(gap)) = (files.peek(), missing.peek()) {
            match compare(file, gap) {
                Ordering::Greater => all.extend(missing.next().map(|(_, id)| id)),
                _ => all.extend(files.next().map(RowId::from)),
            }
        }
        all.extend(files.map(RowId::from));
        all.extend(missing.map(|(_, id)| id));
        all
    }

    fn file_name(&self, id: VideoId) -> &str {
        self.files.get(id).map_or("", |file| file.name.as_str())
    }

    fn names_of_files(&self, a: VideoId, b: VideoId) -> Ordering {
        self.file_name(a).cmp(self.file_name(b))
    }
}

/// Merges two sorted lists.
fn merge(a: Vec<VideoId>, b: Vec<VideoId>, compare: impl Fn(&VideoId, &VideoId) -> Ordering) -> Vec<VideoId> {
    if b.is_empty() {
        return a;
    }
    let mut all = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
        let smaller = if compare(left, right) == Ordering::Greater { b.next() } else { a.next() };
        all.extend(smaller);
    }
    all.extend(a);
    all.extend(b);
    all
}
