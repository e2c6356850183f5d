//! A line of text being typed.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// No line that people type here is longer.
const MOST: usize = 500;

/// The text and where the next character goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    text: Vec<char>,
    cursor: usize,
}

impl Input {
    /// A text with the cursor behind it.
    pub fn new(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        Self { cursor: text.len(), text }
    }

    /// What stands there.
    pub fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// What stands before the cursor and behind it.
    pub fn parts(&self) -> (String, String) {
        let (before, behind) = self.text.split_at(self.cursor.min(self.text.len()));
        (before.iter().collect(), behind.iter().collect())
    }

    /// Nothing has been typed.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes a key that edits; false where it is none. The control keys are those of a shell.
    pub fn key(&mut self, event: KeyEvent) -> bool {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        match (event.code, control) {
            (KeyCode::Char('u'), true) => drop(self.text.drain(..self.cursor)),
            (KeyCode::Char('k'), true) => self.text.truncate(self.cursor),
            (KeyCode::Char('w'), true) => {
                let from = self.word_before();
                self.text.drain(from..self.cursor);
                self.cursor = from;
                return true;
            }
            (KeyCode::Char('a'), true) | (KeyCode::Home, _) => self.cursor = 0,
            (KeyCode::Char('e'), true) | (KeyCode::End, _) => self.cursor = self.text.len(),
            (KeyCode::Char('h'), true) | (KeyCode::Backspace, _) => {
                if self.cursor > 0 {
                    self.cursor -= 1;
                    self.text.remove(self.cursor);
                }
            }
            (KeyCode::Char('b'), true) | (KeyCode::Left, _) => self.cursor = self.cursor.saturating_sub(1),
            (KeyCode::Char('f'), true) | (KeyCode::Right, _) => self.cursor = (self.cursor + 1).min(self.text.len()),
            (KeyCode::Delete, _) => {
                if self.cursor < self.text.len() {
                    self.text.remove(self.cursor);
                }
            }
            (KeyCode::Char(c), false) if !event.modifiers.contains(KeyModifiers::ALT) => self.insert(c),
            _ => return false,
        }
        if event.code == KeyCode::Char('u') && control {
            self.cursor = 0;
        }
        true
    }

    /// Takes a text that was pasted, without what is no character of a line.
    pub fn paste(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()) {
            self.insert(c);
        }
    }

    fn insert(&mut self, c: char) {
        if self.text.len() < MOST {
            self.text.insert(self.cursor, c);
            self.cursor += 1;
        }
    }

    fn word_before(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let end = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |i| i + 1);
        before.get(..end).and_then(|b| b.iter().rposition(|c| c.is_whitespace())).map_or(0, |i| i + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::keys::Key;
    use proptest::prelude::*;

    fn after(text: &str, keys: &[&str]) -> (String, String) {
        let mut input = Input::new(text);
        for key in keys {
            assert!(input.key(key.parse::<Key>().unwrap().event()), "{key}");
        }
        input.parts()
    }

    #[test]
    fn it_edits_as_a_shell_does() {
        let is = |text, keys: &[&str], before: &str, behind: &str| {
            assert_eq!(after(text, keys), (before.to_owned(), behind.to_owned()), "{keys:?}");
        };
        is("ab", &["c"], "abc", "");
        is("ab c d", &["ctrl-w"], "ab c ", "");
        is("ab c ", &["ctrl-w"], "ab ", "");
        is("abc", &["left", "ctrl-u"], "", "c");
        is("abc", &["home", "right", "ctrl-k"], "a", "");
        is("abc", &["left", "backspace", "x"], "ax", "c");
        is("abc", &["ctrl-a", "delete"], "", "bc");
        is("é", &["backspace", "backspace"], "", "");
    }

    #[test]
    fn pasted_lines_become_one() {
        let mut input = Input::new("a");
        input.paste("b\r\n\u{1b}[31mc");
        assert_eq!(input.text(), "ab[31mc");
    }

    proptest! {
        #[test]
        fn no_keys_break_it(keys in proptest::collection::vec(0u8..14, 0..60)) {
            let all = ["a", "é", "space", "left", "right", "home", "end", "backspace", "delete", "ctrl-w", "ctrl-u",
                "ctrl-k", "ctrl-a", "ctrl-e"];
            let mut input = Input::default();
            for key in keys {
                input.key(all[key as usize].parse::<Key>().unwrap().event());
                let (before, behind) = input.parts();
                prop_assert_eq!(before + &behind, input.text());
            }
        }
    }
}
