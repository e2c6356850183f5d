//! The pane of devices: those of the window's own engine, then the other engines with theirs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::device_line::{device_line, draw_segments, fit};
use super::history::{self, Series};
use super::{engine_line, line, padded, pane, scrollbar};
use crate::client::overview::Engine;
use crate::protocol::snapshot::DeviceState;
use crate::tui::app::App;
use crate::tui::device_history::{self, Metric};
use crate::tui::engines::DeviceLine;
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::theme::Role;

/// `is_alone`: no other pane is shown.
pub(super) fn draw(app: &App, is_alone: bool, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let title = vec![Span::styled("Devices ", theme.style(Role::Title))];
    let inner = padded(pane(app, Pane::Devices, title, machine(app), area, buffer));
    let lines = app.device_lines();
    if lines.is_empty() && app.snapshot().is_none() {
        return;
    }
    if lines.is_empty() && inner.height > 0 {
        let text = text::truncate("no device is in use", inner.width.into(), theme.ellipsis());
        buffer.set_string(inner.x, inner.y, text, theme.style(Role::Dim));
    }
    // Shown alone, the pane has room for the history of the device under the cursor.
    let list = if is_alone && inner.height >= MIN_HEIGHT_FOR_CHARTS { inner.height / 3 } else { inner.height };
    let list = list.min(lines.len().min(usize::from(u16::MAX)) as u16).max(1);
    let charts = Rect { y: inner.y + list + 1, height: inner.height.saturating_sub(list + 1), ..inner };
    if is_alone && inner.height >= MIN_HEIGHT_FOR_CHARTS {
        match lines.get(app.device) {
            Some(DeviceLine::Device(None, index, device)) => self::charts(app, *index, device, charts, buffer),
            Some(DeviceLine::Device(Some(engine), _, device)) => {
                let area = Rect { height: charts.height.min(1), ..charts };
                facts(app, device, Some(&engine.holder.host), area, buffer);
                engine_facts(app, Some(engine), below(charts), buffer);
            }
            Some(DeviceLine::Engine(engine)) => engine_facts(app, *engine, charts, buffer),
            Some(DeviceLine::More(engine)) => engine_facts(app, Some(engine), charts, buffer),
            None => {}
        }
    }
    let inner = Rect { height: list.min(inner.height), ..inner };
    let height = usize::from(inner.height);
    let last = lines.len().saturating_sub(height);
    let top = app.device.saturating_sub(height.saturating_sub(1)).min(last);
    for (row, (index, shown)) in lines.iter().enumerate().skip(top).take(height).enumerate() {
        let area = Rect { y: inner.y + row as u16, height: 1, ..inner };
        let highlighted = index == app.device && app.focus == Pane::Devices;
        draw_line(app, *shown, false, highlighted, area, buffer);
    }
    let style = theme.style(if app.focus == Pane::Devices { Role::Focus } else { Role::Border });
    scrollbar(theme, Rect { width: inner.width + 1, ..inner }, top, height, lines.len(), style, buffer);
}

/// With less height the lines of the devices need all of it.
const MIN_HEIGHT_FOR_CHARTS: u16 = 14;

/// What the device under the cursor has reported over time.
fn charts(app: &App, index: usize, device: &DeviceState, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let Some(history) = app.device_history.get(index) else { return };
    facts(app, device, None, area, buffer);
    let body = below(area);
    let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(|metric| history.has(*metric)).collect();
    let columns = usize::from(body.width / MIN_CHART_WIDTH).clamp(1, 3).min(metrics.len().max(1));
    let rows = metrics.len().div_ceil(columns).min(usize::from(body.height / history::MIN_HEIGHT)).max(1);
    let (width, height) = (body.width / columns as u16, body.height / rows as u16);
    for (place, metric) in metrics.into_iter().take(rows * columns).enumerate() {
        let (column, row) = ((place % columns) as u16, (place / columns) as u16);
        let area = Rect::new(body.x + column * width, body.y + row * height, width.saturating_sub(2), height);
        let values = history.values(metric);
        let series = Series {
            title: metric.title(),
            unit: metric.unit(),
            now: values.last().copied().flatten().map(f64::from),
            values: &values,
            every_s: device_history::INTERVAL.as_secs_f64(),
            full: metric.full(device),
        };
        history::draw(theme, &series, area, buffer);
    }
}

/// What is known of a device, in a line.
fn facts(app: &App, device: &DeviceState, host: Option<&str>, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let host = host.map_or_else(String::new, |host| format!("{} ", text::sanitized(host)));
    let detail = device.detail.as_deref().map(|detail| text::sanitized(detail).into_owned());
    let done = format!("{} done", text::plural(device.done as u64, "video", "videos"));
    let facts: Vec<String> = detail.into_iter().chain([format!("batch {}", device.batch), done]).collect();
    let facts = format!("  {}", facts.join(theme.separator()));
    let what = if device.device.starts_with("cpu") { "this worker" } else { "this device" };
    let head = vec![
        Span::styled(format!("{what}: {host}{}", device.device), theme.style(Role::Title)),
        Span::styled(facts, theme.style(Role::Dim)),
    ];
    line(buffer, area.x, area.y, area.width.into(), head, theme);
}

fn below(area: Rect) -> Rect {
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
}

/// What is known of an engine.
fn engine_facts(app: &App, engine: Option<&Engine>, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    for (y, (name, value)) in (area.y..area.bottom()).zip(engine_line::lines(app, engine)) {
        let value = text::sanitized(&value).into_owned();
        let spans = vec![
            Span::styled(format!("{name:<10}"), theme.style(Role::Dim)),
            Span::styled(value, theme.style(Role::Base)),
        ];
        line(buffer, area.x, y, area.width.into(), spans, theme);
    }
}

/// A chart with less width is hard to read.
const MIN_CHART_WIDTH: u16 = 36;

/// The machine's cores and memory, for the title.
fn machine(app: &App) -> Vec<Span<'static>> {
    let theme = &app.options.theme;
    let Some(snapshot) = app.snapshot() else { return vec![] };
    let machine = &snapshot.machine;
    let mut text = String::new();
    if machine.cores > 0 {
        let busy = text::percent(machine.cpu_percent.map(f64::from));
        text = format!(" machine: {} {busy}", text::plural(machine.cores as u64, "core", "cores"));
    }
    if let Some([used, all]) = machine.memory {
        let before = if text.is_empty() { " machine: " } else { theme.separator() };
        text.push_str(&format!("{before}RAM {}", text::bytes_of(used, all)));
    }
    if text.is_empty() {
        return vec![];
    }
    vec![Span::styled(format!("{text} "), theme.style(Role::Dim))]
}

/// One line per device and per other engine, shown when the pane of devices is hidden. If there are too many, the last line
/// counts the rest.
pub(super) fn strip(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let (lines, room) = (app.strip_lines(), usize::from(area.height));
    let shown = if lines.len() > room { room.saturating_sub(1) } else { room };
    for (index, shown) in lines.iter().enumerate().take(shown) {
        let area = Rect { x: area.x + 1, y: area.y + index as u16, width: area.width.saturating_sub(2), height: 1 };
        draw_line(app, *shown, true, false, area, buffer);
    }
    if lines.len() > shown && room > 0 {
        let text = rest(app, lines.get(shown..).unwrap_or_default());
        let text = text::truncate(&text, area.width.saturating_sub(2).into(), theme.ellipsis()).into_owned();
        buffer.set_string(area.x + 1, area.bottom() - 1, text, theme.style(Role::Dim));
    }
}

/// What is not shown: `and 12 more, 3 of them busy`, or `and 12 more engines, 1 silent`.
fn rest(app: &App, lines: &[DeviceLine<'_>]) -> String {
    let engines: Vec<&Engine> = lines.iter().filter_map(DeviceLine::engine).collect();
    let is_busy =
        |line: &&DeviceLine<'_>| matches!(line, DeviceLine::Device(_, _, device) if !device.in_flight.is_empty());
    let working = lines.iter().filter(is_busy).count();
    let silent = engines.iter().filter(|engine| app.silence(engine).is_some()).count();
    let mut text = match (lines.len() - engines.len(), engines.len()) {
        (devices, 0) => format!("and {devices} more, {working} of them busy"),
        (0, engines) => format!("and {}", text::plural(engines as u64, "more engine", "more engines")),
        (devices, engines) => format!(
            "and {}, {working} of them busy, and {}",
            text::plural(devices as u64, "more device", "more devices"),
            text::plural(engines as u64, "engine", "engines")
        ),
    };
    if silent > 0 {
        text.push_str(&format!(", {silent} silent"));
    }
    text
}

/// Draws a line. `brief`: an engine also sums up its devices, which are not shown.
fn draw_line(app: &App, shown: DeviceLine<'_>, brief: bool, highlighted: bool, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let engine = shown.engine();
    match shown {
        DeviceLine::Engine(engine) => {
            let mut segments = engine_line::segments(app, engine, brief);
            fit(&mut segments, area.width.into());
            draw_segments(app, segments, highlighted, area, buffer);
        }
        DeviceLine::Device(None, index, device) => {
            let Some(snapshot) = app.snapshot() else { return };
            let history = app.device_history.get(index);
            device_line(app, &snapshot.devices, history, device, highlighted, indented(app, area), buffer);
        }
        DeviceLine::Device(Some(engine), _, device) => {
            let devices = engine.snapshot.as_ref().map_or(&[][..], |snapshot| &snapshot.devices);
            device_line(app, devices, None, device, highlighted, indented(app, area), buffer);
        }
        DeviceLine::More(engine) => {
            let text = format!("and {} more", engine.more_devices);
            let style = theme.style(if highlighted { Role::Selection } else { Role::Dim });
            let area = indented(app, area);
            line(buffer, area.x, area.y, area.width.into(), vec![Span::styled(text, style)], theme);
        }
    }
    if engine.is_some_and(|engine| app.silence(engine).is_some()) {
        buffer.set_style(area, theme.stale());
    }
}

/// Devices stand below their engines.
fn indented(app: &App, area: Rect) -> Rect {
    let by = if app.other_engines().next().is_some() { 2.min(area.width) } else { 0 };
    Rect { x: area.x + by, width: area.width - by, ..area }
}
