//! The list of classes with their progress: filter, order and cursor. Its first line stands for all classes.

use crate::protocol::row::{ClassRow, Finding, FindingCounts, NO_CLASS, RowState, StateCounts};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClassOrder {
    #[default]
    Name,
    /// The least complete first.
    Progress,
    /// The most problems first.
    Problems,
}

impl ClassOrder {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Name => Self::Progress,
            Self::Progress => Self::Problems,
            Self::Problems => Self::Name,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Progress => "progress",
            Self::Problems => "problems",
        }
    }
}

pub(super) fn count_of(counts: &StateCounts, state: RowState) -> u64 {
    counts.get(state as usize).map_or(0, |count| u64::from(*count))
}

pub(super) fn findings_of(counts: &FindingCounts, finding: Finding) -> u64 {
    counts.get(finding as usize).map_or(0, |count| u64::from(*count))
}

/// The number of finished videos and of all videos on disk, without those that are excluded or outside this run.
pub(super) fn progress_of(row: &ClassRow) -> (u64, u64) {
    let counts = &row.counts;
    let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let others = [RowState::Missing, RowState::Excluded, RowState::LeftOut, RowState::Refused, RowState::Ignored];
    let out: u64 = others.into_iter().map(|state| count_of(counts, state)).sum();
    (count_of(counts, RowState::Done), all.saturating_sub(out))
}

#[derive(Clone, Debug, Default)]
pub(super) struct ClassList {
    rows: Vec<ClassRow>,
    shown: Vec<usize>,
    order: ClassOrder,
    text: String,
    selected: usize,
    top: usize,
    height: usize,
}

impl ClassList {
    /// The cursor stays on its class.
    pub(super) fn set(&mut self, rows: Vec<ClassRow>) {
        let current = self.current().map(|row| row.class.clone());
        self.rows = rows;
        self.rebuild(current);
    }

    fn rebuild(&mut self, current: Option<String>) {
        let needle = self.text.to_lowercase();
        let mut shown: Vec<(usize, &ClassRow)> =
            self.rows.iter().enumerate().filter(|(_, row)| row.class.to_lowercase().contains(&needle)).collect();
        match self.order {
            ClassOrder::Name => {}
            ClassOrder::Progress => shown.sort_by_key(|(_, row)| {
                let (done, all) = progress_of(row);
                (done * 1_000_000).checked_div(all).unwrap_or(u64::MAX)
            }),
            ClassOrder::Problems => shown.sort_by_key(|(_, row)| std::cmp::Reverse(row.problems)),
        }
        let place = current.and_then(|current| shown.iter().position(|(_, row)| row.class == current));
        self.shown = shown.into_iter().map(|(index, _)| index).collect();
        self.selected = place.map_or_else(|| self.selected.min(self.shown.len()), |place| place + 1);
        self.scroll_to_cursor();
    }

    /// Shows only classes whose name contains the text.
    pub(super) fn set_filter(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        let current = self.current().map(|row| row.class.clone());
        self.rebuild(current);
    }

    /// The filter.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn next_order(&mut self) {
        self.order = self.order.next();
        let current = self.current().map(|row| row.class.clone());
        self.rebuild(current);
    }

    pub(super) fn order(&self) -> ClassOrder {
        self.order
    }

    /// The number of classes, regardless of the filter. Videos without a class have a line, but are none.
    pub(super) fn count(&self) -> usize {
        self.rows.iter().filter(|row| row.class != NO_CLASS).count()
    }

    /// The number of visible lines, including the line for all classes.
    pub(super) fn len(&self) -> usize {
        self.shown.len() + 1
    }

    /// The class in a line; `None` for the first line, which stands for all.
    pub(super) fn line(&self, index: usize) -> Option<&ClassRow> {
        self.rows.get(*self.shown.get(index.checked_sub(1)?)?)
    }

    /// The class under the cursor; `None` for all.
    pub(super) fn current(&self) -> Option<&ClassRow> {
        self.line(self.selected)
    }

    /// The sum of all classes.
    pub(super) fn total(&self) -> ClassRow {
        let mut total = ClassRow::default();
        for row in &self.rows {
            for (sum, count) in total.counts.iter_mut().zip(row.counts) {
                *sum += count;
            }
            for (sum, count) in total.findings.iter_mut().zip(row.findings) {
                *sum += count;
            }
            total.problems += row.problems;
        }
        total
    }

    pub(super) fn selected(&self) -> usize {
        self.selected
    }

    /// The first visible line.
    pub(super) fn top(&self) -> usize {
        self.top
    }

    pub(super) fn set_height(&mut self, height: usize) {
        self.height = height.max(1);
        self.scroll_to_cursor();
    }

    /// The number of lines that fit on the screen.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn move_to(&mut self, index: usize) {
        self.selected = index.min(self.shown.len());
        self.scroll_to_cursor();
    }

    fn scroll_to_cursor(&mut self) {
        let height = self.height.max(1);
        self.top = self.top.min(self.selected).max((self.selected + 1).saturating_sub(height));
        self.top = self.top.min(self.len().saturating_sub(height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(class: &str, done: u32, failed: u32, queued: u32) -> ClassRow {
        let mut counts = StateCounts::default();
        for (state, count) in [(RowState::Done, done), (RowState::Failed, failed), (RowState::Queued, queued)] {
            counts[state as usize] = count;
        }
        ClassRow { class: class.into(), counts, problems: failed, ..ClassRow::default() }
    }

    fn list() -> ClassList {
        let mut list = ClassList::default();
        list.set_height(3);
        list.set(vec![row("Archery", 3, 0, 1), row("Belly dance", 0, 2, 8), row("Zumba", 1, 1, 0)]);
        list
    }

    fn names(list: &ClassList) -> Vec<&str> {
        (1..list.len()).map(|i| list.line(i).unwrap().class.as_str()).collect()
    }

    #[test]
    fn order_and_filter_keep_the_cursor_on_its_class() {
        let mut list = list();
        list.move_to(3);
        list.next_order();
        assert_eq!(
            (names(&list), list.current().unwrap().class.as_str()),
            (vec!["Belly dance", "Zumba", "Archery"], "Zumba")
        );
        list.next_order();
        assert_eq!(names(&list), ["Belly dance", "Zumba", "Archery"]);
        list.set_filter("R");
        assert_eq!(names(&list), ["Archery"]);
        list.set_filter("");
        list.move_to(0);
        assert!(list.current().is_none() && list.line(9).is_none());
        list.set(vec![]);
        assert_eq!((list.len(), list.selected(), list.top()), (1, 0, 0));
    }

    #[test]
    fn progress_ignores_excluded_videos() {
        let list = list();
        assert_eq!(progress_of(&list.total()), (4, 16));
        assert_eq!(list.total().problems, 3);
        let mut row = ClassRow::default();
        row.counts[RowState::Done as usize] = 1;
        row.counts[RowState::Excluded as usize] = 5;
        row.counts[RowState::Missing as usize] = 1;
        row.counts[RowState::Refused as usize] = 2;
        row.counts[RowState::Ignored as usize] = 3;
        assert_eq!(progress_of(&row), (1, 1), "only videos on disk can be done");
    }
}
