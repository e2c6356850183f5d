//! The preview of the video under the cursor, beside the table.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::frame;
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let row = app.videos.current();
    let title = match row {
        None => vec![Span::styled(" Preview ", theme.style(Role::Title))],
        Some(row) => {
            let state = app.state_style(row.state);
            let word = format!(" {} {} ", state.glyph, state.word);
            let file = row.video.split_once('/').map_or(row.video.as_str(), |(_, file)| file);
            let file = text::sanitized(file);
            let room = usize::from(area.width).saturating_sub(text::width(&word) + 6);
            let name = format!(" {}", text::truncate(&file, room, theme.ellipsis()));
            vec![Span::styled(name, theme.style(Role::Title)), Span::styled(word, state.style)]
        }
    };
    let inner = frame(theme, theme.style(Role::Border), title, vec![], area, buffer);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    match (app.preview.view(), row) {
        (Some(view), _) => view.draw_preview(theme, inner, buffer),
        // The table knows this much while the details are on their way.
        (None, Some(row)) => {
            let words = [row.video.as_str(), row.reason.as_deref().unwrap_or_default()];
            let lines = words.iter().flat_map(|words| text::wrap(&text::sanitized(words), inner.width.into()));
            for (y, line) in (inner.y..inner.bottom()).zip(lines.collect::<Vec<_>>()) {
                buffer.set_string(inner.x, y, line, theme.style(Role::Base));
            }
        }
        (None, None) => {}
    }
}
