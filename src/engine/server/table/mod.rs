//! A copy of the table of videos for clients: the files on disk and the videos that only the manifest has. It is compact
//! enough for a million videos.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use reeldeck_common::probe::Probed;

use crate::dataset::scan::VideoFile;
use crate::dataset::state::{self, State as Dataset};
use crate::engine::files::Files;
use crate::engine::listing::{Listing, NONE};
use crate::engine::state::{State, Video, VideoId};
use crate::protocol::row::{ClassRow, RowState, StateCounts};
use facts::AllFacts;
use matched::Matched;
use row_status::{DatasetStatus, RowStatus, row_state};

mod facts;
mod matched;
mod order;
mod row_status;
mod rows;
mod select;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use rows::Entry;
pub(crate) use view::View;

/// Added to the position in the manifest, it gives the row number of a missing video.
const MISSING: u32 = 1 << 31;

/// The name of the class of videos whose class is unknown.
const NO_CLASS: &str = "(no class)";

/// The engine's state of a video, without the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowSummary {
    row_status: RowStatus,
    attempts: u8,
    feature: bool,
}

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
    /// The status of the file in the dataset, regardless of other files.
    dataset_status: DatasetStatus,
    class: u32,
}

/// The table of videos.
#[derive(Default)]
pub(crate) struct Table {
    files: Files,
    cells: Vec<Cell>,
    facts: AllFacts,
    /// The reasons for the engine's states.
    reasons: HashMap<u32, String>,
    /// The reasons for the dataset's states.
    dataset_reasons: HashMap<u32, String>,
    classes: IndexMap<Box<str>, Tally>,
    totals: StateCounts,
    matched: Option<Matched>,
    /// Whether a run is active.
    active: bool,
    revision: u64,
    /// Increases when rows are added or removed.
    rows_revision: u64,
    order: order::SortedRows,
}

impl RowSummary {
    /// The summary of a video, with the reason for its state.
    pub(crate) fn of(video: &Video) -> (Self, Option<String>) {
        let reason = match &video.status {
            crate::engine::state::Status::Failed { failure, .. } => Some(failure.line()),
            _ => None,
        };
        let attempts = u8::try_from(video.attempts).unwrap_or(u8::MAX);
        (Self { row_status: RowStatus::of(video), attempts, feature: video.feature }, reason)
    }
}

impl Table {
    /// The table of all videos of an engine.
    pub(crate) fn of(state: &State) -> Self {
        Self::new(state.files.clone(), state.videos.iter().map(RowSummary::of))
    }

    /// A table of these videos.
    pub(super) fn new(files: Files, videos: impl Iterator<Item = (RowSummary, Option<String>)>) -> Self {
        // Revision 0 is that of the empty table that clients see before this one.
        let mut table =
            Self { cells: Vec::with_capacity(files.len()), revision: 1, rows_revision: 1, ..Self::default() };
        let mut last: Option<(String, u32)> = None;
        for ((id, file), (summary, reason)) in (0..).zip(files.iter()).zip(videos) {
            // The names are sorted, so the videos of a class are neighbours.
            let class = match &last {
                Some((name, class)) if name == file.name.class() => *class,
                _ => {
                    let class = class_number(&mut table.classes, file.name.class());
                    last = Some((file.name.class().to_owned(), class));
                    class
                }
            };
            table.cells.push(Cell { summary, dataset_status: table.own_dataset_status(file, None, None), class });
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
        self.totals
    }

    /// Sets whether a run is active, which will extract what is queued.
    pub(crate) fn set_active(&mut self, active: bool) {
        if std::mem::replace(&mut self.active, active) != active {
            self.recount();
            self.revision += 1;
        }
    }

    /// Adds the manifest: its missing videos become rows.
    pub(crate) fn set_listing(&mut self, listing: Arc<Listing>) {
        let videos = listing.manifest().len();
        let positions: Vec<u32> = self.files.iter().map(|file| listing.position(file.name.file())).collect();
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
        let nobody_knows = class_number(&mut self.classes, NO_CLASS);
        let classes = classes.into_iter().map(|class| if class == NONE { nobody_knows } else { class }).collect();
        let (first, next) = (vec![NONE; videos], vec![NONE; positions.len()]);
        let mut matched = Matched { listing, positions, first, next, classes };
        for (id, cell) in (0..).zip(&self.cells) {
            if cell.summary.row_status != RowStatus::Gone {
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
            let Ok(id) = u32::try_from(id.0) else { continue };
            if let Some(file) = file {
                self.take_file(id, file);
            }
            let Some(cell) = self.cells.get(id as usize) else { continue };
            let was_gone = cell.summary.row_status == RowStatus::Gone;
            let is_gone = summary.row_status == RowStatus::Gone;
            self.touch(id, |table| {
                if let Some(cell) = table.cells.get_mut(id as usize) {
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
    fn take_file(&mut self, id: u32, file: VideoFile) {
        let at = id as usize;
        if at == self.cells.len() {
            let class = class_number(&mut self.classes, file.name.class());
            let dataset_status = self.own_dataset_status(&file, None, None);
            let summary = RowSummary { row_status: RowStatus::Gone, attempts: 0, feature: false };
            if let Some(matched) = &mut self.matched {
                matched.positions.push(matched.listing.position(file.name.file()));
                matched.next.push(NONE);
            }
            self.cells.push(Cell { summary, dataset_status, class });
            self.files.push(file);
        } else if self.files.get(VideoId(at)).is_some_and(|known| known.stamp != file.stamp) {
            self.files.restamp(VideoId(at), file.stamp);
            self.learn(id, None);
        }
    }

    /// Stores the results of checks.
    pub(crate) fn probed(&mut self, found: Vec<(VideoId, Probed)>) {
        for (id, probed) in found {
            if let Ok(id) = u32::try_from(id.0) {
                self.learn(id, Some(&probed));
            }
        }
    }

    fn learn(&mut self, id: u32, probed: Option<&Probed>) {
        let Some(file) = self.files.get(VideoId(id as usize)) else { return };
        // A result for another version of the file does not apply.
        let probed = probed.filter(|probed| probed.source == file.stamp);
        let want = self.matched.as_ref().and_then(|m| m.listing.duration_s(m.position(id)));
        let state = self.own_state(file, want, probed);
        self.facts.set(id, probed.and_then(|probed| probed.verdict.facts()));
        let says = matches!(state, Dataset::Corrupt { .. } | Dataset::WrongDuration { .. } | Dataset::Degraded { .. });
        if says {
            self.dataset_reasons.insert(id, state.reason());
        } else {
            self.dataset_reasons.remove(&id);
        }
        let dataset_status = DatasetStatus::of(&state);
        self.touch(id, |table| {
            if let Some(cell) = table.cells.get_mut(id as usize) {
                cell.dataset_status = dataset_status;
            }
        });
    }

    fn own_state(&self, file: &VideoFile, want_s: Option<f64>, probed: Option<&Probed>) -> Dataset {
        let tolerance = self.matched.as_ref().map_or(0.0, |matched| matched.listing.tolerance_s);
        state::of_file(file, want_s, probed, tolerance)
    }

    fn own_dataset_status(&self, file: &VideoFile, want_s: Option<f64>, probed: Option<&Probed>) -> DatasetStatus {
        DatasetStatus::of(&self.own_state(file, want_s, probed))
    }

    /// Changes a file and updates the counts of all rows that depend on it.
    fn touch(&mut self, id: u32, change: impl FnOnce(&mut Self)) {
        match self.matched.as_ref().map(|matched| matched.position(id)) {
            None | Some(NONE) => {
                self.count(id, false);
                change(self);
                self.count(id, true);
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
    fn count_video(&mut self, position: u32, id: u32, more: bool) {
        let Some(matched) = &self.matched else { return };
        let files: Vec<u32> = matched.files(position).collect();
        if files.is_empty() {
            self.count(MISSING | position, more);
        }
        if !files.contains(&id) {
            self.count(id, more);
        }
        files.into_iter().for_each(|file| self.count(file, more));
    }

    fn count(&mut self, id: u32, more: bool) {
        let (Some(state), Some(class)) = (self.state_of(id), self.class_of(id)) else { return };
        let by = if more { 1 } else { -1 };
        if let Some((_, tally)) = self.classes.get_index_mut(class as usize) {
            add(&mut tally.states, state, by);
            let done = self.cells.get(id as usize).is_some_and(|cell| cell.summary.row_status.is_done());
            tally.done = tally.done.saturating_add_signed(if done { by } else { 0 });
        }
        add(&mut self.totals, state, by);
    }

    fn recount(&mut self) {
        self.totals = [0; RowState::ALL.len()];
        self.classes.values_mut().for_each(|tally| *tally = Tally::default());
        (0..self.cells.len() as u32).for_each(|id| self.count(id, true));
        self.missing().for_each(|id| self.count(id, true));
    }

    fn rows_changed(&mut self) {
        self.rows_revision += 1;
        self.revision += 1;
    }

    /// The numbers of the rows of missing videos.
    fn missing(&self) -> std::vec::IntoIter<u32> {
        let first = self.matched.as_ref().map(|matched| matched.first.as_slice()).unwrap_or_default();
        let missing: Vec<u32> =
            (0..).zip(first).filter(|(_, first)| **first == NONE).map(|(at, _): (u32, _)| MISSING | at).collect();
        missing.into_iter()
    }

    fn class_of(&self, id: u32) -> Option<u32> {
        match id & MISSING {
            0 => {
                let class = self.cells.get(id as usize)?.class;
                let is_unknown = self.classes.get_index(class as usize).is_some_and(|(name, _)| &**name == NO_CLASS);
                // Without a class folder, the class is that of the manifest.
                let listed = self.matched.as_ref().filter(|_| is_unknown);
                Some(listed.and_then(|matched| matched.class_of(id)).unwrap_or(class))
            }
            _ => self.matched.as_ref()?.classes.get((id & !MISSING) as usize).copied(),
        }
    }

    /// The state of a row; `None` if there is no such row.
    fn state_of(&self, id: u32) -> Option<RowState> {
        if id & MISSING != 0 {
            return self.matched.as_ref()?.is_missing(id & !MISSING).then_some(RowState::Missing);
        }
        let cell = self.cells.get(id as usize)?;
        row_state(cell.summary.row_status, self.dataset_status_of(id, cell), self.active)
    }

    /// The status of a file in the dataset, with other files taken into account.
    fn dataset_status_of(&self, id: u32, cell: &Cell) -> DatasetStatus {
        match &self.matched {
            None => cell.dataset_status,
            Some(matched) => match matched.position(id) {
                NONE => cell.dataset_status.or(DatasetStatus::UNLISTED),
                // A corrupt copy is shown as corrupt, not as a duplicate.
                position if matched.has_several(position) && cell.dataset_status != DatasetStatus::CORRUPT => {
                    cell.dataset_status.or(DatasetStatus::DUPLICATE)
                }
                _ => cell.dataset_status,
            },
        }
    }

    /// The classes that have rows, with their counts, sorted by name.
    pub(crate) fn classes(&self) -> Vec<ClassRow> {
        let mut classes: Vec<ClassRow> = self
            .classes
            .iter()
            .filter(|(_, tally)| tally.states.iter().any(|count| *count > 0))
            .map(|(class, tally)| ClassRow { class: class.to_string(), counts: tally.states, done: tally.done })
            .collect();
        classes.sort_by(|a, b| a.class.cmp(&b.class));
        classes
    }
}

/// The counts of a class.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    states: StateCounts,
    /// The videos whose feature is up to date.
    done: u32,
}

fn add(counts: &mut StateCounts, state: RowState, by: i32) {
    if let Some(count) = counts.get_mut(state as usize) {
        *count = count.saturating_add_signed(by);
    }
}

fn class_number(classes: &mut IndexMap<Box<str>, Tally>, class: &str) -> u32 {
    let class = if class.is_empty() { NO_CLASS } else { class };
    match classes.get_index_of(class) {
        Some(at) => at as u32,
        None => classes.insert_full(class.into(), Tally::default()).0 as u32,
    }
}
