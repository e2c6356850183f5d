//! The keys of the view: one table for what they do, what they are called, and why they may do nothing.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::text::{Line, Span};

use super::super::text;
use super::super::theme::{Role, Theme};
use crate::engine::protocol::details::Details;
use crate::engine::protocol::row::RowState;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table describes them")]
pub enum Does {
    Still,
    Retry,
    Exclude,
    Copy,
    Previous,
    Next,
    Close,
    Down,
    Up,
    PageDown,
    PageUp,
    HalfDown,
    HalfUp,
    Top,
    Bottom,
}

/// Keys and what they do.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [(KeyCode, KeyModifiers)],
    /// What they do.
    pub does: Does,
    /// As people read it.
    pub label: &'static str,
    /// The same in ASCII.
    pub plain: &'static str,
    /// In a word or two, for the line of keys; empty: only for the help.
    pub short: &'static str,
    /// In a sentence, for the help.
    pub long: &'static str,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;

/// A row of the table.
const fn row(
    does: Does,
    keys: &'static [(KeyCode, KeyModifiers)],
    [label, plain]: [&'static str; 2],
    [short, long]: [&'static str; 2],
) -> Binding {
    Binding { keys, does, label, plain, short, long }
}

/// All of them, in the order of the line of keys.
pub const BINDINGS: [Binding; 15] = [
    row(
        Does::Close,
        &[(KeyCode::Esc, NONE), (KeyCode::Char('q'), NONE), (KeyCode::Enter, NONE)],
        ["esc", "esc"],
        ["back", "back to the table"],
    ),
    row(Does::Retry, &[(KeyCode::Char('r'), NONE)], ["r", "r"], ["extract again", "extract this video again"]),
    row(Does::Still, &[(KeyCode::Char('o'), NONE)], ["o", "o"], ["still", "show a picture of the video, or no longer"]),
    row(Does::Exclude, &[(KeyCode::Char('x'), NONE)], ["x", "x"], ["exclude", "leave this video alone, or no longer"]),
    row(Does::Copy, &[(KeyCode::Char('y'), NONE)], ["y", "y"], ["copy path", "copy the path of the file"]),
    row(
        Does::Previous,
        &[(KeyCode::Left, NONE), (KeyCode::Char('h'), NONE), (KeyCode::Char('p'), NONE)],
        ["← →", "left right"],
        ["prev, next", "show the video before this one"],
    ),
    row(
        Does::Next,
        &[(KeyCode::Right, NONE), (KeyCode::Char('l'), NONE), (KeyCode::Char('n'), NONE)],
        ["→", "right"],
        ["", "show the video after this one"],
    ),
    row(Does::Down, &[(KeyCode::Down, NONE), (KeyCode::Char('j'), NONE)], ["↓ j", "down j"], ["", "a line down"]),
    row(Does::Up, &[(KeyCode::Up, NONE), (KeyCode::Char('k'), NONE)], ["↑ k", "up k"], ["", "a line up"]),
    row(
        Does::PageDown,
        &[(KeyCode::PageDown, NONE), (KeyCode::Char(' '), NONE), (KeyCode::Char('f'), CTRL)],
        ["PgDn", "PgDn"],
        ["", "a page down"],
    ),
    row(Does::PageUp, &[(KeyCode::PageUp, NONE), (KeyCode::Char('b'), CTRL)], ["PgUp", "PgUp"], ["", "a page up"]),
    row(Does::HalfDown, &[(KeyCode::Char('d'), CTRL)], ["Ctrl-d", "Ctrl-d"], ["", "half a page down"]),
    row(Does::HalfUp, &[(KeyCode::Char('u'), CTRL)], ["Ctrl-u", "Ctrl-u"], ["", "half a page up"]),
    row(Does::Top, &[(KeyCode::Home, NONE), (KeyCode::Char('g'), NONE)], ["g", "g"], ["", "to the beginning"]),
    row(Does::Bottom, &[(KeyCode::End, NONE), (KeyCode::Char('G'), NONE)], ["G", "G"], ["", "to the end"]),
];

/// What a key does here. Releases of keys, which some terminals report, do nothing.
pub(super) fn meaning(key: KeyEvent) -> Option<Does> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    // A capital comes with Shift or without it, as the terminal likes.
    let modifiers = key.modifiers.difference(KeyModifiers::SHIFT);
    let bound = BINDINGS.iter().find(|binding| binding.keys.contains(&(key.code, modifiers)));
    bound.map(|binding| binding.does)
}

/// Taken in again by the key that excludes others.
pub(super) fn is_excluded(details: &Details) -> bool {
    details.row.state == RowState::Excluded
}

/// Why something cannot be done with this video; none where it can.
pub(super) fn why_not(does: Does, details: &Details) -> Option<&'static str> {
    match (does, details.row.state) {
        (Does::Still, _) if details.path.is_none() => Some("there is no picture of it: it is not on disk"),
        (Does::Copy, _) if details.path.is_none() && details.feature.is_none() => {
            Some("there is no path: it is not on disk")
        }
        (Does::Retry, RowState::Running) => Some("it is being extracted now"),
        (Does::Retry, RowState::Queued) => Some("it is waiting for its turn already"),
        (Does::Retry, RowState::Missing) => Some("it is not on disk; put the file in its class folder"),
        (Does::Retry, RowState::Excluded) => Some("it is excluded; x takes it in again"),
        _ => None,
    }
}

/// The line of keys: as many as fit, the first ones first; those that do nothing now are dim.
pub(super) fn hints(theme: &Theme, details: &Details, has_picture: bool, room: usize) -> Line<'static> {
    let (mut spans, mut taken) = (vec![], 0);
    for binding in BINDINGS.iter().filter(|binding| !binding.short.is_empty()) {
        let key = if theme.is_ascii() { binding.plain } else { binding.label };
        let short = match binding.does {
            Does::Exclude if is_excluded(details) => "take in again",
            Does::Retry if details.row.state == RowState::Failed => "retry",
            Does::Still if has_picture => "no still",
            _ => binding.short,
        };
        let wide = text::width(key) + text::width(short) + 3;
        if taken + wide > room {
            continue;
        }
        let off = why_not(binding.does, details).is_some();
        let (key_role, word_role) = if off { (Role::KeyOff, Role::KeyOff) } else { (Role::Key, Role::Base) };
        spans.push(Span::styled(format!(" {key} "), theme.style(key_role)));
        spans.push(Span::styled(format!("{short} "), theme.style(word_role)));
        taken += wide;
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_does_two_things_and_all_are_explained() {
        let mut seen = HashSet::new();
        let mut doing = HashSet::new();
        for binding in &BINDINGS {
            assert!(binding.keys.iter().all(|key| seen.insert(*key)), "{binding:?}");
            assert!(doing.insert(binding.does) && !binding.long.is_empty() && binding.plain.is_ascii(), "{binding:?}");
            assert!(
                binding
                    .keys
                    .iter()
                    .all(|(code, modifiers)| { meaning(KeyEvent::new(*code, *modifiers)) == Some(binding.does) })
            );
        }
        assert_eq!(meaning(KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT)), Some(Does::Bottom));
        assert_eq!(meaning(KeyEvent::new(KeyCode::Char('r'), CTRL)), None);
        assert_eq!(meaning(KeyEvent::new_with_kind(KeyCode::Esc, NONE, KeyEventKind::Release)), None);
    }
}
