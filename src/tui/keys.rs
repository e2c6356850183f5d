//! Keys as they are written in the configuration: `j`, `ctrl-p`, `pgdn`, and sequences such as `g g`.

use std::fmt;
use std::str::FromStr;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    code: KeyCode,
    mods: KeyModifiers,
}

/// A sequence of keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Keys(pub Vec<Key>);

const NAMED: &[(&str, KeyCode)] = &[
    ("space", KeyCode::Char(' ')),
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pgup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
];

impl Key {
    /// Normalizes an event: terminals differ in whether they report shift with a capital letter or with backtab, and ctrl with a
    /// capital letter is ctrl with the letter.
    pub(super) fn of(event: KeyEvent) -> Self {
        let mut mods = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let mut code = event.code;
        if let KeyCode::Char(c) = code {
            if mods.contains(KeyModifiers::CONTROL) {
                code = KeyCode::Char(c.to_ascii_lowercase());
            } else if mods.contains(KeyModifiers::SHIFT) {
                code = KeyCode::Char(c.to_ascii_uppercase());
            }
            mods -= KeyModifiers::SHIFT;
        }
        if code == KeyCode::Tab && mods.contains(KeyModifiers::SHIFT) {
            code = KeyCode::BackTab;
        }
        if code == KeyCode::BackTab {
            mods -= KeyModifiers::SHIFT;
        }
        Self { code, mods }
    }

    /// The character that the key types; `None` if it has a modifier or types nothing.
    pub(super) fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if self.mods.is_empty() => Some(c),
            _ => None,
        }
    }

    /// Checks that a terminal can send the key. It sends one byte for ctrl with a character, and the same byte for some other keys.
    ///
    /// # Errors
    /// What to write instead.
    fn check_sent(self) -> Result<(), String> {
        let Self { code, mods } = self;
        let is_ctrl = mods.contains(KeyModifiers::CONTROL);
        let same = match code {
            KeyCode::Char('m') if is_ctrl => KeyCode::Enter,
            KeyCode::Char('i') if is_ctrl => KeyCode::Tab,
            KeyCode::Char('[') if is_ctrl => KeyCode::Esc,
            KeyCode::Char('h') if is_ctrl => KeyCode::Backspace,
            KeyCode::Enter | KeyCode::Tab | KeyCode::Esc | KeyCode::Backspace => code,
            KeyCode::Char('a'..='z' | '4'..='7' | ' ') if is_ctrl => return Ok(()),
            KeyCode::Char(_) if is_ctrl => {
                return Err("terminals send ctrl only with a letter or space; write another key".into());
            }
            KeyCode::Char('[' | 'O') if mods.contains(KeyModifiers::ALT) => {
                return Err("terminals send it at the beginning of other keys; write another key".into());
            }
            _ => return Ok(()),
        };
        let sent = Self { code: same, mods: mods & KeyModifiers::ALT };
        match sent == self {
            true => Ok(()),
            false => {
                Err(format!("terminals send {sent} for it; write {sent:?} or another key", sent = sent.to_string()))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn event(self) -> KeyEvent {
        KeyEvent::new(self.code, self.mods)
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mods = KeyModifiers::NONE;
        let mut rest = text;
        while let Some((name, after)) =
            rest.split_once('-').filter(|(name, after)| !name.is_empty() && !after.is_empty())
        {
            mods |= match name.to_ascii_lowercase().as_str() {
                "ctrl" | "c" => KeyModifiers::CONTROL,
                "alt" | "a" => KeyModifiers::ALT,
                "shift" | "s" => KeyModifiers::SHIFT,
                _ => return Err(format!("{text:?}: only ctrl, alt and shift may come before `-`")),
            };
            rest = after;
        }
        let lower = rest.to_ascii_lowercase();
        let named = NAMED.iter().find(|(name, _)| *name == lower).map(|(_, code)| *code);
        let function = || lower.strip_prefix('f')?.parse().ok().filter(|n| (1..=24).contains(n)).map(KeyCode::F);
        let single = || {
            let mut chars = rest.chars();
            chars.next().filter(|c| chars.next().is_none() && !c.is_control()).map(KeyCode::Char)
        };
        let code = named
            .or_else(single)
            .or_else(function)
            .ok_or_else(|| format!("{text:?} is not a key: write a character, f1 to f24, or one of {}", names()))?;
        if let KeyCode::Char(c) = code
            && mods == KeyModifiers::SHIFT
            && !c.is_ascii_alphabetic()
        {
            return Err(format!("{text:?}: write the character that shift types with it"));
        }
        let key = Self::of(KeyEvent::new(code, mods));
        key.check_sent().map(|()| key).map_err(|why| format!("{text:?}: {why}"))
    }
}

fn names() -> String {
    NAMED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")]
        {
            if self.mods.contains(modifier) {
                f.write_str(name)?;
            }
        }
        if let Some((name, _)) = NAMED.iter().find(|(_, code)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(n) => write!(f, "f{n}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let keys: Result<Vec<Key>, String> = text.split_whitespace().map(str::parse).collect();
        match keys? {
            keys if keys.is_empty() => Err("an empty text is not a key; `space` is the space bar".into()),
            keys => Ok(Self(keys)),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, key) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{key}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(code: KeyCode, mods: KeyModifiers) -> Key {
        Key::of(KeyEvent::new(code, mods))
    }

    #[test]
    fn keys_round_trip_through_text() {
        for text in ["j", "G", "ctrl-p", "alt-x", "f5", "space", "pgdn", "backtab", "-", "alt--", "/", "?", "f", "é"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        assert_eq!("g g".parse::<Keys>().unwrap().to_string(), "g g");
        assert_eq!("Ctrl-D".parse::<Key>().unwrap(), event(KeyCode::Char('d'), KeyModifiers::CONTROL));
        for bad in ["", "hyper-x", "f25", "word", "ctrl-"] {
            assert!(bad.parse::<Keys>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_keys_that_a_terminal_sends_can_be_chosen() {
        let error = |text: &str| text.parse::<Keys>().unwrap_err();
        for (text, instead) in [
            ("ctrl-m", "enter"),
            ("ctrl-I", "tab"),
            ("ctrl-[", "esc"),
            ("g ctrl-h", "backspace"),
            ("ctrl-alt-m", "alt-enter"),
            ("ctrl-enter", "enter"),
            ("shift-esc", "esc"),
        ] {
            let message = error(text);
            assert!(
                message.ends_with(&format!("terminals send {instead} for it; write {instead:?} or another key")),
                "{message}"
            );
        }
        assert_eq!(error("ctrl-;"), "\"ctrl-;\": terminals send ctrl only with a letter or space; write another key");
        assert!(error("alt-[").contains("write another key"));
        assert!(error("shift-1").contains("write the character that shift types"));
        let key = |text: &str| text.parse::<Key>().unwrap();
        assert_eq!((key("ctrl-A"), key("shift-a"), key("ctrl-shift-a")), (key("ctrl-a"), key("A"), key("ctrl-a")));
        for sent in ["ctrl-space", "ctrl-up", "shift-up", "ctrl-f5", "alt-enter", "shift-tab", "ctrl-j", "ctrl-4"] {
            assert!(sent.parse::<Key>().is_ok(), "{sent}");
        }
    }

    #[test]
    fn shift_is_normalized() {
        let g = "G".parse::<Key>().unwrap();
        assert_eq!(event(KeyCode::Char('G'), KeyModifiers::SHIFT), g);
        assert_eq!(event(KeyCode::Char('G'), KeyModifiers::NONE), g);
        let back = "backtab".parse::<Key>().unwrap();
        assert_eq!(event(KeyCode::BackTab, KeyModifiers::SHIFT), back);
        assert_eq!(event(KeyCode::Tab, KeyModifiers::SHIFT), back);
    }
}
