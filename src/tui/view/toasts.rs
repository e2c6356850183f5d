//! Toasts, at the right of the lower border of the table, or else of another pane, so that they cover no row. If they need more
//! than this line, the pane shrinks. Over an overlay they are above the last line, which has its keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;
use ratatui::widgets::{Clear, Widget};

use super::toast_lines::{FRAME, Words, arranged};
use super::{layout, line};
use crate::protocol::words::Level;
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let place = match layout::of(app, area.as_size()).toasts.filter(|_| app.modals.is_empty()) {
        Some(place) => place,
        None => Rect { y: area.bottom().saturating_sub(2), height: 1, ..area },
    };
    let mut lines = arranged(app, place.width);
    // A message of which not all lines are visible says so.
    let cut = lines.get(usize::from(place.height)).and_then(|line| line.first()).is_some_and(|words| !words.is_first);
    if cut && let Some(words) = lines.get_mut(usize::from(place.height) - 1).and_then(|line| line.last_mut()) {
        words.text = format!("{} {}", words.text.trim_end(), app.options.theme.ellipsis());
    }
    for (row, words) in (place.y..place.bottom()).zip(lines) {
        let mut right = Rect { y: row, height: 1, ..place };
        for words in words {
            right.width = one(app, &words, right, buffer).saturating_sub(right.x);
        }
    }
}

/// Draws a message at the right end of an area. Returns its first column.
fn one(app: &App, words: &Words, area: Rect, buffer: &mut Buffer) -> u16 {
    let theme = &app.options.theme;
    let (glyph, role) = match (words.level, theme.is_ascii()) {
        (Level::Problem, false) => ("✘", Role::Error),
        (Level::Problem, true) => ("x", Role::Error),
        (_, false) => ("●", Role::Active),
        (_, true) => ("*", Role::Active),
    };
    let width = u16::try_from(text::width(&words.text) + FRAME - 1).unwrap_or(u16::MAX);
    let width = width.min(area.width.saturating_sub(1));
    let place = Rect { x: area.right().saturating_sub(1 + width), width, ..area };
    Clear.render(place, buffer);
    buffer.set_style(place, theme.style(Role::Base));
    let bar = if theme.is_ascii() { "|" } else { "▌" };
    let spans = vec![
        Span::styled(bar, theme.style(role)),
        Span::styled(if words.is_first { format!("{glyph} ") } else { "  ".into() }, theme.style(role)),
        Span::styled(words.text.as_str(), theme.style(Role::Base)),
    ];
    line(buffer, place.x, place.y, place.width.into(), spans, theme);
    place.x
}
