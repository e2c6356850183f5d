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

/// The columns before the text of a line: the time and a sign.
pub(crate) const LINE_HEAD: u16 = 11;

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
    let mut rows = vec![];
    for (index, entry) in lines.into_iter().enumerate() {
        let texts = entry.rows(app.log.wrap);
        rows.extend(texts.into_iter().enumerate().map(|(row, text)| (entry, index == cursor, row == 0, text)));
    }
    // Of a line that is longer than the pane, its beginning is shown.
    let all_of_one = rows.iter().all(|(_, at_cursor, ..)| *at_cursor);
    let height = usize::from(inner.height);
    let hidden = if all_of_one { 0 } else { rows.len().saturating_sub(height) };
    let blank = height.saturating_sub(rows.len());
    for (row, (entry, at_cursor, is_first, words)) in rows.into_iter().skip(hidden).take(height).enumerate() {
        let y = inner.y + (blank + row) as u16;
        let (glyph, role) = match (entry.level, theme.is_ascii()) {
            (Level::Problem, false) => ("✘", Role::Error),
            (Level::Problem, true) => ("x", Role::Error),
            (Level::Info, false) => ("·", Role::Base),
            (Level::Info, true) => (".", Role::Base),
            (Level::Detail, _) => (" ", Role::Dim),
        };
        let highlighted = at_cursor && app.focus == Pane::Log;
        let on = |role| theme.style(if highlighted { Role::Selection } else { role });
        if highlighted {
            buffer.set_style(Rect { y, height: 1, ..inner }, on(role));
        }
        let head = if is_first { format!("{} ", entry.time) } else { " ".repeat(entry.time.len() + 1) };
        let spans = vec![
            Span::styled(head, on(Role::Dim)),
            Span::styled(format!("{} ", if is_first { glyph } else { " " }), on(role)),
            Span::styled(words, on(if role == Role::Error { Role::Base } else { role })),
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
