//! The pane of videos. Only visible rows are built.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Span;

use super::columns::{ClassColumn, SORTED, TableColumn, fit};
use super::{line, pane, scrollbar, why};
use crate::protocol::row::{Column, Filter, Finding, Row, RowState};
use crate::protocol::snapshot::{InFlight, Phase};
use crate::tui::action::Action;
use crate::tui::app::{App, Connection};
use crate::tui::gauge;
use crate::tui::input::Input;
use crate::tui::modal::Modal;
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::theme::Role;
use crate::tui::unavailable_reason;

/// The filter being typed for a pane.
pub(super) fn typing(app: &App, pane: Pane) -> Option<&Input> {
    match app.modals.last() {
        Some(Modal::Filter { input, pane: there, .. }) if *there == pane => Some(input),
        _ => None,
    }
}

/// The filter in a title, and the offset of the cursor while it is typed.
pub(super) fn filter_title(app: &App, filter: &str, typing: Option<&Input>) -> (Vec<Span<'static>>, Option<usize>) {
    let theme = &app.options.theme;
    let sign = Span::styled("/", theme.style(Role::Key));
    match typing {
        Some(input) => {
            let (before, after) = (text::sanitized(input.before()), text::sanitized(input.after()));
            let at = 1 + text::width(&before);
            let role = if input.is_selected() { Role::Selection } else { Role::Match };
            let text = Span::styled(format!("{before}{after}"), theme.style(role));
            (vec![sign, text, Span::styled(" ", theme.style(Role::Match))], Some(at))
        }
        None if filter.is_empty() => (vec![], None),
        None => (vec![sign, Span::styled(format!("{} ", text::sanitized(filter)), theme.style(Role::Match))], None),
    }
}

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = &app.options.theme;
    let typing = typing(app, Pane::Videos);
    let right = right(app, area.width);
    let taken: usize = right.iter().map(|span| text::width(&span.content)).sum();
    let (title, cursor) = title(app, typing, usize::from(area.width).saturating_sub(taken + 4));
    let inner = pane(app, Pane::Videos, title, right, area, buffer);
    let room = usize::from(inner.width);
    let columns = columns(app, room);
    if inner.height > 0 {
        header(app, &columns, Rect { height: 1, ..inner }, buffer);
    }
    let body = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    let height = usize::from(body.height);
    if app.videos.total() == 0 {
        empty(app, body, buffer);
    }
    let range = app.videos.range().map(|from| (from.min(app.videos.selected()), from.max(app.videos.selected())));
    for row in 0..height {
        let index = app.videos.top() + row;
        if index >= app.videos.total() {
            break;
        }
        let area = Rect { y: body.y + row as u16, height: 1, ..body };
        let in_range = range.is_some_and(|(from, to)| (from..=to).contains(&index));
        draw_row(app, index, in_range, &columns, area, buffer);
    }
    why::draw(app, &columns, body, buffer);
    let style = theme.style(if app.focus == Pane::Videos { Role::Focus } else { Role::Border });
    let edge = Rect { width: body.width + 1, ..body };
    scrollbar(theme, edge, app.videos.top(), height, app.videos.total(), style, buffer);
    cursor.map(|at| Position::new(area.x + at.min(area.width.saturating_sub(2).into()) as u16, area.y))
}

/// The columns and their widths in a table of this width.
pub(crate) fn columns(app: &App, room: usize) -> Vec<(TableColumn, usize)> {
    let class = match (&app.videos.filter().class, app.videos.sort().by) {
        (Some(_), _) => ClassColumn::Useless,
        (None, Column::Name) => ClassColumn::Sorted,
        (None, _) => ClassColumn::Useful,
    };
    fit(room, class, app.videos.widest())
}

/// With less width, the order is more important than the word.
const MIN_WIDTH_FOR_ROWS: u16 = 60;

/// The filters and the order, which is short where there is little room.
fn title(app: &App, typing: Option<&Input>, room: usize) -> (Vec<Span<'static>>, Option<usize>) {
    let theme = &app.options.theme;
    let filter = app.videos.filter();
    let mut parts = vec![];
    if let Some(class) = &filter.class {
        parts.push(Span::styled(text::sanitized(class).into_owned(), theme.style(Role::Focus)));
    }
    if filter.is_problems() {
        parts.push(Span::styled("problems only", theme.style(Role::Error)));
    } else {
        let states = filter.states.iter().map(|state| theme.state(*state));
        let shown = states.chain(filter.findings.iter().map(|finding| theme.finding(*finding)));
        parts.extend(shown.map(|shown| Span::styled(format!("{} {}", shown.glyph, shown.word), shown.style)));
    }
    let (spans, at) = filter_title(app, &filter.text, typing);
    let width = |spans: &[Span<'_>]| spans.iter().map(|span| text::width(&span.content)).sum::<usize>();
    let separator = Span::styled(theme.separator(), theme.style(Role::Dim));
    let with_order = |order: String| {
        let order = Span::styled(order, theme.style(Role::Dim));
        let mut title = vec![Span::styled("Videos", theme.style(Role::Title))];
        title.extend(parts.iter().cloned().chain([order]).flat_map(|part| [separator.clone(), part]));
        title.push(Span::raw(" "));
        title
    };
    let sort = app.videos.sort();
    let name = SORTED.iter().find(|(column, ..)| *column == sort.by).map_or("", |(.., name)| *name);
    let mut title = with_order(format!("sorted by {name}, {}", direction(sort.descending)));
    // The number of the pane comes before the title.
    if width(&title) + width(&spans) + 3 > room {
        title = with_order(format!("by {name} {}", arrow(app, sort.descending)));
    }
    let before = 4 + width(&title);
    title.extend(spans);
    (title, at.map(|at| before + at))
}

fn right(app: &App, width: u16) -> Vec<Span<'static>> {
    let theme = &app.options.theme;
    let mut spans = vec![];
    if app.videos.range().is_some() {
        spans.push(Span::styled(" range ", theme.style(Role::Mark)));
    }
    if !app.marks.is_empty() {
        let count = text::count(app.marks.len() as u64);
        spans.push(Span::styled(format!(" {} {count} marked ", theme.mark()), theme.style(Role::Mark)));
    }
    if app.bulk_mark.is_some() {
        spans.push(Span::styled(" marking … ", theme.style(Role::Dim)));
    }
    let place = (app.videos.selected() + 1).min(app.videos.total());
    let rows = match app.videos.total() {
        _ if width < MIN_WIDTH_FOR_ROWS => "",
        1 => "row ",
        _ => "rows ",
    };
    let shown = format!(" {}/{} {rows}", text::count(place as u64), text::count(app.videos.total() as u64));
    spans.push(Span::styled(shown, theme.style(Role::Dim)));
    spans
}

/// The word for an order.
pub(crate) fn direction(descending: bool) -> &'static str {
    if descending { "descending" } else { "ascending" }
}

fn arrow(app: &App, descending: bool) -> &'static str {
    match (descending, app.options.theme.is_ascii()) {
        (false, false) => "▴",
        (true, false) => "▾",
        (false, true) => "^",
        (true, true) => "v",
    }
}

fn header(app: &App, columns: &[(TableColumn, usize)], area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let sort = app.videos.sort();
    let mut spans = vec![];
    for (column, width) in columns {
        let (name, column, is_number) = column.header();
        let sorted = column == Some(sort.by);
        let arrow = if sorted { arrow(app, sort.descending) } else { "" };
        // Where the name fills its column, the arrow takes the space after it.
        let (name, after) = match name.len() < *width {
            true => (format!("{name}{arrow}"), " "),
            false => (name.to_owned(), if sorted { arrow } else { " " }),
        };
        let fitted = match is_number {
            true => text::align_right(&name, *width, theme.ellipsis()),
            false => text::align_left(&name, *width, theme.ellipsis()),
        };
        spans.push(Span::styled(fitted, theme.style(if sorted { Role::Title } else { Role::Dim })));
        spans.push(Span::styled(after, theme.style(if sorted { Role::Title } else { Role::Dim })));
    }
    line(buffer, area.x, area.y, area.width.into(), spans, theme);
}

/// Says why the table is empty.
fn empty(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let filter = app.videos.filter();
    let filtered = *filter != Filter::default();
    let text = match &app.connection {
        Connection::Gone { reason } => {
            let [start, quit] = [Action::StartPause, Action::Quit].map(|action| app.keymap.key_text(action));
            let reason = text::without_stop(reason);
            format!("No background process: {reason}. {start} starts one and the run; {quit} quits.")
        }
        Connection::Lost { reason } => {
            format!("Lost the connection to the background process ({reason}); reconnecting …")
        }
        Connection::Connecting => "Starting …".to_owned(),
        Connection::Up(_) if let Some(reason) = unavailable_reason::awaited(app) => {
            format!("Waiting: {}.", text::without_stop(&reason))
        }
        Connection::Up(_) if !app.videos.is_known() || is_scanning(app) => "Reading the dataset folder …".to_owned(),
        Connection::Up(_) if filtered => {
            let back = app.keymap.key_text(Action::Back);
            match filter.is_problems() && filter.text.is_empty() && filter.class.is_none() {
                true => format!("No problems. {back} shows all videos."),
                false => format!("No matching videos. {back} clears the filter."),
            }
        }
        Connection::Up(welcome) => format!(
            "No videos in {} yet. Put them in one folder per class; videos are picked up as they arrive.",
            crate::dataset::shown(&welcome.root)
        ),
    };
    let width = usize::from(area.width.saturating_sub(4)).min(70);
    let lines = text::wrap(&text::sanitized(&text), width);
    let top = usize::from(area.height).saturating_sub(lines.len()) / 3;
    for (row, text) in lines.iter().enumerate().take(usize::from(area.height).saturating_sub(top)) {
        buffer.set_stringn(area.x + 2, area.y + (top + row) as u16, text, width, theme.style(Role::Dim));
    }
}

/// The engine has not read the dataset folder, or has found videos that the table has not asked for yet.
fn is_scanning(app: &App) -> bool {
    let is_all = *app.videos.filter() == Filter::default();
    app.snapshot().is_none_or(|snapshot| snapshot.phase == Phase::Starting || is_all && snapshot.counts.videos > 0)
}

/// A video that a device has.
#[derive(Clone, Copy)]
pub(super) struct InProgress<'a> {
    pub device: &'a str,
    pub job: &'a InFlight,
    /// It waits for the video before it.
    pub is_next: bool,
}

/// The device that works on a video, and its progress.
pub(super) fn in_flight<'a>(app: &'a App, video: &str) -> Option<InProgress<'a>> {
    let devices = &app.snapshot()?.devices;
    devices.iter().find_map(|device| {
        let place = device.in_flight.iter().position(|job| job.video == video)?;
        let job = device.in_flight.get(place)?;
        Some(InProgress { device: &device.device, job, is_next: place > 0 && job.is_next() })
    })
}

fn draw_row(
    app: &App,
    index: usize,
    in_range: bool,
    columns: &[(TableColumn, usize)],
    area: Rect,
    buffer: &mut Buffer,
) {
    let theme = &app.options.theme;
    let selected = index == app.videos.selected();
    let base = match selected && app.focus == Pane::Videos {
        true => theme.style(Role::Selection),
        false => theme.style(Role::Base),
    };
    let highlighted = selected && app.focus == Pane::Videos;
    if highlighted {
        buffer.set_style(area, base);
    }
    let Some(row) = app.videos.row(index) else {
        buffer.set_string(area.x + 2, area.y, theme.ellipsis(), theme.style(Role::Dim));
        return;
    };
    let on = |style| if highlighted { base } else { style };
    let running = in_flight(app, &row.video).filter(|_| row.state == RowState::Running);
    let mut spans: Vec<Span<'_>> = vec![];
    for (column, width) in columns {
        match column {
            TableColumn::Mark => {
                let marked = app.marks.has(row, app.videos.filter());
                let sign = match (marked, in_range, selected) {
                    (true, _, true) => theme.mark_at_cursor(),
                    (true, ..) => theme.mark(),
                    (false, true, _) if theme.is_ascii() => "|",
                    (false, true, _) => "┃",
                    (.., true) => theme.pointer(),
                    _ => " ",
                };
                spans.push(Span::styled(text::align_left(sign, *width, ""), on(theme.style(Role::Mark))));
            }
            TableColumn::State => state(app, row, running, *width, highlighted, &mut spans),
            _ => {
                let (content, dim) = content(app, row, *column, running);
                let (_, _, is_number) = column.header();
                let fitted = match is_number {
                    true => text::align_right(&content, *width, theme.ellipsis()),
                    false => text::align_left(&content, *width, theme.ellipsis()),
                };
                spans.push(Span::styled(fitted, on(theme.style(if dim { Role::Dim } else { Role::Base }))));
            }
        }
        spans.push(Span::styled(" ", base));
    }
    line(buffer, area.x, area.y, area.width.into(), spans, theme);
}

fn state(
    app: &App,
    row: &Row,
    running: Option<InProgress<'_>>,
    width: usize,
    highlighted: bool,
    spans: &mut Vec<Span<'_>>,
) {
    let theme = &app.options.theme;
    let style = app.state_style(row.state);
    let base = theme.style(Role::Selection);
    let on = |style| if highlighted { base } else { style };
    // It is excluded when it is done.
    let glyph = if row.leaves { theme.state(RowState::Excluded).glyph } else { style.glyph };
    let job = running.filter(|running| !running.is_next).map(|running| running.job);
    let share = job.filter(|job| job.clips > 0).and_then(InFlight::share).map(|share| share * 100.0);
    // Of a row in view, a file that was not checked is no news.
    let badges = row.findings.iter().filter(|finding| *finding != Finding::Unchecked);
    let badges: Vec<_> = badges.map(|finding| theme.finding(finding)).collect();
    let width = width.saturating_sub(badges.len());
    match share {
        Some(share) => {
            let bar = width.saturating_sub(8).min(8);
            let [full, rest] = gauge::bar_spans(theme, Some(share / 100.0), bar);
            let percent = format!(" {:>5}", text::percent(Some(share)));
            spans.push(Span::styled(format!("{glyph} "), on(style.style)));
            spans.push(Span::styled(full.content, on(full.style)));
            spans.push(Span::styled(rest.content, on(rest.style)));
            let left = width.saturating_sub(2 + bar);
            spans.push(Span::styled(text::align_left(&percent, left, theme.ellipsis()), on(style.style)));
        }
        None => {
            // It waits for the video before it, so it shows no progress.
            let word = if running.is_some_and(|running| running.is_next) { "next" } else { style.word };
            let word = format!("{glyph} {word} ");
            spans.push(Span::styled(text::align_left(&word, width, theme.ellipsis()), on(style.style)));
        }
    }
    spans.extend(badges.into_iter().map(|badge| Span::styled(badge.glyph, on(badge.style))));
}

fn content(app: &App, row: &Row, column: TableColumn, running: Option<InProgress<'_>>) -> (String, bool) {
    let theme = &app.options.theme;
    let unknown = || (theme.unknown().to_owned(), true);
    let (class, file) = row.video.split_once('/').unwrap_or(("", &row.video));
    let facts = row.facts.as_ref();
    match column {
        TableColumn::Video => (text::sanitized(file).into_owned(), false),
        TableColumn::Class => (text::sanitized(class).into_owned(), true),
        TableColumn::Length => facts.map_or_else(unknown, |facts| (text::clock(facts.duration_s.into()), false)),
        TableColumn::Picture => {
            let times = if theme.is_ascii() { 'x' } else { '×' };
            facts.map_or_else(unknown, |facts| (format!("{}{times}{}", facts.size[0], facts.size[1]), true))
        }
        TableColumn::Codec => facts.map_or_else(unknown, |facts| (text::sanitized(&facts.codec).into_owned(), true)),
        // Missing files have none, and that of files that are no videos is not read.
        TableColumn::Size if row.size == 0 && (row.state == RowState::Missing || !row.state.is_video()) => unknown(),
        TableColumn::Size => (text::bytes(row.size), true),
        TableColumn::Attempts if row.attempts == 0 => unknown(),
        TableColumn::Attempts => (row.attempts.to_string(), false),
        TableColumn::Reason => match (&row.reason, running) {
            (Some(reason), _) => (text::sanitized(reason).into_owned(), false),
            (None, Some(running)) if row.leaves => (format!("on {}, excluded when done", running.device), true),
            (None, Some(running)) if running.is_next => (format!("next on {}", running.device), true),
            (None, Some(running)) => (format!("on {}", running.device), true),
            (None, None) if row.has_feature && row.state != RowState::Done => ("has a feature already".into(), true),
            (None, None) => (String::new(), true),
        },
        TableColumn::Mark | TableColumn::State => (String::new(), false),
    }
}
