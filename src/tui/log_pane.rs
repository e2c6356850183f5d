//! The lines of the log that are held here, and which of them are shown.

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::protocol::LogLine;
use crate::protocol::words::Level;

/// Lines held; older ones are in the file.
pub const MAX_LINES: usize = 1_000;

/// A line as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `14:02:11`.
    pub time: String,
    /// How much it matters.
    pub level: Level,
    /// What.
    pub text: String,
    lower: String,
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogPane {
    lines: VecDeque<Entry>,
    /// Lines that matter less are not shown.
    pub min_level: Level,
    /// Lines without this text are not shown.
    pub text: String,
    /// Lines between the cursor and the end, among those shown.
    back: usize,
    /// Lines above the last that is seen and below the cursor.
    pub height: usize,
}

impl Default for LogPane {
    fn default() -> Self {
        Self { lines: VecDeque::new(), min_level: Level::Detail, text: String::new(), back: 0, height: 1 }
    }
}

impl LogPane {
    /// Takes what was said before we came.
    pub fn replace(&mut self, lines: Vec<LogLine>, zone: &TimeZone) {
        self.lines.clear();
        self.back = 0;
        for line in lines {
            self.add(line, zone);
        }
    }

    /// Takes a line. Who looks at older ones goes on seeing them.
    pub fn add(&mut self, line: LogLine, zone: &TimeZone) {
        let time = line.time.parse::<Timestamp>().map(|time| time.to_zoned(zone.clone()).strftime("%T").to_string());
        let text = line.text.lines().map(str::trim).collect::<Vec<_>>().join(" · ");
        let entry = Entry { time: time.unwrap_or_default(), level: line.level, lower: text.to_lowercase(), text };
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

    /// How many lines are shown.
    pub fn count(&self) -> usize {
        self.lines.iter().filter(|entry| self.shows(entry)).count()
    }

    /// How many lines are held.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.lines.len()
    }

    /// The line under the cursor.
    pub fn current(&self) -> Option<&Entry> {
        self.lines.iter().rev().filter(|entry| self.shows(entry)).nth(self.back)
    }

    /// At the end, where new lines come.
    pub fn is_at_end(&self) -> bool {
        self.back == 0
    }

    /// Moves the cursor up or down.
    pub fn move_by(&mut self, by: isize) {
        self.back = self.back.saturating_add_signed(-by).min(self.count().saturating_sub(1));
    }

    /// Shows less or more.
    pub fn set_filter(&mut self, min_level: Level, text: &str) {
        self.min_level = min_level;
        text.clone_into(&mut self.text);
        self.back = 0;
    }

    /// The lines to be seen in so much room, the oldest first, and which of them has the cursor.
    pub fn window(&self, room: usize) -> (Vec<&Entry>, usize) {
        let below = if self.back < room { 0 } else { self.back + 1 - room };
        let mut lines: Vec<&Entry> =
            self.lines.iter().rev().filter(|entry| self.shows(entry)).skip(below).take(room).collect();
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
    fn it_forgets_the_oldest() {
        let pane = pane(MAX_LINES + 5);
        assert_eq!(pane.held(), MAX_LINES);
        assert_eq!(pane.current().unwrap().text, format!("line {}", MAX_LINES + 4));
        assert_eq!(pane.current().unwrap().time, "14:02:11");
    }

    #[test]
    fn who_looks_back_goes_on_seeing_the_same() {
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
    fn levels_and_texts_choose() {
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
