//! A copy of the table of videos, small enough for a million, that answers what clients ask.

use std::collections::HashMap;
use std::sync::Arc;

use glob::{MatchOptions, Pattern};

use crate::dataset::scan::VideoFile;
use crate::engine::protocol::row::{ClassRow, Column, Filter, Row, RowState, Sort};
use crate::engine::state::VideoId;

/// What changes of a video, without its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// Where it stands.
    pub state: RowState,
    /// Attempts in this run.
    pub attempts: u8,
}

/// The table.
pub struct Table {
    files: Arc<[VideoFile]>,
    briefs: Vec<Brief>,
    reasons: HashMap<VideoId, String>,
    /// Where each class begins; sorted names keep a class together.
    classes: Vec<VideoId>,
    counts: Vec<[u32; RowState::ALL.len()]>,
    revision: u64,
}

/// The videos that a filter lets through, in order, as of a revision.
pub struct View {
    /// Which.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// The videos.
    pub ids: Vec<u32>,
    /// When it was made.
    pub revision: u64,
}

impl Table {
    /// A table over `files`, sorted by name.
    pub fn new(files: Arc<[VideoFile]>, videos: impl Iterator<Item = (Brief, Option<String>)>) -> Self {
        let mut classes = vec![];
        let mut class = None;
        for (id, file) in files.iter().enumerate() {
            if class != Some(file.name.class()) {
                class = Some(file.name.class());
                classes.push(id);
            }
        }
        let counts = vec![[0; RowState::ALL.len()]; classes.len()];
        let mut table = Self { files, briefs: vec![], reasons: HashMap::new(), classes, counts, revision: 0 };
        for (id, (brief, reason)) in videos.enumerate() {
            table.briefs.push(brief);
            table.reasons.extend(reason.map(|reason| (id, reason)));
            table.count(id, brief.state, 1);
        }
        table
    }

    fn class_of(&self, id: VideoId) -> usize {
        self.classes.partition_point(|first| *first <= id).saturating_sub(1)
    }

    fn count(&mut self, id: VideoId, state: RowState, by: i32) {
        let class = self.class_of(id);
        if let Some(count) = self.counts.get_mut(class).and_then(|counts| counts.get_mut(state as usize)) {
            *count = count.saturating_add_signed(by);
        }
    }

    /// Takes changes over.
    pub fn change(&mut self, changed: Vec<(VideoId, Brief, Option<String>)>) {
        for (id, brief, reason) in changed {
            let Some(place) = self.briefs.get_mut(id) else { continue };
            let before = std::mem::replace(place, brief);
            self.count(id, before.state, -1);
            self.count(id, brief.state, 1);
            match reason {
                Some(reason) => drop(self.reasons.insert(id, reason)),
                None => drop(self.reasons.remove(&id)),
            }
            self.revision += 1;
        }
    }

    /// Goes up with every change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The classes with their counts.
    pub fn classes(&self) -> Vec<ClassRow> {
        let class = |id: &VideoId| self.files.get(*id).map(|f| f.name.class().to_owned()).unwrap_or_default();
        self.classes
            .iter()
            .zip(&self.counts)
            .map(|(id, counts)| ClassRow { class: class(id), counts: *counts })
            .collect()
    }

    /// Applies a filter and an order to the whole table.
    pub fn view(&self, filter: Filter, sort: Sort) -> View {
        let needle = filter.text.to_lowercase();
        let range = match &filter.class {
            None => 0..self.files.len(),
            Some(class) => {
                let from = self.files.partition_point(|f| f.name.class() < class.as_str());
                from..from + self.files.iter().skip(from).take_while(|f| f.name.class() == class).count()
            }
        };
        let mut ids: Vec<u32> = vec![];
        for id in range {
            let (Some(file), Some(brief)) = (self.files.get(id), self.briefs.get(id)) else { continue };
            let state = filter.states.is_empty() || filter.states.contains(&brief.state);
            let text = || {
                contains(file.name.as_str(), &needle)
                    || contains(brief.state.word(), &needle)
                    || self.reasons.get(&id).is_some_and(|reason| contains(reason, &needle))
            };
            if state && (needle.is_empty() || text()) {
                ids.push(id as u32);
            }
        }
        let brief = |id: &u32| self.briefs.get(*id as usize);
        match sort.by {
            Column::Name | Column::File | Column::Length | Column::Picture | Column::Codec | Column::Reason => {}
            Column::State => ids.sort_by_key(|id| brief(id).map(|b| b.state)),
            Column::Size => ids.sort_by_key(|id| self.files.get(*id as usize).map(|f| f.stamp.size)),
            Column::Attempts => ids.sort_by_key(|id| brief(id).map(|b| b.attempts)),
        }
        if sort.descending {
            ids.reverse();
        }
        View { filter, sort, ids, revision: self.revision }
    }

    /// A window of a view, each video as it is now.
    pub fn rows(&self, view: &View, offset: usize, len: usize) -> Vec<Row> {
        view.ids.iter().skip(offset).take(len).filter_map(|id| self.row(*id as usize)).collect()
    }

    fn row(&self, id: VideoId) -> Option<Row> {
        let (file, brief) = (self.files.get(id)?, self.briefs.get(id)?);
        Some(Row {
            video: file.name.as_str().to_owned(),
            state: brief.state,
            size: file.stamp.size,
            attempts: brief.attempts.into(),
            reason: self.reasons.get(&id).cloned(),
            has_feature: false,
            facts: None,
        })
    }

    /// The failed videos that one of the patterns matches; all of them where there is none. The error names the pattern
    /// that cannot be read, or that matches no video at all.
    ///
    /// # Errors
    /// As said.
    pub fn failed(&self, patterns: &[String]) -> Result<Vec<VideoId>, String> {
        let options = MatchOptions { require_literal_separator: false, ..MatchOptions::new() };
        let mut compiled = vec![];
        for text in patterns {
            let pattern = Pattern::new(text).map_err(|error| format!("{text:?} is no pattern: {error}"))?;
            compiled.push((text, pattern, false));
        }
        let mut found = vec![];
        for (id, brief) in self.briefs.iter().enumerate() {
            let Some(file) = self.files.get(id) else { continue };
            let whole = file.name.as_str();
            let name = file.name.file();
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            let mut hit = patterns.is_empty();
            for (text, pattern, used) in &mut compiled {
                let matches =
                    [whole, name, stem].iter().any(|n| *n == text.as_str() || pattern.matches_with(n, options));
                *used |= matches;
                hit |= matches;
            }
            if hit && brief.state == RowState::Failed {
                found.push(id);
            }
        }
        match compiled.iter().find(|(.., used)| !used) {
            Some((text, ..)) => Err(format!("no video matches {text:?}")),
            None if found.is_empty() => Err("none of them has failed".into()),
            None => Ok(found),
        }
    }
}

/// Whether a text contains another, which is in lower case, in any case.
fn contains(text: &str, needle: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(needle);
    }
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    needle.is_empty() || text.windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_contract::source::SourceStamp;
    use reeldeck_contract::video::VideoName;

    fn table(videos: &[(&str, RowState, u64)]) -> Table {
        let file = |(name, _, size): &(&str, RowState, u64)| VideoFile {
            name: VideoName::new(name).unwrap(),
            stamp: SourceStamp { size: *size, mtime_ns: 0 },
        };
        let reason = |state| (state == RowState::Failed).then(|| "No Moov in it".to_owned());
        let briefs = videos.iter().map(|(_, state, _)| (Brief { state: *state, attempts: 0 }, reason(*state)));
        Table::new(videos.iter().map(file).collect(), briefs)
    }

    fn names(table: &Table, filter: Filter, sort: Sort) -> Vec<String> {
        let view = table.view(filter, sort);
        table.rows(&view, 0, 100).into_iter().map(|row| row.video).collect()
    }

    fn some() -> Table {
        table(&[
            ("A b/v_1.mp4", RowState::Done, 30),
            ("A b/v_2.mp4", RowState::Failed, 10),
            ("C/v_É.mp4", RowState::Queued, 20),
        ])
    }

    #[test]
    fn filters_look_at_name_state_and_reason() {
        let table = some();
        let text = |text: &str| names(&table, Filter { text: text.into(), ..Filter::default() }, Sort::default());
        assert_eq!(text("a B/"), ["A b/v_1.mp4", "A b/v_2.mp4"]);
        assert_eq!(text("moov"), ["A b/v_2.mp4"]);
        assert_eq!(text("QUEUED"), ["C/v_É.mp4"]);
        assert_eq!(text("é"), ["C/v_É.mp4"]);
        assert_eq!(text("nothing"), [] as [&str; 0]);
        let class = Filter { class: Some("C".into()), ..Filter::default() };
        assert_eq!(names(&table, class, Sort::default()), ["C/v_É.mp4"]);
        let states = Filter { states: vec![RowState::Done, RowState::Queued], ..Filter::default() };
        assert_eq!(names(&table, states, Sort::default()).len(), 2);
    }

    #[test]
    fn any_column_sorts() {
        let table = some();
        let by = |by, descending| names(&table, Filter::default(), Sort { by, descending })[0].clone();
        assert_eq!(by(Column::Size, false), "A b/v_2.mp4");
        assert_eq!(by(Column::Size, true), "A b/v_1.mp4");
        assert_eq!(by(Column::State, false), "C/v_É.mp4");
        assert_eq!(by(Column::Name, true), "C/v_É.mp4");
    }

    #[test]
    fn counts_of_classes_follow_changes() {
        let mut table = some();
        table.change(vec![
            (1, Brief { state: RowState::Done, attempts: 2 }, None),
            (9, Brief { state: RowState::Done, attempts: 0 }, None),
        ]);
        let classes = table.classes();
        assert_eq!((classes[0].class.as_str(), classes[0].counts), ("A b", std::array::from_fn(|i| if i == RowState::Done as usize { 2 } else { 0 })));
        assert_eq!((table.revision(), classes.len()), (1, 2));
        let row = table.rows(&table.view(Filter::default(), Sort::default()), 1, 1).remove(0);
        assert_eq!((row.attempts, row.reason, row.size), (2, None, 10));
    }

    #[test]
    fn patterns_find_failed_videos() {
        let table = some();
        let failed = |patterns: &[&str]| table.failed(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(failed(&[]), Ok(vec![1]));
        for pattern in ["A b/*", "v_2", "v_?.mp4", "A b/v_2.mp4", "*2*"] {
            assert_eq!(failed(&[pattern]), Ok(vec![1]), "{pattern}");
        }
        assert!(failed(&["v_1"]).unwrap_err().contains("none of them has failed"));
        assert!(failed(&["v_2", "v_9"]).unwrap_err().contains("no video matches \"v_9\""));
        assert!(failed(&["[a"]).unwrap_err().contains("no pattern"));
    }
}
