//! The differences between a report and an earlier one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Report, Row};
use crate::dataset::state::State;

/// The states of all videos of a report. It is small enough to keep without the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct States(HashMap<String, Seen>);

#[derive(Clone, Debug)]
struct Seen {
    name: String,
    state: State,
    files: u64,
    /// Whether the newer report contains the video.
    there: bool,
}

/// A video whose state or files changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// The id in the manifest; `Class/file` for a file that is not in it.
    pub key: String,
    /// The name for people.
    pub name: String,
    /// The earlier state; `None` if the video is new.
    pub was: Option<State>,
    /// The current state; `None` if the video is gone.
    pub now: Option<State>,
}

impl Row<'_> {
    /// The key of a row. Ids contain no slash, and file names do.
    pub(super) fn key(&self) -> &str {
        self.id.or_else(|| self.files.first().map(|file| file.name.as_str())).unwrap_or_default()
    }

    fn files_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in &self.files {
            (file.name.as_str(), file.stamp.size, file.stamp.mtime_ns).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl States {
    /// The states of a report.
    pub(crate) fn of(report: &Report<'_>) -> Self {
        let mut states = Self::default();
        states.renew(report);
        states
    }

    /// Takes over the states of another report. Returns the changes in its order, then the removed videos by name.
    pub(crate) fn renew(&mut self, report: &Report<'_>) -> Vec<Change> {
        let mut changes = vec![];
        for row in report.rows() {
            let files = row.files_hash();
            let was = match self.0.get_mut(row.key()) {
                Some(seen) if seen.files == files && seen.state == row.state => {
                    seen.there = true;
                    continue;
                }
                Some(seen) => Some(seen.state.clone()),
                None => None,
            };
            let (key, name) = (row.key().to_owned(), row.name());
            let seen = Seen { name: name.clone(), state: row.state.clone(), files, there: true };
            self.0.insert(key.clone(), seen);
            changes.push(Change { key, name, was, now: Some(row.state) });
        }
        let mut gone = vec![];
        self.0.retain(|key, seen| {
            if !std::mem::take(&mut seen.there) {
                let (name, was) = (std::mem::take(&mut seen.name), Some(seen.state.clone()));
                gone.push(Change { key: key.clone(), name, was, now: None });
                return false;
            }
            true
        });
        gone.sort_by(|a, b| a.key.cmp(&b.key));
        changes.extend(gone);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::matching::tests::{files, manifest};
    use super::*;
    use crate::dataset::scan::Scan;
    use crate::dataset::state::{ACCEPTED, Probes};

    const MANIFEST: &str = r#"{"database": {
        "a": {"duration": 5, "subset": "training", "annotations": [{"label": "Tai chi", "segment": [1, 2]}]},
        "b": {"duration": 5, "subset": "training", "annotations": [{"label": "Tai chi", "segment": [1, 2]}]}}}"#;

    fn told(states: &mut States, names: &[&str], size: u64) -> Vec<String> {
        let manifest = manifest(MANIFEST);
        let mut scan = Scan { videos: files(names), ..Scan::default() };
        scan.videos.iter_mut().for_each(|file| file.stamp.size = size);
        let word = |state: &Option<State>| state.as_ref().map_or("-", State::word);
        let changes = states.renew(&Report::new(Some(&manifest), &scan, &Probes::new(), ACCEPTED));
        changes.iter().map(|change| format!("{} {}>{}", change.key, word(&change.was), word(&change.now))).collect()
    }

    #[test]
    fn only_changes_are_reported() {
        let mut states = States::default();
        let first = told(&mut states, &["Tai_chi/v_a.mp4", "New/v_x.mp4"], 1);
        assert_eq!(first, ["a ->unchecked", "b ->missing", "New/v_x.mp4 ->unlisted"]);
        assert!(told(&mut states, &["Tai_chi/v_a.mp4", "New/v_x.mp4"], 1).is_empty());
        let second = told(&mut states, &["Tai_chi/v_b.mp4", "New/v_y.mp4"], 1);
        let expected =
            ["a unchecked>missing", "b missing>unchecked", "New/v_y.mp4 ->unlisted", "New/v_x.mp4 unlisted>-"];
        assert_eq!(second, expected);
        // The name and the state are the same, but the file is another one.
        let third = told(&mut states, &["Tai_chi/v_b.mp4", "New/v_y.mp4"], 2);
        assert_eq!(third, ["b unchecked>unchecked", "New/v_y.mp4 unlisted>unlisted"]);
        let twice = told(&mut states, &["Tai_chi/v_b.mp4", "Archery/v_b.mp4", "New/v_y.mp4"], 2);
        assert_eq!(twice, ["b unchecked>duplicate"]);
    }
}
