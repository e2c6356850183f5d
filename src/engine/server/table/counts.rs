//! The counts of rows by class, state and finding. They change with each row, because counting a million rows takes too long.

use indexmap::IndexMap;

use super::{NO_CLASS, RowId, Table};
use crate::engine::state::VideoId;
use crate::protocol::row::{ClassRow, Finding, FindingCounts, Findings, RowState, StateCounts};

impl Table {
    /// Changes a file and updates the counts of all rows that depend on it.
    pub(super) fn touch(&mut self, id: VideoId, change: impl FnOnce(&mut Self)) {
        match self.matched.as_ref().and_then(|matched| matched.position(id)) {
            None => {
                self.count(id.into(), false);
                change(self);
                self.count(id.into(), true);
            }
            Some(position) => {
                self.count_video(position, id, false);
                change(self);
                self.count_video(position, id, true);
            }
        }
        self.revision += 1;
    }

    /// Counts all rows of a video of the manifest: its files, or its own row if it has none. `id` is a file that may no longer
    /// belong to it.
    fn count_video(&mut self, position: u32, id: VideoId, more: bool) {
        let Some(matched) = &self.matched else { return };
        let files: Vec<VideoId> = matched.files(position).collect();
        if files.is_empty() {
            self.count(RowId::missing(position), more);
        }
        if !files.contains(&id) {
            self.count(id.into(), more);
        }
        files.into_iter().for_each(|file| self.count(file.into(), more));
    }

    fn count(&mut self, id: RowId, more: bool) {
        let (Some(state), findings) = (self.state_of(id), self.findings_of(id)) else { return };
        let class = self.class_of(id).and_then(|class| self.classes.get_index_mut(class as usize));
        for tally in class.map(|(_, tally)| tally).into_iter().chain([&mut self.totals]) {
            tally.add(state, findings, more);
        }
    }

    pub(super) fn recount(&mut self) {
        self.totals = Tally::default();
        self.classes.values_mut().for_each(|tally| *tally = Tally::default());
        let rows: Vec<RowId> = self.cells.keys().map(RowId::from).chain(self.missing()).chain(self.others()).collect();
        rows.into_iter().for_each(|row| self.count(row, true));
        // Only some of the ignored files are named.
        let others = [(RowState::Refused, self.others.refused.len()), (RowState::Ignored, self.others.ignored_count)];
        for (state, count) in others {
            if let Some(total) = self.totals.states.get_mut(state as usize) {
                *total = u32::try_from(count).unwrap_or(u32::MAX);
            }
        }
    }

    /// The classes that have rows, with their counts, sorted by name.
    pub(crate) fn classes(&self) -> Vec<ClassRow> {
        let mut classes: Vec<ClassRow> = self
            .classes
            .iter()
            .filter(|(_, tally)| tally.states.iter().any(|count| *count > 0))
            .map(|(class, tally)| ClassRow {
                class: class.to_string(),
                counts: tally.states,
                findings: tally.findings,
                problems: tally.problems,
            })
            .collect();
        classes.sort_by(|a, b| a.class.cmp(&b.class));
        classes
    }
}

/// The counts of a class or of all rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) states: StateCounts,
    pub(super) findings: FindingCounts,
    problems: u32,
}

impl Tally {
    fn add(&mut self, state: RowState, findings: Findings, more: bool) {
        let is_problem = state.is_problem() || findings.iter().any(Finding::is_problem);
        let states = self.states.get_mut(state as usize);
        let findings = self.findings.iter_mut().zip(Finding::ALL).filter(|(_, finding)| findings.has(*finding));
        let problems = is_problem.then_some(&mut self.problems);
        for count in states.into_iter().chain(findings.map(|(count, _)| count)).chain(problems) {
            *count = count.saturating_add_signed(if more { 1 } else { -1 });
        }
    }
}

pub(super) fn class_number(classes: &mut IndexMap<Box<str>, Tally>, class: &str) -> u32 {
    let class = if class.is_empty() { NO_CLASS } else { class };
    match classes.get_index_of(class) {
        Some(at) => at as u32,
        None => classes.insert_full(class.into(), Tally::default()).0 as u32,
    }
}
