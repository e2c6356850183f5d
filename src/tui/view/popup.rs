//! The overlays: command palette, menus, details and notices. Help has its own file.

use std::cell::Cell;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Span;
use ratatui::widgets::{Clear, Widget};

use super::layout::popup;
use super::videos::{InProgress, in_flight};
use super::{Styled, footer, help, line, popup_frame, run_end, text_popup};
use crate::tui::app::App;
use crate::tui::input::Input;
use crate::tui::keymap::{Binding, Context};
use crate::tui::modal::{Menu, Modal};
use crate::tui::palette::matching;
use crate::tui::text;
use crate::tui::theme::Role;
use crate::tui::unavailable_reason::unavailable_reason;

/// Draws the overlays, the topmost last. Returns the position of the cursor if a text is being typed.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let is_page = |modal: &Modal| matches!(modal, Modal::Details(_) | Modal::Settings(_));
    // The keys of a page do nothing below another overlay, which shows its own in the last line.
    let is_covered = app.modals.iter().rev().skip(1).any(is_page) && !app.modals.last().is_some_and(is_page);
    let head = super::layout::current(app).header.height.min(area.height);
    let page = Rect { y: area.y + head, height: area.height - head, ..area };
    let page = Rect { height: page.height.saturating_sub(is_covered.into()), ..page };
    let mut cursor = None;
    for modal in &app.modals {
        cursor = match modal {
            Modal::Help { scroll, search, typing } => help::draw(app, scroll, search, *typing, area, buffer),
            Modal::Palette { input, selected } => palette(app, input, *selected, area, buffer),
            Modal::Filter { .. } => None,
            Modal::Menu(menu) => self::menu(app, menu, area, buffer),
            Modal::Details(view) => {
                // The header stays visible.
                let progress = progress(app, view.video());
                view.draw(&app.options.theme, &app.keymap, (app.phase(), progress), page, buffer);
                None
            }
            Modal::RunEnd => {
                if let Some(run) = app.snapshot().and_then(|snapshot| snapshot.last_run.as_deref()) {
                    run_end::draw(app, run, area, buffer);
                }
                None
            }
            Modal::Settings(form) => form.draw(&app.options.theme, app.is_active(), page, buffer),
            Modal::Notice { title, text, scroll, .. } => notice(app, title, text, scroll, area, buffer),
        };
    }
    if is_covered {
        let keys = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
        Clear.render(keys, buffer);
        buffer.set_style(keys, app.options.theme.style(Role::Base));
        footer::draw(app, keys, buffer);
    }
    cursor
}

/// The progress of a video in a device: `12/100 clips on cpu`, or `next on cpu`.
fn progress(app: &App, video: &str) -> Option<String> {
    let InProgress { device, job, is_next } = in_flight(app, video)?;
    let clips = if job.of.is_some() { " clips" } else { "" };
    Some(if is_next { format!("next on {device}") } else { format!("{}{clips} on {device}", job.progress()) })
}

fn notice(
    app: &App,
    title: &str,
    body: &str,
    scroll: &Cell<usize>,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = &app.options.theme;
    let width = area.width.saturating_sub(4).min(100);
    let room = usize::from(width.saturating_sub(4));
    let wrapped = body.lines().flat_map(|line| text::wrap(&text::sanitized(line), room));
    let all: Vec<Vec<Styled>> = wrapped.map(|line| vec![(format!(" {line}"), theme.style(Role::Base))]).collect();
    text_popup(app, &text::sanitized(title), &all, scroll, width, area, buffer);
    None
}

fn menu(app: &App, menu: &Menu, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = &app.options.theme;
    let widest = menu.items.iter().map(|item| text::width(&item.label) + 11).max().unwrap_or(0);
    let width = (widest + 4).max(text::width(&menu.title) + 8).max(text::width(&menu.text).min(56) + 4);
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width.saturating_sub(2)).max(10);
    let room = usize::from(width.saturating_sub(4));
    let question = if menu.text.is_empty() { vec![] } else { text::wrap(&text::sanitized(&menu.text), room) };
    let gap = usize::from(!question.is_empty());
    let height = question.len() + gap + menu.items.len() + 2;
    let popup = popup(area.as_size(), width, u16::try_from(height).unwrap_or(u16::MAX).min(area.height));
    let inner = popup_frame(app, &menu.title, popup, buffer);
    let room = usize::from(inner.width);
    let mut y = inner.y;
    // If the room is short, the question is cropped, not the answers.
    let spare = usize::from(inner.height).saturating_sub(menu.items.len());
    let question = question.get(..question.len().min(spare)).unwrap_or_default();
    for text in question {
        line(buffer, inner.x, y, room, vec![Span::styled(format!(" {text}"), theme.style(Role::Base))], theme);
        y += 1;
    }
    if question.len() < spare && !question.is_empty() {
        y += 1;
    }
    let visible = usize::from(inner.bottom().saturating_sub(y));
    let top = menu.selected.saturating_sub(visible.saturating_sub(1));
    for (index, item) in menu.items.iter().enumerate().skip(top).take(visible) {
        let highlighted = index == menu.selected;
        let style = |role| theme.style(if highlighted { Role::Selection } else { role });
        let (on, now) = match (item.checked, menu.several.is_some()) {
            (Some(true), true) => ("[x] ", ""),
            (Some(false), true) => ("[ ] ", ""),
            (Some(true), false) => ("", " (now)"),
            (Some(false) | None, _) => ("", ""),
        };
        let label = text::align_left(
            &format!("{on}{}{now}", text::sanitized(&item.label)),
            room.saturating_sub(5),
            theme.ellipsis(),
        );
        let pointer = if highlighted { theme.pointer() } else { " " };
        let spans = vec![
            Span::styled(format!("{pointer}{}  ", item.key), style(Role::Key)),
            Span::styled(label, style(Role::Base)),
            Span::styled(" ", style(Role::Base)),
        ];
        line(buffer, inner.x, y, room, spans, theme);
        y += 1;
    }
    None
}

/// The sentence of a command, with its pane if that is another one.
fn label(entry: &Binding, here: Context) -> String {
    match here.chain().contains(&entry.context) {
        true => entry.long.to_owned(),
        false => format!("{}: {}", entry.context.title(), entry.long),
    }
}

fn palette(app: &App, input: &Input, selected: usize, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = &app.options.theme;
    let found = matching(&app.keymap, app.context(), input.text());
    let width = area.width.saturating_sub(4).min(84);
    let height = area.height.saturating_sub(4).clamp(4, 18);
    let popup = popup(area.as_size(), width, height);
    let inner = popup_frame(app, "Command", popup, buffer);
    let room = usize::from(inner.width);
    let (visible, column) = input.visible(room.saturating_sub(2));
    let cursor = Position::new(inner.x + (2 + column).min(room.saturating_sub(1)) as u16, inner.y);
    let typed = vec![Span::styled(": ", theme.style(Role::Key)), Span::styled(visible, theme.style(Role::Match))];
    line(buffer, inner.x, inner.y, room, typed, theme);
    let visible = usize::from(inner.height.saturating_sub(1));
    let top = selected.saturating_sub(visible.saturating_sub(1));
    for (row, (action, entry, keys)) in found.iter().skip(top).take(visible).enumerate() {
        let highlighted = top + row == selected;
        let off = unavailable_reason(app, *action).is_some() && app.context().chain().contains(&entry.context);
        let style = |role| theme.style(if highlighted { Role::Selection } else { role });
        let keys = text::truncate(keys, 14, theme.ellipsis()).into_owned();
        let label = label(entry, app.context());
        let text_room = room.saturating_sub(2 + 15);
        let spans = vec![
            Span::styled(format!("{} ", if highlighted { theme.pointer() } else { " " }), style(Role::Key)),
            Span::styled(
                text::align_left(&label, text_room, theme.ellipsis()),
                style(if off { Role::KeyOff } else { Role::Base }),
            ),
            Span::styled(text::align_right(&keys, 15, theme.ellipsis()), style(Role::Dim)),
        ];
        line(buffer, inner.x, inner.y + 1 + row as u16, room, spans, theme);
    }
    if found.is_empty() {
        line(
            buffer,
            inner.x,
            inner.y + 1,
            room,
            vec![Span::styled("  no matching command", theme.style(Role::Dim))],
            theme,
        );
    }
    Some(cursor)
}
