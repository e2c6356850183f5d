//! The pane of classes with their progress.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Span;

use super::{line, pane, scrollbar};
use crate::protocol::row::RowState;
use crate::tui::app::App;
use crate::tui::classes::{ClassOrder, count_of, progress_of};
use crate::tui::gauge;
use crate::tui::modal::Modal;
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::theme::Role;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = &app.options.theme;
    let list = &app.classes;
    let mut title = vec![Span::styled("Classes ", theme.style(Role::Title))];
    if list.order() != ClassOrder::Name {
        title.push(Span::styled(format!("by {} ", list.order().word()), theme.style(Role::Dim)));
    }
    let typing = super::videos::typing(app, Pane::Classes);
    let (spans, cursor) = super::videos::filter_title(app, list.text(), typing);
    let before: usize = 4 + title.iter().map(|span| text::width(&span.content)).sum::<usize>();
    title.extend(spans);
    let mut right = format!(" {} ", text::count(list.count() as u64));
    if area.width >= 26 && list.order() == ClassOrder::Name && list.text().is_empty() && typing.is_none() {
        right = format!(" {}: % done ", text::count(list.count() as u64));
    }
    if area.width >= 40 && list.text().is_empty() && typing.is_none() {
        right = format!(" {}: problems, % done ", text::plural(list.count() as u64, "class", "classes"));
    }
    let right = vec![Span::styled(right, theme.style(Role::Dim))];
    let inner = pane(app, Pane::Classes, title, right, area, buffer);
    let chosen = app.videos.filter().class.as_deref();
    let room = usize::from(inner.width);
    // As wide as the sum of all problems needs, and no wider: names need the room.
    let wide = text::count(list.total().problems.into()).len().max(2);
    for row in 0..usize::from(inner.height) {
        let index = list.top() + row;
        if index >= list.len() {
            break;
        }
        let here = list.line(index);
        let (name, of) = match here {
            Some(class) => (text::sanitized(&class.class).into_owned(), class.clone()),
            None => ("All".to_owned(), list.total()),
        };
        let (done, all) = progress_of(&of);
        let share = text::share(done, all);
        let problems = u64::from(of.problems);
        let selected = index == list.selected() && app.focus == Pane::Classes;
        let is_chosen = here.map(|class| class.class.as_str()) == chosen;
        let base = if selected { theme.style(Role::Selection) } else { theme.style(Role::Base) };
        let y = inner.y + row as u16;
        if selected {
            buffer.set_style(Rect::new(inner.x, y, inner.width, 1), base);
        }
        let percent = share.map_or_else(|| theme.unknown().to_owned(), |share| text::percent(Some(share)));
        // In a narrow pane the bar goes first: the percentage says the same, and names must stay distinguishable.
        let bar = match room {
            34.. => 6,
            26.. => 3,
            _ => 0,
        };
        let trouble = if problems == 0 { String::new() } else { text::count(problems) };
        let fixed = 2 + 1 + wide + 1 + bar + usize::from(bar > 0) + 5;
        // The percentage is that of the other videos.
        let excluded = match count_of(&of.counts, RowState::Excluded) {
            0 => String::new(),
            excluded => format!(" {}{}", theme.state(RowState::Excluded).glyph, text::count(excluded)),
        };
        let name_room = room.saturating_sub(fixed + text::width(&excluded));
        let pointer = if is_chosen { theme.pointer() } else { " " };
        let on = |role| if selected { base } else { theme.style(role) };
        let [full, rest] = gauge::bar_spans(theme, share.map(|share| share / 100.0), bar);
        let mut spans = vec![
            Span::styled(format!("{pointer} "), on(Role::Focus)),
            Span::styled(text::align_left(&name, name_room, theme.ellipsis()), base),
            Span::styled(excluded, on(Role::Dim)),
            Span::styled(format!(" {trouble:>wide$} "), on(Role::Error)),
        ];
        spans.extend(match selected {
            true => [Span::styled(full.content, base), Span::styled(rest.content, base)],
            false => [full, rest],
        });
        spans.push(Span::styled(format!("{:gap$}{percent:>5}", "", gap = usize::from(bar > 0)), base));
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
