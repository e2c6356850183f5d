//! Draws the state; each pane and popup has its own file. The caller applies the base style before and
//! [`Theme::downgrade`] after.

use std::cell::Cell;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Widget};

use super::app::App;
use super::pane::Pane;
use super::text;
use super::theme::{Role, Theme};

mod classes;
pub(super) mod columns;
mod device_line;
mod devices;
mod engine_line;
pub(super) mod footer;
mod header;
mod help;
mod history;
pub(super) mod layout;
pub(super) mod log;
mod popup;
mod preview;
mod run_end;
pub(super) mod tabs;
mod throughput;
mod toast_lines;
mod toasts;
pub(super) mod videos;
mod why;

/// Draws everything. Returns the position of the cursor if a text is being typed.
pub(super) fn paint(app: &App, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = &app.options.theme;
    let plan = layout::of(app, area.as_size());
    if plan.too_small {
        too_small(area, theme, buffer);
        return None;
    }
    header::draw(app, plan.header, buffer);
    let mut cursor = None;
    if let Some(area) = plan.classes {
        cursor = cursor.or(classes::draw(app, area, buffer));
    }
    if let Some(area) = plan.videos {
        cursor = cursor.or(videos::draw(app, area, buffer));
    }
    if let Some(area) = plan.preview {
        preview::draw(app, area, buffer);
    }
    if let Some(area) = plan.devices {
        devices::draw(app, plan.alone(app.focus).is_some(), area, buffer);
    }
    if let Some(area) = plan.throughput {
        throughput::draw(app, area, buffer);
    }
    if let Some(area) = plan.log {
        cursor = cursor.or(log::draw(app, area, buffer));
    }
    if let Some(area) = plan.alone(app.focus) {
        tabs::draw(app, area, buffer);
    }
    if let Some(area) = plan.strip {
        devices::strip(app, area, buffer);
    }
    if app.is_stale() {
        let header = Rect { y: plan.header.y + 1, height: plan.header.height.saturating_sub(1), ..plan.header };
        let panes = [plan.classes, plan.videos, plan.devices, plan.throughput, plan.strip];
        for area in panes.into_iter().flatten().chain([header]) {
            buffer.set_style(area, theme.stale());
        }
    }
    footer::draw(app, plan.footer, buffer);
    cursor = popup::draw(app, area, buffer).or(cursor);
    toasts::draw(app, area, buffer);
    cursor
}

fn too_small(area: Rect, theme: &Theme, buffer: &mut Buffer) {
    let least = layout::MIN_SIZE;
    let lines = [
        "reeldeck".to_owned(),
        format!("{}×{} is too small", area.width, area.height),
        format!("needs {}×{} or more", least.width, least.height),
    ];
    let top = area.height.saturating_sub(lines.len() as u16) / 2;
    for (row, line) in (top..area.height).zip(&lines) {
        let line = text::truncate(line, area.width.into(), theme.ellipsis());
        let left = (usize::from(area.width) - text::width(&line)) / 2;
        buffer.set_string(area.x + left as u16, area.y + row, line, theme.style(Role::Base));
    }
}

/// Draws the frame of a pane with its number and title. Returns the inner area.
fn pane(
    app: &App,
    pane: Pane,
    title: Vec<Span<'static>>,
    right: Vec<Span<'static>>,
    area: Rect,
    buffer: &mut Buffer,
) -> Rect {
    let theme = &app.options.theme;
    let focused = app.focus == pane;
    let style = theme.style(if focused { Role::Focus } else { Role::Border });
    let mut spans = vec![Span::styled(format!(" {} ", pane.number()), style)];
    spans.extend(title);
    frame(theme, style, spans, right, area, buffer)
}

/// An area without its first and last column, if there is room.
fn padded(area: Rect) -> Rect {
    if area.width < 40 { area } else { Rect { x: area.x + 1, width: area.width - 2, ..area } }
}

/// Draws a frame with titles. Returns the inner area.
fn frame(
    theme: &Theme,
    style: Style,
    title: Vec<Span<'static>>,
    right: Vec<Span<'static>>,
    area: Rect,
    buffer: &mut Buffer,
) -> Rect {
    let block = Block::new().borders(Borders::ALL).border_set(theme.border()).border_style(style);
    let inner = block.inner(area);
    block.render(area, buffer);
    let room = usize::from(area.width.saturating_sub(4));
    let right = Line::from(right);
    let right_width = right.width();
    if right_width > 0 && right_width <= room {
        let x = area.right().saturating_sub(2 + right_width as u16);
        buffer.set_line(x, area.y, &right, right_width as u16);
    }
    let left_room = if right_width < room { room - right_width } else { room };
    line(buffer, area.x + 1, area.y, left_room, title, theme);
    inner
}

/// Draws spans from left to right and truncates them to `room`. Returns the columns used.
fn line(buffer: &mut Buffer, x: u16, y: u16, room: usize, spans: Vec<Span<'_>>, theme: &Theme) -> usize {
    let mut used = 0;
    for span in spans {
        let width = text::width(&span.content);
        if used + width <= room {
            buffer.set_stringn(x + used as u16, y, &span.content, room - used, span.style);
            used += width;
            continue;
        }
        let clipped = text::truncate(&span.content, room - used, theme.ellipsis());
        buffer.set_stringn(x + used as u16, y, &clipped, room - used, span.style);
        return room;
    }
    used
}

/// Draws an empty popup, with a free column on both sides between its frame and what is below. Returns the inner area.
fn popup_frame(app: &App, title: &str, area: Rect, buffer: &mut Buffer) -> Rect {
    let theme = &app.options.theme;
    let cleared = Rect { x: area.x.saturating_sub(1), width: area.width + 2, ..area }.intersection(buffer.area);
    Clear.render(cleared, buffer);
    buffer.set_style(cleared, theme.style(Role::Base));
    let title = vec![Span::styled(format!(" {title} "), theme.style(Role::Title))];
    frame(theme, theme.style(Role::Focus), title, vec![], area, buffer)
}

/// A piece of text.
type Styled = (String, Style);

/// Draws a scrollable popup.
fn text_popup(
    app: &App,
    title: &str,
    lines: &[Vec<Styled>],
    scroll: &Cell<usize>,
    width: u16,
    area: Rect,
    buffer: &mut Buffer,
) {
    let theme = &app.options.theme;
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height.saturating_sub(2));
    let inner = popup_frame(app, title, layout::popup(area.as_size(), width, height), buffer);
    let visible = usize::from(inner.height);
    let top = scroll.get().min(lines.len().saturating_sub(visible));
    scroll.set(top);
    for (row, spans) in lines.iter().skip(top).take(visible).enumerate() {
        let spans = spans.iter().map(|(text, style)| Span::styled(text.as_str(), *style)).collect();
        line(buffer, inner.x, inner.y + row as u16, inner.width.into(), spans, theme);
    }
    let edge = Rect { width: inner.width + 1, ..inner };
    scrollbar(theme, edge, top, visible, lines.len(), theme.style(Role::Focus), buffer);
}

fn scrollbar(theme: &Theme, area: Rect, top: usize, visible: usize, all: usize, style: Style, buffer: &mut Buffer) {
    if all <= visible || area.height < 3 || visible == 0 {
        return;
    }
    let track = usize::from(area.height);
    let length = (track * visible / all).max(1);
    let last = all - visible;
    let at = (track - length) * top.min(last) / last;
    for row in at..(at + length).min(track) {
        buffer.set_string(area.right() - 1, area.y + row as u16, if theme.is_ascii() { "#" } else { "┃" }, style);
    }
}
