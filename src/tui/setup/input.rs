//! A line of text with a cursor: what is typed, removed, pasted, and which part of it is seen.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

use super::super::text;

/// Longer than any path.
const LONGEST: usize = 8192;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    text: String,
    /// In bytes, always at the edge of a grapheme.
    cursor: usize,
}

/// What a key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// The text is another one.
    Changed,
    /// The cursor is elsewhere, or could have been.
    Moved,
    /// It is no key of a line.
    No,
}

impl Input {
    /// This text, with the cursor at its end.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.len(), text }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text before the cursor.
    pub fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// Puts this in the place of what is before the cursor.
    pub fn replace_before(&mut self, with: &str) {
        self.text.replace_range(..self.cursor, with);
        self.cursor = with.len();
    }

    /// Inserts a text, without what is no part of a line.
    pub fn insert(&mut self, what: &str) -> Typed {
        let what: String = what.chars().filter(|c| !c.is_control()).collect();
        if what.is_empty() || self.text.len() + what.len() > LONGEST {
            return Typed::Moved;
        }
        self.text.insert_str(self.cursor, &what);
        self.cursor += what.len();
        // What was typed may have become one with what follows it.
        while !self.is_edge(self.cursor) {
            self.cursor += 1;
        }
        Typed::Changed
    }

    fn is_edge(&self, at: usize) -> bool {
        at >= self.text.len() || self.text.grapheme_indices(true).any(|(start, _)| start == at)
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Typed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match (key.code, control) {
            (KeyCode::Char('a'), true) | (KeyCode::Home, _) => self.go(0),
            (KeyCode::Char('e'), true) | (KeyCode::End, _) => self.go(self.text.len()),
            (KeyCode::Char('b'), true) | (KeyCode::Left, _) => self.go(self.previous()),
            (KeyCode::Char('f'), true) | (KeyCode::Right, _) => self.go(self.following()),
            (KeyCode::Char('u'), true) => self.remove(0, self.cursor),
            (KeyCode::Char('k'), true) => self.remove(self.cursor, self.text.len()),
            (KeyCode::Char('w'), true) => self.remove(self.word(), self.cursor),
            (KeyCode::Char('h'), true) | (KeyCode::Backspace, _) if !alt => self.remove(self.previous(), self.cursor),
            (KeyCode::Backspace, _) => self.remove(self.word(), self.cursor),
            (KeyCode::Char('d'), true) | (KeyCode::Delete, _) => self.remove(self.cursor, self.following()),
            (KeyCode::Char(c), false) if !alt => self.insert(c.encode_utf8(&mut [0; 4])),
            _ => Typed::No,
        }
    }

    fn go(&mut self, to: usize) -> Typed {
        self.cursor = to;
        Typed::Moved
    }

    fn remove(&mut self, from: usize, to: usize) -> Typed {
        if from >= to {
            return Typed::Moved;
        }
        self.text.replace_range(from..to, "");
        self.cursor = from;
        // What is left on both sides may have become one.
        while !self.is_edge(self.cursor) {
            self.cursor += 1;
        }
        Typed::Changed
    }

    fn previous(&self) -> usize {
        self.before().grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn following(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor + after.graphemes(true).next().map_or(0, str::len)
    }

    /// Where the part of a path, or the word, before the cursor begins.
    fn word(&self) -> usize {
        let is_between = |c: char| c == '/' || c == ' ' || c == ',';
        let before = self.before().trim_end_matches(is_between);
        before.rfind(is_between).map_or(0, |at| at + 1)
    }

    /// The part that is seen in `room` columns, made harmless, and the column of the cursor in it.
    pub fn seen(&self, room: usize) -> (String, usize) {
        let shown = |part: &str| text::harmless(part).into_owned();
        let (before, after) = (shown(self.before()), shown(self.text.get(self.cursor..).unwrap_or_default()));
        if room == 0 {
            return (String::new(), 0);
        }
        // A column is left free for the cursor behind the end.
        let start = text::clip_start(&before, room - 1, "");
        let column = text::width(&start);
        let end = text::clip(&after, room - column, "");
        (format!("{start}{end}"), column)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn press(input: &mut Input, code: KeyCode, modifiers: KeyModifiers) -> Typed {
        input.key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn a_line_is_edited_as_in_a_shell() {
        let mut input = Input::new("/data/hacs/train");
        let ctrl = |input: &mut Input, c| press(input, KeyCode::Char(c), KeyModifiers::CONTROL);
        assert_eq!(ctrl(&mut input, 'w'), Typed::Changed);
        assert_eq!(input.text(), "/data/hacs/");
        ctrl(&mut input, 'w');
        assert_eq!(input.text(), "/data/");
        press(&mut input, KeyCode::Home, KeyModifiers::NONE);
        press(&mut input, KeyCode::Right, KeyModifiers::NONE);
        input.insert("m\nnt/");
        assert_eq!((input.text(), input.before()), ("/mnt/data/", "/mnt/"));
        ctrl(&mut input, 'k');
        assert_eq!(input.text(), "/mnt/");
        press(&mut input, KeyCode::Backspace, KeyModifiers::NONE);
        assert_eq!(input.text(), "/mnt");
        ctrl(&mut input, 'u');
        assert_eq!(input.text(), "");
        assert_eq!(ctrl(&mut input, 'u'), Typed::Moved);
        assert_eq!(press(&mut input, KeyCode::Tab, KeyModifiers::NONE), Typed::No);
        assert_eq!(press(&mut input, KeyCode::Char('é'), KeyModifiers::NONE), Typed::Changed);
    }

    #[test]
    fn what_is_seen_follows_the_cursor() {
        let mut input = Input::new("/a/long/path/to/data");
        assert_eq!(input.seen(10), ("h/to/data".into(), 9));
        press(&mut input, KeyCode::Home, KeyModifiers::NONE);
        assert_eq!(input.seen(10), ("/a/long/pa".into(), 0));
        assert_eq!((input.seen(1), input.seen(0)), (("/".into(), 0), (String::new(), 0)));
    }

    proptest! {
        #[test]
        fn no_key_breaks_a_text(text in "\\PC{0,12}", keys in proptest::collection::vec((0..14_usize, any::<char>()), 0..30), room in 0..20_usize) {
            let mut input = Input::new(text);
            for (key, c) in keys {
                let (code, modifiers) = match key {
                    0 => (KeyCode::Left, KeyModifiers::NONE),
                    1 => (KeyCode::Right, KeyModifiers::NONE),
                    2 => (KeyCode::Home, KeyModifiers::NONE),
                    3 => (KeyCode::End, KeyModifiers::NONE),
                    4 => (KeyCode::Backspace, KeyModifiers::NONE),
                    5 => (KeyCode::Delete, KeyModifiers::NONE),
                    6 => (KeyCode::Char('w'), KeyModifiers::CONTROL),
                    7 => (KeyCode::Char('k'), KeyModifiers::CONTROL),
                    8 => (KeyCode::Char('\u{301}'), KeyModifiers::NONE),
                    _ => (KeyCode::Char(c), KeyModifiers::NONE),
                };
                press(&mut input, code, modifiers);
                prop_assert!(input.text.is_char_boundary(input.cursor));
                let (seen, column) = input.seen(room);
                prop_assert!(text::width(&seen) <= room && (column < room || room == 0));
            }
        }
    }
}
