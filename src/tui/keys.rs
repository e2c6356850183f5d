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
    /// Normalizes an event: terminals differ in whether they report shift with a capital letter or with backtab.
    pub(super) fn of(event: KeyEvent) -> Self {
        let mut mods = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let mut code = event.code;
        if let KeyCode::Char(c) = code {
            if mods.contains(KeyModifiers::SHIFT) && mods.contains(KeyModifiers::CONTROL) {
                code = KeyCode::Char(c.to_ascii_lowercase());
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
        Ok(Self::of(KeyEvent::new(code, mods)))
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
        for text in ["j", "G", "ctrl-p", "alt-x", "f5", "space", "pgdn", "backtab", "-", "ctrl--", "/", "?", "f", "é"]
        {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        assert_eq!("g g".parse::<Keys>().unwrap().to_string(), "g g");
        assert_eq!("Ctrl-D".parse::<Key>().unwrap(), event(KeyCode::Char('D'), KeyModifiers::CONTROL));
        for bad in ["", "hyper-x", "f25", "word", "ctrl-"] {
            assert!(bad.parse::<Keys>().is_err(), "{bad}");
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
