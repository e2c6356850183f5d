//! The lines of the log that are held here, with their filter and cursor.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text;
use crate::protocol::LogLine;
use crate::protocol::words::Level;

/// The number of lines held. The log file has the older ones.
pub(super) const MAX_LINES: usize = 1_000;

/// Text is not wrapped at fewer columns.
const MIN_COLUMNS: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `14:02:11`.
    pub time: String,
    pub level: Level,
    pub text: String,
    lower: String,
    at: Timestamp,
    /// It comes from this window: the engine does not know it.
    is_own: bool,
}

impl Entry {
    /// The line as text.
    pub(super) fn line(&self) -> String {
        format!("{} {} {}", self.time, self.level.word(), self.text)
    }

    /// The rows of its text, wrapped at so many columns.
    pub(super) fn rows(&self, wrap: Option<usize>) -> Vec<Cow<'_, str>> {
        let text = text::sanitized(&self.text);
        match wrap {
            Some(columns) if text::width(&text) > columns => {
                text::wrap(&text, columns.max(MIN_COLUMNS)).into_iter().map(Cow::Owned).collect()
            }
            _ => vec![text],
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct LogPane {
    lines: VecDeque<Entry>,
    pub min_level: Level,
    /// Only lines that contain this text are shown.
    pub text: String,
    /// The cursor's distance from the last shown line.
    back: usize,
    /// The number of rows that fit on the screen.
    pub height: usize,
    /// The columns at which long lines are wrapped; otherwise each takes one row.
    pub wrap: Option<usize>,
    /// The file with all lines.
    pub file: PathBuf,
}

impl Default for LogPane {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            min_level: Level::Detail,
            text: String::new(),
            back: 0,
            height: 1,
            wrap: None,
            file: PathBuf::new(),
        }
    }
}

impl LogPane {
    /// Replaces all lines of the engine.
    pub(super) fn replace(&mut self, lines: Vec<LogLine>, zone: &TimeZone) {
        self.lines.retain(|entry| entry.is_own);
        self.back = 0;
        for line in lines {
            self.add(line, zone);
        }
        self.lines.make_contiguous().sort_by_key(|entry| entry.at);
    }

    /// Appends a line of the engine.
    pub(super) fn add(&mut self, line: LogLine, zone: &TimeZone) {
        let at = line.time.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        self.push(at, line.level, &line.text, false, zone);
    }

    /// Appends a line of this window: what the user has asked for, and its result.
    pub(super) fn add_own(&mut self, at: Timestamp, level: Level, text: &str, zone: &TimeZone) {
        self.push(at, level, text, true, zone);
    }

    /// If the cursor is not at the end, it stays on its line.
    fn push(&mut self, at: Timestamp, level: Level, text: &str, is_own: bool, zone: &TimeZone) {
        let time = at.to_zoned(zone.clone()).strftime("%T").to_string();
        let text = text.lines().map(str::trim).collect::<Vec<_>>().join(" · ");
        let entry = Entry { time, level, lower: text.to_lowercase(), text, at, is_own };
        if self.back > 0 && self.shows(&entry) {
            self.back += 1;
        }
        if self.lines.len() >= MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(entry);
        self.back = self.back.min(self.count().saturating_sub(1));
    }

    fn shows(&self, entry: &Entry) -> bool {
        entry.level >= self.min_level && (self.text.is_empty() || entry.lower.contains(&self.text.to_lowercase()))
    }

    /// The number of lines that pass the filter.
    pub(super) fn count(&self) -> usize {
        self.lines.iter().filter(|entry| self.shows(entry)).count()
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn current(&self) -> Option<&Entry> {
        self.lines.iter().rev().filter(|entry| self.shows(entry)).nth(self.back)
    }

    /// All lines that pass the filter, oldest first, as one text.
    pub(super) fn shown_text(&self) -> String {
        let lines = self.lines.iter().filter(|entry| self.shows(entry));
        lines.map(|entry| format!("{}\n", entry.line())).collect()
    }

    /// Whether there are no lines, regardless of the filter.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The cursor follows new lines.
    pub(super) fn is_at_end(&self) -> bool {
        self.back == 0
    }

    pub(super) fn move_by(&mut self, by: isize) {
        self.back = self.back.saturating_add_signed(-by).min(self.count().saturating_sub(1));
    }

    pub(super) fn set_filter(&mut self, min_level: Level, text: &str) {
        self.min_level = min_level;
        text.clone_into(&mut self.text);
        self.back = 0;
    }

    /// The lines that fit into `room` rows, the oldest first and possibly in part, and the index of the one with the cursor.
    pub(super) fn window(&self, room: usize) -> (Vec<&Entry>, usize) {
        let newest: Vec<&Entry> = self.lines.iter().rev().filter(|entry| self.shows(entry)).collect();
        let rows = |entry: &&Entry| entry.rows(self.wrap).len();
        let mut used = 0;
        let mut fits = |entry: &&&Entry| {
            used += rows(entry);
            used <= room
        };
        let to_cursor = newest.get(..=self.back).unwrap_or_default();
        let fitting = to_cursor.iter().rev().take_while(&mut fits).count().max(1);
        let below = to_cursor.len().saturating_sub(fitting);
        let mut used = 0;
        let starts_inside = |entry: &&&Entry| {
            let starts = used < room;
            used += rows(entry);
            starts
        };
        let mut lines: Vec<&Entry> = newest.iter().skip(below).take_while(starts_inside).copied().collect();
        lines.reverse();
        let cursor = lines.len().saturating_sub(1 + self.back - below);
        (lines, cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, text: &str) -> LogLine {
        LogLine { time: "2026-11-24T14:02:11.5Z".into(), level, text: text.into() }
    }

    fn pane(n: usize) -> LogPane {
        let mut pane = LogPane::default();
        let level = |i| if i % 10 == 0 { Level::Problem } else { Level::Detail };
        pane.replace((0..n).map(|i| line(level(i), &format!("line {i}"))).collect(), &TimeZone::UTC);
        pane
    }

    #[test]
    fn old_lines_are_dropped() {
        let pane = pane(MAX_LINES + 5);
        assert_eq!(pane.held(), MAX_LINES);
        assert_eq!(pane.current().unwrap().text, format!("line {}", MAX_LINES + 4));
        assert_eq!(pane.current().unwrap().time, "14:02:11");
    }

    #[test]
    fn new_lines_do_not_move_an_older_selection() {
        let mut pane = pane(50);
        pane.move_by(-5);
        assert_eq!(pane.current().unwrap().text, "line 44");
        pane.add(line(Level::Info, "new"), &TimeZone::UTC);
        assert_eq!(pane.current().unwrap().text, "line 44");
        let (lines, cursor) = pane.window(10);
        assert_eq!((lines.len(), lines[cursor].text.as_str(), lines[9].text.as_str()), (10, "line 44", "new"));
        pane.move_by(100);
        assert_eq!(pane.current().unwrap().text, "new");
        pane.move_by(-100);
        let (lines, cursor) = pane.window(10);
        assert_eq!((cursor, lines[0].text.as_str()), (0, "line 0"));
    }

    #[test]
    fn wrapped_lines_are_whole_around_the_cursor() {
        let mut pane = pane(0);
        let long = "a b c d e f g h i j k l";
        ["one", long, "three", long, "five"].iter().for_each(|text| pane.add(line(Level::Info, text), &TimeZone::UTC));
        pane.wrap = Some(12);
        let shown = |pane: &LogPane, room| {
            let (lines, cursor) = pane.window(room);
            (lines.iter().map(|entry| entry.text.chars().next().unwrap()).collect::<String>(), cursor)
        };
        assert_eq!(pane.lines[1].rows(pane.wrap), ["a b c d e f", "g h i j k l"]);
        assert_eq!(shown(&pane, 7), ("oataf".into(), 4));
        assert_eq!(shown(&pane, 5), ("ataf".into(), 3), "the first one in part");
        pane.move_by(-3);
        assert_eq!(shown(&pane, 5), ("ata".into(), 0));
        assert_eq!(shown(&pane, 1), ("a".into(), 0));
        pane.wrap = None;
        assert_eq!(shown(&pane, 3), ("ata".into(), 0));
    }

    #[test]
    fn own_lines_stay_in_their_place_when_the_engine_sends_its_log_again() {
        let mut pane = pane(3);
        let at = "2026-11-24T14:02:12Z".parse().unwrap();
        pane.add_own(at, Level::Info, "wrote missing.txt", &TimeZone::UTC);
        let later = LogLine { time: "2026-11-24T14:02:13Z".into(), ..line(Level::Info, "later") };
        pane.replace(vec![line(Level::Info, "first"), later], &TimeZone::UTC);
        assert_eq!(pane.shown_text(), "14:02:11 info first\n14:02:12 info wrote missing.txt\n14:02:13 info later\n");
    }

    #[test]
    fn lines_are_filtered_by_level_and_text() {
        let mut pane = pane(50);
        pane.set_filter(Level::Problem, "");
        assert_eq!(pane.count(), 5);
        pane.set_filter(Level::Detail, "LINE 1");
        assert_eq!(pane.count(), 11);
        pane.set_filter(Level::Problem, "nothing");
        assert_eq!((pane.count(), pane.window(5)), (0, (vec![], 0)));
        assert_eq!(pane.window(0).0.len(), 0);
    }
}
