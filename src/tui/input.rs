//! A line editor: the text, the cursor, the keys of a shell, and the part that is visible.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

use super::text;

/// Longer than any path, and short enough for one message to the engine.
const MAX_BYTES: usize = 8192;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    text: String,
    /// Byte offset, always on a grapheme boundary.
    cursor: usize,
    /// The whole text is selected.
    is_selected: bool,
}

/// The effect of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    Changed,
    /// An editing key that left the text as it was.
    Moved,
    /// Not an editing key.
    Ignored,
}

impl Input {
    /// The cursor starts at the end.
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.len(), text, is_selected: false }
    }

    /// The whole text is selected: what is typed replaces it, and deleting empties it. Moving the cursor ends the selection.
    pub(super) fn selected(text: impl Into<String>) -> Self {
        let mut input = Self::new(text);
        input.select();
        input
    }

    /// Selects the whole text.
    pub(super) fn select(&mut self) {
        (self.cursor, self.is_selected) = (self.text.len(), !self.text.is_empty());
    }

    pub(super) fn deselect(&mut self) {
        self.is_selected = false;
    }

    pub(super) fn is_selected(&self) -> bool {
        self.is_selected
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text before the cursor.
    pub(super) fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// The text after the cursor.
    pub(super) fn after(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    /// Replaces the text before the cursor.
    pub(super) fn replace_before(&mut self, with: &str) {
        self.text.replace_range(..self.cursor, with);
        (self.cursor, self.is_selected) = (with.len(), false);
    }

    /// Inserts at the cursor, or in place of a selected text, without control characters.
    pub(super) fn insert(&mut self, what: &str) -> Edit {
        let what: String = what.chars().filter(|c| !c.is_control()).collect();
        let kept = if self.is_selected { 0 } else { self.text.len() };
        if what.is_empty() || kept + what.len() > MAX_BYTES {
            return Edit::Moved;
        }
        self.remove_selected();
        self.text.insert_str(self.cursor, &what);
        self.cursor += what.len();
        self.align_cursor();
        Edit::Changed
    }

    /// Moves the cursor forward to a boundary: an edit can join the characters on its two sides into one grapheme.
    fn align_cursor(&mut self) {
        let is_boundary = |at: usize| self.text.grapheme_indices(true).any(|(start, _)| start == at);
        while self.cursor < self.text.len() && !is_boundary(self.cursor) {
            self.cursor += 1;
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Edit {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match (key.code, control) {
            (KeyCode::Char('a'), true) | (KeyCode::Home, _) => self.move_to(0),
            (KeyCode::Char('e'), true) | (KeyCode::End, _) => self.move_to(self.text.len()),
            (KeyCode::Char('b'), true) | (KeyCode::Left, _) => self.move_to(self.previous()),
            (KeyCode::Char('f'), true) | (KeyCode::Right, _) => self.move_to(self.next()),
            (KeyCode::Char('u'), true) => self.remove(0, self.cursor),
            (KeyCode::Char('k'), true) => self.remove(self.cursor, self.text.len()),
            (KeyCode::Char('w'), true) => self.remove(self.word_start(), self.cursor),
            (KeyCode::Char('h'), true) | (KeyCode::Backspace, _) if !alt => self.remove(self.previous(), self.cursor),
            (KeyCode::Backspace, _) => self.remove(self.word_start(), self.cursor),
            (KeyCode::Char('d'), true) | (KeyCode::Delete, _) => self.remove(self.cursor, self.next()),
            (KeyCode::Char(c), false) if !alt => self.insert(c.encode_utf8(&mut [0; 4])),
            _ => Edit::Ignored,
        }
    }

    fn move_to(&mut self, to: usize) -> Edit {
        (self.cursor, self.is_selected) = (to, false);
        Edit::Moved
    }

    /// True if there was a selected text.
    fn remove_selected(&mut self) -> bool {
        let is_selected = std::mem::take(&mut self.is_selected);
        if is_selected {
            self.text.clear();
            self.cursor = 0;
        }
        is_selected
    }

    fn remove(&mut self, from: usize, to: usize) -> Edit {
        if self.remove_selected() {
            return Edit::Changed;
        }
        if from >= to {
            return Edit::Moved;
        }
        self.text.replace_range(from..to, "");
        self.cursor = from;
        self.align_cursor();
        Edit::Changed
    }

    fn previous(&self) -> usize {
        self.before().grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn next(&self) -> usize {
        self.cursor + self.after().graphemes(true).next().map_or(0, str::len)
    }

    /// The start of the word, or of the component of a path, before the cursor.
    fn word_start(&self) -> usize {
        let is_separator = |c: char| c == '/' || c == ' ' || c == ',';
        let before = self.before().trim_end_matches(is_separator);
        before.rfind(is_separator).map_or(0, |at| at + 1)
    }

    /// The sanitized part that is visible in `width` columns, and the cursor's column in it.
    pub(super) fn visible(&self, width: usize) -> (String, usize) {
        if width == 0 {
            return (String::new(), 0);
        }
        let (before, after) = (text::sanitized(self.before()), text::sanitized(self.after()));
        // One column stays free for a cursor at the end.
        let start = text::truncate_start(&before, width - 1, "");
        let column = text::width(&start);
        let end = text::truncate(&after, width - column, "");
        (format!("{start}{end}"), column)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn press(input: &mut Input, code: KeyCode, modifiers: KeyModifiers) -> Edit {
        input.key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn keys_edit_as_in_a_shell() {
        let mut input = Input::new("/data/hacs/train");
        let ctrl = |input: &mut Input, c| press(input, KeyCode::Char(c), KeyModifiers::CONTROL);
        assert_eq!(ctrl(&mut input, 'w'), Edit::Changed);
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
        assert_eq!(ctrl(&mut input, 'u'), Edit::Moved);
        assert_eq!(press(&mut input, KeyCode::Tab, KeyModifiers::NONE), Edit::Ignored);
        assert_eq!(press(&mut input, KeyCode::Char('é'), KeyModifiers::NONE), Edit::Changed);
        input.insert("b c");
        ctrl(&mut input, 'w');
        assert_eq!((input.before(), input.after()), ("éb ", ""));
    }

    #[test]
    fn a_selected_text_is_replaced_emptied_or_edited() {
        let pressed = |code, modifiers| {
            let mut input = Input::selected("data/hacs");
            let edit = press(&mut input, code, modifiers);
            (edit, input.text().to_owned(), input.is_selected())
        };
        let plain = |code| pressed(code, KeyModifiers::NONE);
        let ctrl = |c| pressed(KeyCode::Char(c), KeyModifiers::CONTROL);
        assert_eq!(plain(KeyCode::Char('x')), (Edit::Changed, "x".into(), false));
        for emptied in [plain(KeyCode::Backspace), plain(KeyCode::Delete), ctrl('u'), ctrl('w'), ctrl('k')] {
            assert_eq!(emptied, (Edit::Changed, String::new(), false));
        }
        for moved in [plain(KeyCode::Left), plain(KeyCode::Right), plain(KeyCode::Home), ctrl('e')] {
            assert_eq!(moved, (Edit::Moved, "data/hacs".into(), false));
        }
        assert_eq!(plain(KeyCode::Tab), (Edit::Ignored, "data/hacs".into(), true));
        let mut input = Input::selected("data");
        assert_eq!((input.insert("\n"), input.text()), (Edit::Moved, "data"), "nothing to insert");
        assert_eq!((input.insert("videos"), input.insert("/a")), (Edit::Changed, Edit::Changed));
        assert_eq!((input.text(), input.before()), ("videos/a", "videos/a"));
        assert!(!Input::selected("").is_selected());
    }

    #[test]
    fn the_visible_part_follows_the_cursor() {
        let mut input = Input::new("/a/long/path/to/data");
        assert_eq!(input.visible(10), ("h/to/data".into(), 9));
        press(&mut input, KeyCode::Home, KeyModifiers::NONE);
        assert_eq!(input.visible(10), ("/a/long/pa".into(), 0));
        assert_eq!((input.visible(1), input.visible(0)), (("/".into(), 0), (String::new(), 0)));
    }

    proptest! {
        #[test]
        fn no_key_breaks_the_text(text in "\\PC{0,12}", keys in proptest::collection::vec((0..14_usize, any::<char>()), 0..30), room in 0..20_usize) {
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
                let (visible, column) = input.visible(room);
                prop_assert!(text::width(&visible) <= room && (column < room || room == 0));
            }
        }
    }
}
