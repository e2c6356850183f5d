//! Toasts, at the right: over the last rows of the table if it is visible, but not over the cursor, and never over the log.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;
use ratatui::widgets::{Clear, Widget};

use super::{layout, line};
use crate::protocol::words::Level;
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;
use crate::tui::toast::Toast;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let room = usize::from(area.width).saturating_sub(8).min(64);
    let plan = layout::current(app);
    // The newest lines of the log are at its lower end.
    let place = match (plan.videos, plan.log) {
        (Some(videos), _) => videos,
        (None, Some(log)) => Rect { height: log.height / 2, ..log },
        (None, None) => {
            Rect { y: plan.header.bottom(), height: area.height.saturating_sub(plan.header.height + 1), ..area }
        }
    };
    let place = place.intersection(area);
    let (top, mut bottom) = (place.y + 1, place.bottom().saturating_sub(1));
    let body = |toast: &Toast| {
        let counted = if toast.count > 1 { format!(" (and {} more)", toast.count - 1) } else { String::new() };
        text::wrap(&format!("{}{counted}", text::sanitized(&toast.text)), room)
    };
    let rows = app.toasts.shown().iter().map(|toast| body(toast).len() as u16).sum::<u16>();
    let cursor =
        plan.videos.map(|videos| videos.y + 2 + (app.videos.selected().saturating_sub(app.videos.top())) as u16);
    if let Some(cursor) = cursor.filter(|cursor| *cursor < bottom && *cursor + rows >= bottom && top + rows <= *cursor)
    {
        bottom = cursor;
    }
    for toast in app.toasts.shown().iter().rev() {
        let (glyph, role) = match (toast.level, theme.is_ascii()) {
            (Level::Problem, false) => ("✘", Role::Error),
            (Level::Problem, true) => ("x", Role::Error),
            (_, false) => ("●", Role::Active),
            (_, true) => ("*", Role::Active),
        };
        let mut lines = body(toast);
        lines.truncate(usize::from(bottom.saturating_sub(top)));
        let height = lines.len() as u16;
        let width = lines.iter().map(|line| text::width(line)).max().unwrap_or(0) + 5;
        if height == 0 {
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
