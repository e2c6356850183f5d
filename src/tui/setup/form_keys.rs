//! The keys of the form, shown over it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, Borders, Clear, Widget};

use super::Setup;
use crate::tui::keymap::Context;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};

/// Columns for the keys.
const KEYS: usize = 22;

/// The keys of every text field, which cannot be changed.
const EDITING: [(&str, &str); 5] = [
    ("left  right", "move the cursor; edit a value instead of replacing it"),
    ("home  end", "to the start or the end of the value"),
    ("ctrl-w", "delete the word before the cursor"),
    ("ctrl-u", "delete up to the start of the value"),
    ("ctrl-k", "delete up to the end of the value"),
];

impl Setup {
    /// Draws the keys if they were asked for.
    pub(super) fn draw_keys(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if !self.shows_keys {
            return;
        }
        let bindings = self.keymap.bindings().filter(|(line, _)| line.context == Context::Form);
        let mut entries: Vec<(String, &str)> = bindings
            .map(|(line, keys)| (keys.iter().map(ToString::to_string).collect::<Vec<_>>().join("  "), line.long))
            .collect();
        entries.extend(EDITING.map(|(keys, sentence)| (keys.to_owned(), sentence)));
        let width = entries.iter().map(|(_, sentence)| KEYS + sentence.len() + 5).max().unwrap_or(0);
        let width = (width.min(usize::from(u16::MAX)) as u16).min(area.width);
        let height = (entries.len() as u16 + 3).min(area.height);
        let at = Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
        Clear.render(at, buffer);
        buffer.set_style(at, theme.style(Role::Base));
        let block =
            Block::new().borders(Borders::ALL).border_set(theme.border()).border_style(theme.style(Role::Focus));
        let inner = block.inner(at);
        block.title(" Keys ").render(at, buffer);
        let room = usize::from(inner.width);
        for (y, (keys, sentence)) in (inner.y..inner.bottom()).zip(&entries) {
            let keys = text::align_left(&format!(" {keys}"), KEYS.min(room), theme.ellipsis());
            buffer.set_stringn(inner.x, y, keys, room, theme.style(Role::Key));
            let left = room.saturating_sub(KEYS);
            let sentence = text::truncate(sentence, left, theme.ellipsis());
            buffer.set_stringn(inner.x + KEYS.min(room) as u16, y, sentence, left, theme.style(Role::Base));
        }
        let last = Rect { y: inner.bottom().saturating_sub(1), height: 1, ..inner };
        if usize::from(inner.height) > entries.len() {
            buffer.set_stringn(last.x, last.y, " any key closes", room, theme.style(Role::Dim));
        }
    }
}
