//! Marked videos: some by name, or all that a filter matches.

use std::collections::BTreeMap;

use super::action::Action;
use crate::protocol::row::{Filter, Row, RowState, Select, Sort};

/// The largest number of videos that are marked by name. More can only be marked as all matches of a filter.
pub(super) const MAX_NAMED: usize = 10_000;

/// The bytes that the names of one command may take, well below the longest line that the engine reads.
const NAMES_BYTES: usize = 40_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// By name, with the state at the time of marking.
    names: BTreeMap<String, RowState>,
    /// All matches of a filter, and how many there were.
    all: Option<(Filter, usize)>,
}

impl Marks {
    pub(super) fn len(&self) -> usize {
        self.all.as_ref().map_or(self.names.len(), |(_, count)| *count)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a row is marked. Of a filter other than the current one this is not known.
    pub(super) fn has(&self, row: &Row, filter: &Filter) -> bool {
        self.all.as_ref().is_some_and(|(all, _)| all == filter) || self.names.contains_key(&row.video)
    }

    /// All matches of a filter are marked, not single videos.
    pub(super) fn are_all(&self) -> bool {
        self.all.is_some()
    }

    /// Marks or unmarks a video.
    ///
    /// # Errors
    /// When all matches of a filter are marked, or when there would be too many marks.
    pub(super) fn toggle(&mut self, video: &str, state: RowState) -> Result<(), String> {
        if let Some((_, count)) = &self.all {
            return Err(format!("all {count} matching videos are marked; remove the marks to mark single ones"));
        }
        if self.names.remove(video).is_none() {
            self.add(video, state)?;
        }
        Ok(())
    }

    /// Marks a video.
    ///
    /// # Errors
    /// When there would be too many marks.
    pub(super) fn add(&mut self, video: &str, state: RowState) -> Result<(), String> {
        if self.all.take().is_some() {
            self.names.clear();
        }
        if self.names.len() >= MAX_NAMED {
            return Err(format!(
                "at most {MAX_NAMED} videos can be marked one by one; mark all matching videos instead"
            ));
        }
        self.names.insert(video.to_owned(), state);
        Ok(())
    }

    /// Toggles the mark of each row.
    ///
    /// # Errors
    /// When there would be too many marks.
    pub(super) fn invert(&mut self, rows: impl Iterator<Item = (String, RowState)>) -> Result<(), String> {
        for (video, state) in rows {
            self.toggle(&video, state)?;
        }
        Ok(())
    }

    pub(super) fn mark_all(&mut self, filter: Filter, count: usize) {
        self.names.clear();
        self.all = Some((filter, count));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The states of the videos marked by name.
    pub(super) fn states(&self) -> impl Iterator<Item = RowState> {
        self.names.values().copied()
    }

    /// The selection for a command, in parts that each fit into one message.
    pub(super) fn selects(&self) -> Vec<Select> {
        match &self.all {
            Some((filter, _)) => vec![Select { videos: vec![], filter: Some(filter.clone()) }],
            None => parts(self.names.keys().cloned()),
        }
    }
}

/// What to do with the collected rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkOperation {
    Mark,
    /// Mark them, then do this with the marked videos.
    MarkAnd(Action),
    /// Toggle each mark.
    Invert,
}

/// Collects the names of rows `next..to` of a view, page by page, because the rows are not held here.
#[derive(Clone, Debug)]
pub(super) struct BulkMark {
    pub filter: Filter,
    pub sort: Sort,
    pub next: usize,
    pub to: usize,
    pub names: Vec<(String, RowState)>,
    pub operation: MarkOperation,
}

/// Splits names into parts that each fit into one message to the engine.
pub(super) fn parts(names: impl Iterator<Item = String>) -> Vec<Select> {
    let mut parts: Vec<Select> = vec![];
    let mut room = 0;
    for name in names {
        // In JSON, quotes and control characters take up to six bytes each.
        let needs = name.len() + 3 + 5 * name.chars().filter(|c| c.is_control() || matches!(c, '"' | '\\')).count();
        if needs > room || parts.is_empty() {
            room = NAMES_BYTES;
            parts.push(Select::default());
        }
        room = room.saturating_sub(needs);
        if let Some(part) = parts.last_mut() {
            part.videos.push(name);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Command, MAX_LINE, ToEngine};

    #[test]
    fn single_marks_and_marking_all_are_exclusive() {
        let mut marks = Marks::default();
        marks.toggle("A/a", RowState::Done).unwrap();
        marks.toggle("A/b", RowState::Failed).unwrap();
        marks.toggle("A/a", RowState::Done).unwrap();
        assert_eq!((marks.len(), marks.selects()[0].videos.as_slice()), (1, ["A/b".to_owned()].as_slice()));
        let filter = Filter { text: "x".into(), ..Filter::default() };
        marks.mark_all(filter.clone(), 70_000);
        assert_eq!((marks.len(), marks.selects().len()), (70_000, 1));
        assert!(marks.toggle("A/a", RowState::Done).unwrap_err().contains("70000"));
        assert_eq!(marks.selects()[0].filter, Some(filter));
        marks.clear();
        assert!(marks.is_empty());
    }

    #[test]
    fn commands_fit_into_one_message() {
        let mut marks = Marks::default();
        for i in 0..MAX_NAMED {
            marks.add(&format!("A \"class\" of a long name/{}-{i}.mp4", "é\u{1}".repeat(9)), RowState::Failed).unwrap();
        }
        assert!(marks.add("one more", RowState::Failed).is_err());
        let commands: Vec<_> = marks.selects().into_iter().map(|select| Command::Redo { select }).collect();
        assert!(commands.len() > 1);
        let mut names = 0;
        for command in commands {
            if let Command::Redo { select } = &command {
                names += select.videos.len();
            }
            let line = serde_json::to_string(&ToEngine::Command { id: u64::MAX, command }).unwrap();
            assert!(line.len() < MAX_LINE, "{}", line.len());
        }
        assert_eq!(names, MAX_NAMED);
    }
}
