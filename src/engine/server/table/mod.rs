//! A copy of the table of videos for clients: the files on disk and the videos that only the manifest has. It is compact
//! enough for a million videos.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use reeldeck_common::probe::Probed;
use typed_index_collections::TiVec;

use crate::dataset::scan::VideoFile;
use crate::dataset::state::{self, Accepted, State as Dataset};
use crate::engine::files::Files;
use crate::engine::listing::{Listing, NONE};
use crate::engine::other_files::OtherFiles;
use crate::engine::state::{State, VideoId};
use crate::protocol::row::{Finding, FindingCounts, Findings, NO_CLASS, RowState, StateCounts};
use counts::{Tally, class_number};
use facts::AllFacts;
use matched::Matched;
use summary::finding_of;

mod counts;
mod facts;
mod matched;
mod order;
mod row_id;
mod rows;
mod select;
mod summary;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use row_id::RowId;
use row_id::RowKind;
pub(crate) use rows::Entry;
pub(crate) use summary::RowSummary;
pub(crate) use view::View;

/// A change of a video.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    /// The video.
    pub id: VideoId,
    /// The engine's state of it.
    pub summary: RowSummary,
    /// The reason for that state.
    pub reason: Option<String>,
    /// The file, if it appeared or changed after the first scan.
    pub file: Option<VideoFile>,
}

/// A row in memory, without its facts and reasons.
#[derive(Clone, Copy, Debug)]
struct Cell {
    summary: RowSummary,
    /// What a check has found in the file, regardless of other files.
    checked: Option<Finding>,
    class: u32,
}

/// The table of videos.
#[derive(Default)]
pub(crate) struct Table {
    files: Files,
    cells: TiVec<VideoId, Cell>,
    facts: AllFacts,
    /// The reasons for the engine's states.
    reasons: HashMap<VideoId, String>,
    /// The reasons for the dataset's states.
    dataset_reasons: HashMap<VideoId, String>,
    classes: IndexMap<Box<str>, Tally>,
    totals: Tally,
    matched: Option<Matched>,
    accepted: Accepted,
    /// The files that are no videos.
    others: Arc<OtherFiles>,
    /// The class of each of them, or [`NONE`].
    other_classes: Vec<u32>,
    revision: u64,
    /// Increases when rows are added or removed.
    rows_revision: u64,
    order: order::SortedRows,
}

impl Table {
    /// The table of all videos of an engine.
    pub(crate) fn of(state: &State, accepted: Accepted) -> Self {
        let videos = state.videos.keys().filter_map(|id| RowSummary::in_run(state, id));
        Self { accepted, ..Self::new(state.files.clone(), videos) }
    }

    /// A table of these videos.
    pub(super) fn new(files: Files, videos: impl Iterator<Item = (RowSummary, Option<String>)>) -> Self {
        // Revision 0 is that of the empty table that clients see before this one.
        let mut table =
            Self { cells: TiVec::with_capacity(files.len()), revision: 1, rows_revision: 1, ..Self::default() };
        let mut last: Option<(String, u32)> = None;
        for ((id, file), (summary, reason)) in files.iter_enumerated().zip(videos) {
            // The names are sorted, so the videos of a class are neighbours.
            let class = match &last {
                Some((name, class)) if name == file.name.class() => *class,
                _ => {
                    let class = class_number(&mut table.classes, file.name.class());
                    last = Some((file.name.class().to_owned(), class));
                    class
                }
            };
            table.cells.push(Cell { summary, checked: finding_of(&table.own_state(file, None, None)), class });
            table.reasons.extend(reason.map(|reason| (id, reason)));
        }
        table.files = files;
        table.recount();
        table
    }

    /// The revision, which increases with every change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The number of rows in each state.
    pub(crate) fn totals(&self) -> StateCounts {
        self.totals.states
    }

    /// The number of rows with each finding.
    pub(crate) fn findings(&self) -> FindingCounts {
        self.totals.findings
    }

    /// Sets the files of the dataset folder that are no videos.
    pub(crate) fn set_others(&mut self, others: Arc<OtherFiles>) {
        self.others = others;
        self.other_classes = (0..self.others.len() as u32).map(|at| self.other_class(at)).collect();
        self.rows_changed();
        self.recount();
    }

    /// The class of a file that is no video: that of a folder of its path. An ignored file makes no class.
    fn other_class(&mut self, at: u32) -> u32 {
        let others = Arc::clone(&self.others);
        let Some((state, file)) = others.get(at) else { return NONE };
        match file.folders().find_map(|folder| self.classes.get_index_of(folder)) {
            Some(class) => class as u32,
            None if state == RowState::Refused => {
                class_number(&mut self.classes, file.folders().next().unwrap_or_default())
            }
            None => NONE,
        }
    }

    /// Adds the manifest: its missing videos become rows.
    pub(crate) fn set_listing(&mut self, listing: Arc<Listing>) {
        // A folder with underscores and a label with spaces are the same class.
        let mut by_label: HashMap<String, u32> =
            self.classes.keys().enumerate().map(|(at, class)| (class.replace(' ', "_"), at as u32)).collect();
        let mut class_of = |label: &str| {
            let plain = label.replace(' ', "_");
            *by_label.entry(plain).or_insert_with_key(|plain| class_number(&mut self.classes, plain))
        };
        let manifest = listing.manifest();
        let label = |listed| manifest.labels(listed).next();
        let classes: Vec<u32> =
            manifest.videos().map(|(_, listed)| label(listed).map_or(NONE, &mut class_of)).collect();
        let unknown = class_number(&mut self.classes, NO_CLASS);
        let classes = classes.into_iter().map(|class| if class == NONE { unknown } else { class }).collect();
        let classes: Vec<u32> = classes;
        let names = self.files.iter().map(|file| file.name.file());
        let mut matched = Matched::new(Arc::clone(&listing), classes, names);
        for (id, cell) in self.cells.iter_enumerated() {
            if cell.summary.state.is_some() {
                matched.join(id);
            }
        }
        self.matched = Some(matched);
        self.rows_changed();
        self.recount();
    }

    /// Applies changes of the engine.
    pub(crate) fn change(&mut self, changed: Vec<Changed>) {
        for Changed { id, summary, reason, file } in changed {
            if let Some(file) = file {
                self.take_file(id, file);
            }
            let Some(cell) = self.cells.get(id) else { continue };
            let (was_gone, is_gone) = (cell.summary.state.is_none(), summary.state.is_none());
            self.touch(id, |table| {
                if let Some(cell) = table.cells.get_mut(id) {
                    cell.summary = summary;
                }
                if let Some(matched) = table.matched.as_mut().filter(|_| was_gone != is_gone) {
                    if is_gone { matched.leave(id) } else { matched.join(id) }
                }
            });
            if was_gone != is_gone {
                self.rows_changed();
            }
            match reason {
                Some(reason) => drop(self.reasons.insert(id, reason)),
                None => drop(self.reasons.remove(&id)),
            }
        }
    }

    /// Adds a file, or a new version of one.
    fn take_file(&mut self, id: VideoId, file: VideoFile) {
        if id == self.cells.next_key() {
            let class = class_number(&mut self.classes, file.name.class());
            let checked = finding_of(&self.own_state(&file, None, None));
            if let Some(matched) = &mut self.matched {
                matched.push(file.name.file());
            }
            self.cells.push(Cell { summary: RowSummary::GONE, checked, class });
            self.files.push(file);
        } else if self.files.get(id).is_some_and(|known| known.stamp != file.stamp) {
            self.files.restamp(id, file.stamp);
            self.learn(id, None);
        }
    }

    /// Stores the results of checks.
    pub(crate) fn probed(&mut self, found: Vec<(VideoId, Probed)>) {
        for (id, probed) in found {
            self.learn(id, Some(&probed));
        }
    }

    fn learn(&mut self, id: VideoId, probed: Option<&Probed>) {
        let Some(file) = self.files.get(id) else { return };
        // A result for another version of the file does not apply.
        let probed = probed.filter(|probed| probed.source == file.stamp);
        let want = self.matched.as_ref().and_then(|m| m.listing.duration_s(m.position(id)?));
        let state = self.own_state(file, want, probed);
        self.facts.set(id, probed.and_then(|probed| probed.verdict.facts()));
        let says = matches!(state, Dataset::Corrupt { .. } | Dataset::WrongDuration { .. } | Dataset::Degraded { .. });
        if says {
            self.dataset_reasons.insert(id, state.reason());
        } else {
            self.dataset_reasons.remove(&id);
        }
        let checked = finding_of(&state);
        self.touch(id, |table| {
            if let Some(cell) = table.cells.get_mut(id) {
                cell.checked = checked;
            }
        });
    }

    fn own_state(&self, file: &VideoFile, want_s: Option<f64>, probed: Option<&Probed>) -> Dataset {
        state::of_file(file, want_s, probed, &self.accepted)
    }

    fn rows_changed(&mut self) {
        self.rows_revision += 1;
        self.revision += 1;
    }

    /// The numbers of the rows of missing videos.
    fn missing(&self) -> impl Iterator<Item = RowId> {
        self.matched.iter().flat_map(Matched::missing).map(RowId::missing)
    }

    /// The numbers of the rows of refused and ignored files.
    fn others(&self) -> impl Iterator<Item = RowId> + use<> {
        (0..self.others.len() as u32).map(RowId::other)
    }

    /// The class of a row. An ignored file may have none.
    fn class_of(&self, row: RowId) -> Option<u32> {
        let id = match row.kind() {
            RowKind::Video(id) => id,
            RowKind::Missing(at) => return self.matched.as_ref()?.classes.get(at as usize).copied(),
            RowKind::Other(at) => {
                return self.other_classes.get(at as usize).copied().filter(|class| *class != NONE);
            }
        };
        let class = self.cells.get(id)?.class;
        let is_unknown = self.classes.get_index(class as usize).is_some_and(|(name, _)| &**name == NO_CLASS);
        // Without a class folder, the class is that of the manifest.
        let listed = self.matched.as_ref().filter(|_| is_unknown);
        Some(listed.and_then(|matched| matched.class_of(id)).unwrap_or(class))
    }

    /// The state of a row; `None` if there is no such row.
    fn state_of(&self, row: RowId) -> Option<RowState> {
        match row.kind() {
            RowKind::Video(id) => self.cells.get(id)?.summary.state,
            RowKind::Missing(at) => self.matched.as_ref()?.is_missing(at).then_some(RowState::Missing),
            RowKind::Other(at) => self.others.get(at).map(|(state, _)| state),
        }
    }

    /// The findings of a row.
    fn findings_of(&self, row: RowId) -> Findings {
        let Some((id, cell)) = row.video().and_then(|id| Some((id, self.cells.get(id)?))) else {
            return Findings::NONE;
        };
        let mut findings = cell.summary.findings;
        let is_known = |finding: &Finding| *finding != Finding::Unchecked || !cell.summary.was_read();
        cell.checked.filter(is_known).into_iter().for_each(|finding| findings.add(finding));
        if let Some(matched) = &self.matched {
            match matched.position(id) {
                None => findings.add(Finding::Unlisted),
                // A corrupt copy is corrupt, not a duplicate.
                Some(position) if matched.has_several(position) && !findings.has(Finding::Corrupt) => {
                    findings.add(Finding::Duplicate);
                }
                Some(_) => {}
            }
        }
        findings
    }
}
