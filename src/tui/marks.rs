//! Marked videos: some by name, or all that a filter lets through.

use std::collections::BTreeMap;

use crate::protocol::row::{Filter, Row, RowState, Select, Sort};

/// So many are marked by name at most; more only as all that a filter lets through.
pub const MAX_NAMED: usize = 10_000;

/// A command's names may take so many bytes, well below what the engine reads as one line.
const NAMES_BYTES: usize = 40_000;

/// What is marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// By name, each with its state when it was marked.
    names: BTreeMap<String, RowState>,
    /// All of a filter, and how many those were.
    all: Option<(Filter, usize)>,
}

impl Marks {
    /// How many.
    pub fn len(&self) -> usize {
        self.all.as_ref().map_or(self.names.len(), |(_, count)| *count)
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this row is marked, as far as can be told.
    pub fn has(&self, row: &Row, filter: &Filter) -> bool {
        self.all.as_ref().is_some_and(|(all, _)| all == filter) || self.names.contains_key(&row.video)
    }

    /// All of a filter are marked, not some by name.
    pub fn are_all(&self) -> bool {
        self.all.is_some()
    }

    /// Marks or unmarks one.
    ///
    /// # Errors
    /// In words, when it cannot be one more or one less.
    pub fn toggle(&mut self, video: &str, state: RowState) -> Result<(), String> {
        if let Some((_, count)) = &self.all {
            return Err(format!("all {count} of a filter are marked; take the marks away to mark single ones"));
        }
        if self.names.remove(video).is_none() {
            self.add(video, state)?;
        }
        Ok(())
    }

    /// Marks one.
    ///
    /// # Errors
    /// When there would be too many.
    pub fn add(&mut self, video: &str, state: RowState) -> Result<(), String> {
        if self.all.take().is_some() {
            self.names.clear();
        }
        if self.names.len() >= MAX_NAMED {
            return Err(format!("no more than {MAX_NAMED} are marked one by one; mark all of a filter instead"));
        }
        self.names.insert(video.to_owned(), state);
        Ok(())
    }

    /// Marks those that were not, of these, and the other way round.
    ///
    /// # Errors
    /// When there would be too many.
    pub fn invert(&mut self, rows: impl Iterator<Item = (String, RowState)>) -> Result<(), String> {
        for (video, state) in rows {
            self.toggle(&video, state)?;
        }
        Ok(())
    }

    /// Marks all that a filter lets through.
    pub fn mark_all(&mut self, filter: Filter, count: usize) {
        self.names.clear();
        self.all = Some((filter, count));
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The states of those marked by name.
    pub fn states(&self) -> impl Iterator<Item = RowState> {
        self.names.values().copied()
    }

    /// What an order means by them: in parts that the engine reads as one line each.
    pub fn selects(&self) -> Vec<Select> {
        match &self.all {
            Some((filter, _)) => vec![Select { videos: vec![], filter: Some(filter.clone()) }],
            None => parts(self.names.keys().cloned()),
        }
    }
}

/// What becomes of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkOperation {
    /// They are marked.
    Mark,
    /// They are marked where they were not, and the other way round.
    Invert,
}

/// Names on their way.
#[derive(Clone, Debug)]
pub struct BulkMark {
    pub filter: Filter,
    pub sort: Sort,
    pub next: usize,
    pub to: usize,
    pub names: Vec<(String, RowState)>,
    pub operation: MarkOperation,
}

/// Names in parts that the engine reads as one line each.
pub fn parts(names: impl Iterator<Item = String>) -> Vec<Select> {
    let mut parts: Vec<Select> = vec![];
    let mut room = 0;
    for name in names {
        // Quotes and control characters take more room in JSON; six bytes a character is the most.
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
    fn single_ones_and_all_of_a_filter_do_not_mix() {
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
    fn no_order_is_longer_than_the_engine_reads() {
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
