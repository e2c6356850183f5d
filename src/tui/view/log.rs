//! The pane of the log.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Span;

use super::videos::{filter_title, typing};
use super::{line, pane};
use crate::dataset::shown;
use crate::protocol::words::Level;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::theme::Role;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = &app.options.theme;
    let mut title = vec![Span::styled("Log ", theme.style(Role::Title))];
    match app.log.min_level {
        Level::Detail => {}
        Level::Info => title.push(Span::styled("without details ", theme.style(Role::Focus))),
        Level::Problem => title.push(Span::styled("problems ", theme.style(Role::Error))),
    }
    let before = 4 + title.iter().map(|span| text::width(&span.content)).sum::<usize>();
    let (spans, at) = filter_title(app, &app.log.text, typing(app, Pane::Log));
    title.extend(spans);
    let right = match app.log.is_at_end() {
        true => vec![Span::styled(file(app, area), theme.style(Role::Dim))],
        false => vec![Span::styled(" scrolled back ", theme.style(Role::Warn))],
    };
    let inner = pane(app, Pane::Log, title, right, area, buffer);
    let room = usize::from(inner.width);
    let (lines, cursor) = app.log.window(inner.height.into());
    if lines.is_empty() && inner.height > 0 {
        let [back, whole] = [Action::Back, Action::ShowLog].map(|action| app.keymap.key_text(action));
        let why = match app.log.is_empty() {
            true => "nothing logged yet".to_owned(),
            false => format!("no matching lines here; {back} shows all lines, {whole} opens the whole log"),
        };
        buffer.set_string(inner.x, inner.y, text::truncate(&why, room, theme.ellipsis()), theme.style(Role::Dim));
    }
    let blank = usize::from(inner.height).saturating_sub(lines.len());
    for (row, entry) in lines.into_iter().enumerate() {
        let y = inner.y + (blank + row) as u16;
        let (glyph, role) = match (entry.level, theme.is_ascii()) {
            (Level::Problem, false) => ("✘", Role::Error),
            (Level::Problem, true) => ("x", Role::Error),
            (Level::Info, false) => ("·", Role::Base),
            (Level::Info, true) => (".", Role::Base),
            (Level::Detail, _) => (" ", Role::Dim),
        };
        let highlighted = row == cursor && app.focus == Pane::Log;
        let on = |role| theme.style(if highlighted { Role::Selection } else { role });
        if highlighted {
            buffer.set_style(Rect { y, height: 1, ..inner }, on(role));
        }
        let spans = vec![
            Span::styled(format!("{} ", entry.time), on(Role::Dim)),
            Span::styled(format!("{glyph} "), on(role)),
            Span::styled(text::sanitized(&entry.text), on(if role == Role::Error { Role::Base } else { role })),
        ];
        line(buffer, inner.x, y, room, spans, theme);
    }
    at.map(|at| Position::new(area.x + (before + at).min(area.width.saturating_sub(2).into()) as u16, area.y))
}

/// The path of the log file, of which at least the end is shown.
fn file(app: &App, area: Rect) -> String {
    let path = text::sanitized(&shown(&app.log.file).to_string()).into_owned();
    let room = usize::from(area.width) / 2;
    match path.is_empty() {
        true => String::new(),
        false => format!(" {} ", text::truncate_start(&path, room, app.options.theme.ellipsis())),
    }
}
