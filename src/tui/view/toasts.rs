//! Toasts, above the footer at the right.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;
use ratatui::widgets::{Clear, Widget};

use super::line;
use crate::protocol::words::Level;
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

/// The maximum number of lines of a toast.
const LINES: usize = 3;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let room = usize::from(area.width).saturating_sub(8).min(64);
    let mut bottom = area.bottom().saturating_sub(2);
    for toast in app.toasts.shown().iter().rev() {
        let (glyph, role) = match (toast.level, theme.is_ascii()) {
            (Level::Problem, false) => ("✘", Role::Error),
            (Level::Problem, true) => ("x", Role::Error),
            (_, false) => ("●", Role::Active),
            (_, true) => ("*", Role::Active),
        };
        let counted = if toast.count > 1 { format!(" (and {} more)", toast.count - 1) } else { String::new() };
        let body = format!("{}{counted}", text::sanitized(&toast.text));
        let mut lines = text::wrap(&body, room);
        if lines.len() > LINES {
            lines.truncate(LINES);
            if let Some(last) = lines.last_mut() {
                *last = text::truncate(&format!("{last} {}", theme.ellipsis()), room, theme.ellipsis()).into_owned();
            }
        }
        let height = lines.len() as u16;
        let width = lines.iter().map(|line| text::width(line)).max().unwrap_or(0) + 5;
        if bottom < height + 3 {
            return;
        }
        let x = area.right().saturating_sub(width as u16 + 2);
        let place = Rect::new(x, bottom - height, width as u16, height).intersection(area);
        Clear.render(place, buffer);
        buffer.set_style(place, theme.style(Role::Base));
        let bar = if theme.is_ascii() { "|" } else { "▌" };
        for (row, text) in lines.iter().enumerate() {
            let spans = vec![
                Span::styled(bar, theme.style(role)),
                Span::styled(if row == 0 { format!("{glyph} ") } else { "  ".into() }, theme.style(role)),
                Span::styled(text.as_str(), theme.style(Role::Base)),
            ];
            line(buffer, place.x, place.y + row as u16, place.width.into(), spans, theme);
        }
        bottom -= height;
    }
}
