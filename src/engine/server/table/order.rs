//! The rows sorted by name. Those of the first scan are sorted already; later and missing ones are merged into them.

use std::cmp::Ordering;

use super::{MISSING, Table};
use crate::engine::state::VideoId;

/// The sorted rows and the revision for which they were made.
#[derive(Debug, Default)]
pub(super) struct SortedRows {
    pub(super) ids: Vec<u32>,
    rows_revision: u64,
}

impl Table {
    /// All rows sorted by name, including those of files that are gone.
    pub(super) fn by_name(&mut self) -> &[u32] {
        if self.order.rows_revision != self.rows_revision {
            self.order = SortedRows { ids: self.sorted(), rows_revision: self.rows_revision };
        }
        &self.order.ids
    }

    fn sorted(&self) -> Vec<u32> {
        let base = self.files.sorted() as u32;
        let mut later: Vec<u32> = (base..self.files.len() as u32).collect();
        later.sort_unstable_by(|a, b| self.names_of_files(*a, *b));
        let without_file = self.missing().chain(self.others());
        let mut missing: Vec<(String, u32)> = without_file.filter_map(|id| Some((self.name(id)?, id))).collect();
        missing.sort_unstable();
        let files = merge((0..base).collect(), later, |a, b| self.names_of_files(*a, *b));
        let compare = |a: &u32, (name, _): &(String, u32)| self.file_name(*a).cmp(name.as_str());
        let mut all = Vec::with_capacity(files.len() + missing.len());
        let (mut files, mut missing) = (files.into_iter().peekable(), missing.into_iter().peekable());
        while let (Some(file), Some(gap)) = (files.peek(), missing.peek()) {
            match compare(file, gap) {
                Ordering::Greater => all.extend(missing.next().map(|(_, id)| id)),
                _ => all.extend(files.next()),
            }
        }
        all.extend(files);
        all.extend(missing.map(|(_, id)| id));
        all
    }

    fn file_name(&self, id: u32) -> &str {
        debug_assert_eq!(id & MISSING, 0);
        self.files.get(VideoId(id as usize)).map_or("", |file| file.name.as_str())
    }

    fn names_of_files(&self, a: u32, b: u32) -> Ordering {
        self.file_name(a).cmp(self.file_name(b))
    }
}

/// Merges two sorted lists.
fn merge(a: Vec<u32>, b: Vec<u32>, compare: impl Fn(&u32, &u32) -> Ordering) -> Vec<u32> {
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
