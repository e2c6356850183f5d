//! The classes with their progress: which are shown, in which order, and where the cursor is. The first line is all of them.

use crate::protocol::row::{ClassRow, RowState, StateCounts};

/// In which order classes stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClassOrder {
    /// By name.
    #[default]
    Name,
    /// The least done first.
    Progress,
    /// The most problems first.
    Problems,
}

impl ClassOrder {
    /// The next one.
    pub fn next(self) -> Self {
        match self {
            Self::Name => Self::Progress,
            Self::Progress => Self::Problems,
            Self::Problems => Self::Name,
        }
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Progress => "progress",
            Self::Problems => "problems",
        }
    }
}

/// States that want attention.
pub const PROBLEMS: [RowState; 6] = [
    RowState::Failed,
    RowState::Corrupt,
    RowState::Missing,
    RowState::WrongDuration,
    RowState::Duplicate,
    RowState::Stale,
];

/// How many videos are in this state.
pub fn count_of(counts: &StateCounts, state: RowState) -> u64 {
    counts.get(state as usize).map_or(0, |count| u64::from(*count))
}

/// How many want attention.
pub fn problems_of(counts: &StateCounts) -> u64 {
    PROBLEMS.iter().map(|state| count_of(counts, *state)).sum()
}

/// How many are done, and of how many: what is missing counts, what is excluded or not of this run does not.
pub fn progress_of(row: &ClassRow) -> (u64, u64) {
    let counts = &row.counts;
    let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let out = count_of(counts, RowState::Excluded) + count_of(counts, RowState::LeftOut);
    let all = all.saturating_sub(out);
    (u64::from(row.done).min(all), all)
}

/// The classes.
#[derive(Clone, Debug, Default)]
pub struct ClassList {
    rows: Vec<ClassRow>,
    shown: Vec<usize>,
    order: ClassOrder,
    text: String,
    selected: usize,
    top: usize,
    height: usize,
}

impl ClassList {
    /// Takes them as they are now. The cursor stays on its class.
    pub fn set(&mut self, rows: Vec<ClassRow>) {
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
            ClassOrder::Problems => shown.sort_by_key(|(_, row)| std::cmp::Reverse(problems_of(&row.counts))),
        }
        let place = current.and_then(|current| shown.iter().position(|(_, row)| row.class == current));
        self.shown = shown.into_iter().map(|(index, _)| index).collect();
        self.selected = place.map_or_else(|| self.selected.min(self.shown.len()), |place| place + 1);
        self.scroll_to_cursor();
    }

    /// Shows only classes with this text.
    pub fn set_filter(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        let current = self.current().map(|row| row.class.clone());
        self.rebuild(current);
    }

    /// What is looked for.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The next order.
    pub fn next_order(&mut self) {
        self.order = self.order.next();
        let current = self.current().map(|row| row.class.clone());
        self.rebuild(current);
    }

    /// In which order.
    pub fn order(&self) -> ClassOrder {
        self.order
    }

    /// All classes, shown or not.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Lines: that for all, and those shown.
    pub fn len(&self) -> usize {
        self.shown.len() + 1
    }

    /// A line; none for the first, which is all of them.
    pub fn line(&self, index: usize) -> Option<&ClassRow> {
        self.rows.get(*self.shown.get(index.checked_sub(1)?)?)
    }

    /// The class under the cursor; none for all of them.
    pub fn current(&self) -> Option<&ClassRow> {
        self.line(self.selected)
    }

    /// All of them together.
    pub fn total(&self) -> ClassRow {
        let mut total = ClassRow::default();
        for row in &self.rows {
            for (sum, count) in total.counts.iter_mut().zip(row.counts) {
                *sum += count;
            }
            total.done += row.done;
        }
        total
    }

    /// The line under the cursor.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// The first line that is seen.
    pub fn top(&self) -> usize {
        self.top
    }

    /// So many lines are seen at a time.
    pub fn set_height(&mut self, height: usize) {
        self.height = height.max(1);
        self.scroll_to_cursor();
    }

    /// So many lines are seen at a time.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Moves the cursor.
    pub fn move_to(&mut self, index: usize) {
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

    fn row(class: &str, done: u32, failed: u32, ready: u32) -> ClassRow {
        let mut counts = StateCounts::default();
        for (state, count) in [(RowState::Done, done), (RowState::Failed, failed), (RowState::Ready, ready)] {
            counts[state as usize] = count;
        }
        ClassRow { class: class.into(), counts, done }
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
    fn orders_and_texts_choose_and_the_cursor_stays_on_its_class() {
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
    fn progress_counts_what_should_be_done() {
        let list = list();
        assert_eq!(progress_of(&list.total()), (4, 16));
        assert_eq!(problems_of(&list.total().counts), 3);
        let mut row = ClassRow { done: 1, ..ClassRow::default() };
        row.counts[RowState::Excluded as usize] = 5;
        row.counts[RowState::Degraded as usize] = 2;
        assert_eq!(progress_of(&row), (1, 2), "what a check calls degraded is still to be done");
    }
}
