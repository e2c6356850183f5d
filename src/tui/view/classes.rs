//! The classes, each with how much of it is done.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Span;

use super::super::app::{App, Pane};
use super::super::classes::{ClassOrder, problems_of, progress_of};
use super::super::gauge;
use super::super::modal::Modal;
use super::super::text;
use super::super::theme::Role;
use super::{line, pane, scrollbar};

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = &app.choices.theme;
    let list = &app.classes;
    let mut title = vec![Span::styled("Classes ", theme.style(Role::Title))];
    if list.order() != ClassOrder::Name {
        title.push(Span::styled(format!("by {} ", list.order().word()), theme.style(Role::Dim)));
    }
    let typing = super::videos::typing(app, Pane::Classes);
    let (spans, cursor) = super::videos::filter_title(app, list.text(), typing);
    let before: usize = 4 + title.iter().map(|span| text::width(&span.content)).sum::<usize>();
    title.extend(spans);
    let right = vec![Span::styled(format!(" {} ", text::count(list.count() as u64)), theme.style(Role::Dim))];
    let inner = pane(app, Pane::Classes, title, right, area, buffer);
    let chosen = app.videos.filter().class.as_deref();
    let room = usize::from(inner.width);
    for row in 0..usize::from(inner.height) {
        let index = list.top() + row;
        if index >= list.len() {
            break;
        }
        let here = list.line(index);
        let (name, counts) = match here {
            Some(class) => (text::harmless(&class.class).into_owned(), class.counts),
            None => ("All".to_owned(), list.total()),
        };
        let (done, all) = progress_of(&counts);
        let share = text::share(done, all);
        let problems = problems_of(&counts);
        let selected = index == list.selected() && app.focus == Pane::Classes;
        let is_chosen = here.map(|class| class.class.as_str()) == chosen;
        let base = if selected { theme.style(Role::Selection) } else { theme.style(Role::Base) };
        let y = inner.y + row as u16;
        if selected {
            buffer.set_style(Rect::new(inner.x, y, inner.width, 1), base);
        }
        let percent = share.map_or_else(|| theme.unknown().to_owned(), |share| text::percent(Some(share)));
        let bar = if room >= 34 { 6 } else { 3 };
        let trouble = if problems == 0 { String::new() } else { text::count(problems) };
        let fixed = 2 + 1 + 5 + 1 + bar + 1 + 5;
        let name_room = room.saturating_sub(fixed);
        let pointer = if is_chosen { if theme.is_ascii() { "> " } else { "▸ " } } else { "  " };
        let on = |role| if selected { base } else { theme.style(role) };
        let [full, rest] = gauge::bar_spans(theme, share.map(|share| share / 100.0), bar);
        let mut spans = vec![
            Span::styled(pointer, on(Role::Focus)),
            Span::styled(text::left(&name, name_room, theme.more()), base),
            Span::styled(format!(" {trouble:>5} "), on(Role::Error)),
        ];
        spans.extend(match selected {
            true => [Span::styled(full.content, base), Span::styled(rest.content, base)],
            false => [full, rest],
        });
        spans.push(Span::styled(format!(" {percent:>5}"), base));
        line(buffer, inner.x, y, room, spans, theme);
    }
    let style = theme.style(if app.focus == Pane::Classes { Role::Focus } else { Role::Border });
    let edge = Rect { width: inner.width + 1, ..inner };
    scrollbar(theme, edge, list.top(), inner.height.into(), list.len(), style, buffer);
    let typing = matches!(app.modals.last(), Some(Modal::Filter { pane: Pane::Classes, .. }));
    cursor
        .filter(|_| typing)
        .map(|at| Position::new(area.x + (before + at).min(area.width.saturating_sub(2).into()) as u16, area.y))
}
