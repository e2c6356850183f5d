//! The whole reason of the row under the cursor.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::columns::TableColumn;
use super::layout;
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

/// Shows the reason of the row under the cursor if its column cuts it: below the rows, or as much as
/// fits on the lower border unless the border has the names of the panes.
pub(super) fn draw(app: &App, columns: &[(TableColumn, usize)], body: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let Some(reason) = app.videos.current().and_then(|row| row.reason.as_deref()) else { return };
    let reason = text::sanitized(reason);
    let plan = layout::current(app);
    let shown = columns.iter().find(|(column, _)| *column == TableColumn::Reason).map_or(0, |(_, width)| *width);
    if text::width(&reason) <= shown || body.height == 0 || plan.preview.is_some() {
        return;
    }
    let reason = format!(" Why: {reason} ");
    let room = usize::from(body.width);
    let rows = (app.videos.total() - app.videos.top()).min(body.height.into());
    let free = usize::from(body.height) - rows;
    let mut lines = text::wrap(reason.trim(), room.saturating_sub(2).max(1));
    if free > 0 {
        if lines.len() > free {
            lines.truncate(free);
            lines.iter_mut().last().into_iter().for_each(|last| *last = format!("{last}{}", theme.ellipsis()));
        }
        for (y, line) in (body.bottom() - lines.len() as u16..).zip(&lines) {
            buffer.set_stringn(body.x + 1, y, line, room.saturating_sub(1), theme.style(Role::Base));
        }
    } else if plan.alone(app.focus).is_none() {
        let reason = text::truncate(&reason, room.saturating_sub(2), theme.ellipsis());
        buffer.set_stringn(body.x + 1, body.bottom(), reason, room.saturating_sub(2), theme.style(Role::Base));
    }
}
