//! The report for programs: one JSON object. docs/MANIFEST.md describes every field.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use reeldeck_common::feature::ExpectedFrom;
use reeldeck_common::json;
use reeldeck_common::video::VideoName;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use super::{Change, Report, Row, Tally};
use crate::dataset::manifest::{OddSegments, Split};
use crate::dataset::scan::FolderLayout;
use crate::dataset::shown;
use crate::dataset::state::State;

/// Version of the object. It increases when a field is removed or changes its meaning, not when one is added.
pub(super) const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Root<'a> {
    schema: u32,
    root: String,
    manifest: Option<String>,
    all: Counts<'a>,
    splits: Vec<OfSplit<'a>>,
    classes: Vec<OfClass<'a>>,
    refused: Vec<OfRefused<'a>>,
    incomplete: &'a [String],
    ignored: usize,
    layout: Option<FolderLayout>,
    odd_segments: Option<&'a OddSegments>,
    damaged: Vec<String>,
    videos: Videos<'a>,
}

#[derive(Serialize)]
struct Counts<'a> {
    listed: usize,
    states: States<'a>,
}

struct States<'a>(&'a Tally);

impl Serialize for States<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(State::WORDS.len()))?;
        for (word, count) in State::WORDS.iter().zip(self.0.states) {
            map.serialize_entry(&word.replace(' ', "-"), &count)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct OfSplit<'a> {
    split: Option<Split>,
    #[serde(flatten)]
    counts: Counts<'a>,
}

#[derive(Serialize)]
struct OfClass<'a> {
    class: Option<&'a str>,
    #[serde(flatten)]
    counts: Counts<'a>,
}

#[derive(Serialize)]
struct OfRefused<'a> {
    path: &'a str,
    reason: String,
}

/// The changes since the previous line.
#[derive(Serialize)]
struct Update<'a> {
    schema: u32,
    all: Counts<'a>,
    gone: Vec<&'a str>,
    videos: Videos<'a>,
}

/// Serializes the rows one at a time: all rows, or those with these keys.
struct Videos<'a>(&'a Report<'a>, Option<HashSet<&'a str>>);

impl Serialize for Videos<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for row in self.0.rows().filter(|row| self.1.as_ref().is_none_or(|keys| keys.contains(row.key()))) {
            let Row { id, listed, labels, files, state, misplaced } = &row;
            let duration_s = listed.and_then(|listed| listed.duration_s);
            let files = files.iter().map(|file| OfFile {
                name: &file.name,
                size: file.stamp.size,
                mtime_ns: file.stamp.mtime_ns,
                state: self.0.of_file(file, duration_s),
                expected_from: self.0.expected_from(file),
            });
            list.serialize_element(&OfVideo {
                id: *id,
                split: listed.and_then(|listed| listed.split),
                labels,
                duration_s,
                reason: state.reason(),
                next: state.next_step(),
                state,
                misplaced: *misplaced,
                files: files.collect(),
            })?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct OfVideo<'a> {
    id: Option<&'a str>,
    split: Option<Split>,
    labels: &'a [&'a str],
    duration_s: Option<f64>,
    state: &'a State,
    reason: String,
    next: Option<&'a str>,
    misplaced: bool,
    files: Vec<OfFile<'a>>,
}

#[derive(Serialize)]
struct OfFile<'a> {
    name: &'a VideoName,
    size: u64,
    mtime_ns: i64,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_from: Option<ExpectedFrom>,
}

fn counts(tally: &Tally) -> Counts<'_> {
    Counts { listed: tally.listed, states: States(tally) }
}

impl Report<'_> {
    /// Writes the whole report as one JSON object and a line break; `root` is the dataset folder, and `damaged` are the damaged
    /// features.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub(crate) fn write_json(&self, writer: &mut impl Write, root: &Path, damaged: &[PathBuf]) -> io::Result<()> {
        let tables = self.tables();
        let object = Root {
            schema: SCHEMA,
            root: shown(root),
            manifest: self.matches.as_ref().map(|(manifest, _)| shown(&manifest.path)),
            all: counts(&tables.all),
            splits: tables.splits.iter().map(|(split, t)| OfSplit { split: *split, counts: counts(t) }).collect(),
            classes: tables
                .classes
                .iter()
                .map(|(class, t)| OfClass { class: Some(class.as_str()).filter(|c| !c.is_empty()), counts: counts(t) })
                .collect(),
            refused: self
                .scan
                .refused
                .iter()
                .map(|refused| OfRefused { path: &refused.shown, reason: refused.reason.to_string() })
                .collect(),
            incomplete: &self.scan.incomplete,
            ignored: self.scan.ignored,
            layout: self.scan.layout,
            odd_segments: self.matches.as_ref().map(|(manifest, _)| &manifest.odd_segments),
            damaged: damaged.iter().map(|path| shown(path)).collect(),
            videos: Videos(self, None),
        };
        json::to_writer(&mut *writer, &object)?;
        writeln!(writer)
    }

    /// Writes what has changed as one JSON object and a line break: the rows as they are now, and what is not there any more.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub(crate) fn write_changes_json(&self, writer: &mut impl Write, changes: &[Change]) -> io::Result<()> {
        let tables = self.tables();
        let (there, gone): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.now.is_some());
        let keys = there.iter().map(|change| change.key.as_str()).collect();
        let object = Update {
            schema: SCHEMA,
            all: counts(&tables.all),
            gone: gone.iter().map(|change| change.key.as_str()).collect(),
            videos: Videos(self, Some(keys)),
        };
        json::to_writer(&mut *writer, &object)?;
        writeln!(writer)
    }
}
