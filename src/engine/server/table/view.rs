//! Views: the rows that pass a filter, sorted.

use super::{RowId, RowKind, Table};
use crate::protocol::row::{Column, Filter, Finding, Row, RowState, Sort};

/// The sorted rows that pass a filter, as of a revision of the table.
pub(crate) struct View {
    /// The filter.
    pub filter: Filter,
    /// The sort order.
    pub sort: Sort,
    /// The rows.
    pub ids: Vec<RowId>,
    /// The revision of the table when it was made.
    pub revision: u64,
}

impl Table {
    /// Filters and sorts the whole table.
    pub(crate) fn view(&mut self, filter: Filter, sort: Sort) -> View {
        let needle = filter.text.to_lowercase();
        let class = filter.class.as_ref().map(|class| self.classes.get_index_of(class.as_str()));
        self.by_name();
        let mut ids: Vec<RowId> = match class {
            // There is no such class.
            Some(None) => vec![],
            Some(Some(class)) => {
                let of_class = |id: &&RowId| self.class_of(**id) == Some(class as u32);
                self.order.ids.iter().filter(of_class).copied().collect()
            }
            None => self.order.ids.clone(),
        };
        ids.retain(|id| self.passes(*id, &filter, &needle));
        self.sort(&mut ids, sort);
        View { filter, sort, ids, revision: self.revision }
    }

    fn passes(&self, id: RowId, filter: &Filter, needle: &str) -> bool {
        let Some(state) = self.state_of(id) else { return false };
        let is_ignored = state == RowState::Ignored;
        let findings = self.findings_of(id);
        let accepted = filter.states.contains(&state) || filter.findings.iter().any(|finding| findings.has(*finding));
        let open = filter.states.is_empty() && filter.findings.is_empty();
        // Ignored files are shown only to those who ask for them.
        if !(accepted || open && !is_ignored) {
            return false;
        }
        needle.split_whitespace().all(|word| self.says(id, state, word))
    }

    /// Whether the name, the state, a finding or the reason contains this text.
    fn says(&self, id: RowId, state: RowState, needle: &str) -> bool {
        let named = match id.video() {
            Some(id) => self.files.get(id).is_some_and(|file| contains(file.name.as_str(), needle)),
            None => self.name(id).is_some_and(|name| contains(&name, needle)),
        };
        let findings = self.findings_of(id);
        named
            || contains(state.word(), needle)
            || findings.iter().any(|finding| contains(finding.word(), needle))
            || match self.stored_reason(id) {
                Some(reason) => contains(reason, needle),
                None if state == RowState::Missing || findings.has(Finding::Duplicate) => {
                    self.reason(id, state, findings).is_some_and(|reason| contains(&reason, needle))
                }
                None => false,
            }
    }

    /// Sorts rows that are sorted by name. Rows without a value come last in both directions; equal rows stay sorted by name.
    fn sort(&self, ids: &mut Vec<RowId>, sort: Sort) {
        let cell = |id: RowId| self.cells.get(id.video()?);
        match sort.by {
            Column::Name => {
                if sort.descending {
                    ids.reverse();
                }
            }
            Column::File => {
                let file = |id: RowId| match id.kind() {
                    RowKind::Video(id) => self.files.get(id).map(|file| file.name.file().to_owned()),
                    RowKind::Other(_) => self.name(id),
                    RowKind::Missing(at) => self.matched.as_ref().map(|matched| matched.listing.file(at)),
                };
                sort_by(ids, sort.descending, file);
            }
            Column::State => sort_by(ids, sort.descending, |id| {
                let worst = self.findings_of(id).worst().map_or(u8::MAX, |finding| finding as u8);
                // A worker has not begun its next videos.
                let next = cell(id).is_some_and(|cell| cell.summary.next);
                self.state_of(id).map(|state| (state, next, worst))
            }),
            Column::Size => {
                sort_by(ids, sort.descending, |id| self.files.get(id.video()?).map(|file| file.stamp.size));
            }
            Column::Attempts => sort_by(ids, sort.descending, |id| cell(id).map(|cell| cell.summary.attempts)),
            Column::Length => sort_by(ids, sort.descending, |id| self.facts.length(id.video()?)),
            Column::Picture => sort_by(ids, sort.descending, |id| self.facts.pixels(id.video()?)),
            Column::Codec => sort_by(ids, sort.descending, |id| self.facts.codec(id.video()?)),
            Column::Reason => {
                sort_by(ids, sort.descending, |id| {
                    self.state_of(id).and_then(|state| self.reason(id, state, self.findings_of(id)))
                });
            }
        }
    }

    /// A window of a view, with the present content of each row.
    pub(crate) fn rows(&self, view: &View, offset: usize, len: usize) -> Vec<Row> {
        view.ids.iter().skip(offset).take(len).filter_map(|id| self.row(*id)).collect()
    }

    /// The position of a video in a view.
    pub(crate) fn place(&self, view: &View, name: &str) -> Option<usize> {
        let id = self.find(name)?;
        view.ids.iter().position(|other| *other == id)
    }
}

fn sort_by<K: Ord>(ids: &mut Vec<RowId>, descending: bool, key: impl Fn(RowId) -> Option<K>) {
    let mut known: Vec<(K, RowId)> = Vec::with_capacity(ids.len());
    let mut unknown = vec![];
    for id in ids.iter() {
        match key(*id) {
            Some(key) => known.push((key, *id)),
            None => unknown.push(*id),
        }
    }
    if descending {
        known.sort_by(|(a, _), (b, _)| b.cmp(a));
    } else {
        known.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    ids.clear();
    ids.extend(known.into_iter().map(|(_, id)| id).chain(unknown));
}

/// Whether a text contains `needle`, which is in lower case, ignoring case.
fn contains(text: &str, needle: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(needle);
    }
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    needle.is_empty() || text.windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle))
}
