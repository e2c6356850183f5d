//! The report of a scan: the state of every video, and how many are in which state, by split and by class.

use std::collections::BTreeMap;

use reeldeck_common::feature::ExpectedFrom;

use super::manifest::{Listed, Manifest, Split, id_of};
use super::matching::{Matched, Matches, is_misplaced};
use super::scan::{Scan, VideoFile};
use super::state::{self, Accepted, Probes, State};

mod changes;
mod json;
mod text;

pub(crate) use changes::{Change, States};

/// The combined knowledge of a dataset. Rows are computed on request, so that memory is little more than that of the scan
/// and the manifest.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    scan: &'a Scan,
    probes: &'a Probes,
    accepted: Accepted,
    matches: Option<(&'a Manifest, Matches<'a>)>,
}

/// A video of the manifest, or a file that is not in it.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// The id in the manifest.
    pub id: Option<&'a str>,
    /// The entry of the manifest.
    pub listed: Option<&'a Listed>,
    /// The labels in the manifest.
    pub labels: Vec<&'a str>,
    /// The files, the preferred one first.
    pub files: Vec<&'a VideoFile>,
    /// The state.
    pub state: State,
    /// Whether the preferred file is in a class folder that the manifest does not list for the video.
    pub misplaced: bool,
}

/// Numbers of videos, in total and by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Videos of the manifest.
    pub listed: usize,
    /// By [`State::index`].
    pub states: [usize; State::WORDS.len()],
}

/// The counts of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    /// Each video once.
    pub all: Tally,
    /// By split; `None` counts videos without a split.
    pub splits: BTreeMap<Option<Split>, Tally>,
    /// By class, sorted by name. A video counts in each of its classes. The empty name counts videos without a class.
    pub classes: BTreeMap<String, Tally>,
    /// Videos in a folder that is not one of their classes.
    pub misplaced: usize,
    /// Videos of which neither the container nor the manifest says how long they are.
    pub unverified: usize,
}

impl<'a> Row<'a> {
    /// The labels, else the folder of the file, else none.
    pub(crate) fn classes(&self) -> Vec<&'a str> {
        match (self.labels.as_slice(), self.files.as_slice()) {
            ([], [first, ..]) => Some(first.name.class()).filter(|class| !class.is_empty()).into_iter().collect(),
            _ => self.labels.clone(),
        }
    }
}

impl<'a> Report<'a> {
    /// Combines manifest, scan and probes.
    pub(crate) fn new(manifest: Option<&'a Manifest>, scan: &'a Scan, probes: &'a Probes, accepted: Accepted) -> Self {
        let matches = manifest.map(|manifest| (manifest, Matches::new(manifest, &scan.videos)));
        Self { scan, probes, accepted, matches }
    }

    /// Every video of the manifest in its order, then the other files by name. Without a manifest, every file.
    pub(crate) fn rows(&self) -> Box<dyn Iterator<Item = Row<'a>> + '_> {
        match &self.matches {
            None => Box::new(self.scan.videos.iter().map(|file| self.loose(file, None))),
            Some((manifest, matches)) => {
                let listed = matches.videos().map(|video| self.listed(manifest, video));
                Box::new(listed.chain(matches.unlisted().map(|file| self.loose(file, Some(State::Unlisted)))))
            }
        }
    }

    fn listed(&self, manifest: &'a Manifest, video: Matched<'a>) -> Row<'a> {
        let Matched { id, listed, files } = video;
        let labels = manifest.labels(listed).collect();
        let misplaced = files.first().is_some_and(|file| is_misplaced(manifest, listed, &file.name));
        let states = files.iter().map(|file| (*file, self.of_file(file, listed.duration_s))).collect();
        Row { id: Some(id), listed: Some(listed), labels, files, state: state::of_video(states), misplaced }
    }

    fn loose(&self, file: &'a VideoFile, known: Option<State>) -> Row<'a> {
        let state = known.unwrap_or_else(|| self.of_file(file, None));
        Row { id: None, listed: None, labels: vec![], files: vec![file], state, misplaced: false }
    }

    /// The state of a single file.
    fn of_file(&self, file: &VideoFile, want_s: Option<f64>) -> State {
        state::of_file(file, want_s, self.probes.get(&file.name), &self.accepted)
    }

    /// Counts all rows.
    pub(crate) fn tables(&self) -> Tables {
        let mut tables = Tables::default();
        // A folder with underscores and a label with spaces are the same class, which is shown by its label.
        let mut classes: BTreeMap<String, (String, Tally)> = BTreeMap::new();
        for row in self.rows() {
            tables.all.count(&row);
            tables.misplaced += usize::from(row.misplaced);
            tables.unverified += usize::from(self.has_unverified_end(&row));
            tables.splits.entry(row.listed.and_then(|listed| listed.split)).or_default().count(&row);
            let known = row.classes();
            let unknown = known.is_empty().then_some("");
            for class in known.into_iter().chain(unknown) {
                let (_, tally) =
                    classes.entry(class.replace(' ', "_")).or_insert_with(|| (class.to_owned(), Tally::default()));
                tally.count(&row);
            }
        }
        tables.classes = classes.into_values().collect();
        tables
    }

    /// Whether frames may be missing at the end of a readable video: neither its container nor the manifest says how long it is.
    pub(super) fn has_unverified_end(&self, row: &Row<'_>) -> bool {
        let is_readable = matches!(row.state, State::Ready | State::Degraded { .. });
        let is_unknown = |file: &&VideoFile| self.expected_from(file) == Some(ExpectedFrom::Nothing);
        let has_duration = row.listed.is_some_and(|listed| listed.duration_s.is_some_and(|seconds| seconds > 0.0));
        is_readable && !has_duration && row.files.first().is_some_and(is_unknown)
    }

    /// Where the number of frames of a file comes from.
    pub(super) fn expected_from(&self, file: &VideoFile) -> Option<ExpectedFrom> {
        let probed = self.probes.get(&file.name).filter(|probed| probed.source == file.stamp)?;
        probed.verdict.facts()?.expected_from
    }

    /// The prefix with which files match the manifest, if none does with the configured one.
    fn other_prefix(&self) -> Option<&'static str> {
        let (manifest, matches) = self.matches.as_ref()?;
        let files = &self.scan.videos;
        let is_listed = |file: &VideoFile, prefix: &str| {
            id_of(file.name.file(), prefix).is_some_and(|id| manifest.position(id).is_some())
        };
        let matched = |prefix: &&str| files.iter().any(|file| is_listed(file, prefix));
        if matches.unlisted().len() == files.len() { ["", "v_"].into_iter().find(matched) } else { None }
    }

    /// Number of videos in the manifest.
    pub(crate) fn listed_videos(&self) -> usize {
        self.matches.as_ref().map_or(0, |(manifest, _)| manifest.len())
    }

    /// Whether every video of the manifest is usable; without a manifest, every file.
    pub(crate) fn is_complete(&self) -> bool {
        !self.rows().any(|row| row.state.is_problem())
    }
}

impl Tally {
    fn count(&mut self, row: &Row<'_>) {
        self.listed += usize::from(row.listed.is_some());
        if let Some(states) = self.states.get_mut(row.state.index()) {
            *states += 1;
        }
    }
}

#[cfg(test)]
mod tests;
