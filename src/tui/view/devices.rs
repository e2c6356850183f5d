//! The pane of devices: current video, progress, rate, load, memory and temperature.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::history::{self, Series};
use super::{line, pane, scrollbar};
use crate::protocol::snapshot::{DeviceState, Gauges, InFlight, Snapshot};
use crate::tui::app::App;
use crate::tui::device_history::{self, DeviceHistory, Metric};
use crate::tui::gauge;
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let title = vec![Span::styled("Devices ", theme.style(Role::Title))];
    let inner = pane(app, Pane::Devices, title, machine(app), area, buffer);
    let Some(snapshot) = app.snapshot() else { return };
    let devices = &snapshot.devices;
    if devices.is_empty() && inner.height > 0 {
        let text = text::truncate("no device is in use", inner.width.into(), theme.ellipsis());
        buffer.set_string(inner.x, inner.y, text, theme.style(Role::Dim));
    }
    // Shown alone, the pane has room for the history of the device under the cursor.
    let list = if app.zoom && inner.height >= MIN_HEIGHT_FOR_CHARTS { inner.height / 3 } else { inner.height };
    let list = list.min(devices.len() as u16).max(1);
    let charts = Rect { y: inner.y + list + 1, height: inner.height.saturating_sub(list + 1), ..inner };
    if app.zoom && inner.height >= MIN_HEIGHT_FOR_CHARTS {
        self::charts(app, charts, buffer);
    }
    let inner = Rect { height: list.min(inner.height), ..inner };
    let height = usize::from(inner.height);
    let last = devices.len().saturating_sub(height);
    let top = app.device.saturating_sub(height.saturating_sub(1)).min(last);
    for (row, (index, device)) in devices.iter().enumerate().skip(top).take(height).enumerate() {
        let area = Rect { y: inner.y + row as u16, height: 1, ..inner };
        let highlighted = index == app.device && app.focus == Pane::Devices;
        device_line(app, snapshot, index, device, highlighted, area, buffer);
    }
    let style = theme.style(if app.focus == Pane::Devices { Role::Focus } else { Role::Border });
    scrollbar(theme, Rect { width: inner.width + 1, ..inner }, top, height, devices.len(), style, buffer);
}

/// With less height the lines of the devices need all of it.
const MIN_HEIGHT_FOR_CHARTS: u16 = 14;

/// What the device under the cursor has reported over time.
fn charts(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let device = app.snapshot().and_then(|snapshot| snapshot.devices.get(app.device));
    let (Some(device), Some(history)) = (device, app.device_history.get(app.device)) else { return };
    let detail = device.detail.as_deref().map(text::sanitized).unwrap_or_default();
    let facts = format!(
        "  {detail}{}batch {}{}{} done",
        theme.separator(),
        device.batch,
        theme.separator(),
        text::plural(device.done as u64, "video", "videos")
    );
    let head = vec![
        Span::styled(device.device.clone(), theme.style(Role::Title)),
        Span::styled(facts, theme.style(Role::Dim)),
    ];
    line(buffer, area.x, area.y, area.width.into(), head, theme);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(|metric| history.has(*metric)).collect();
    let columns = usize::from(body.width / MIN_CHART_WIDTH).clamp(1, 3).min(metrics.len().max(1));
    let rows = metrics.len().div_ceil(columns).min(usize::from(body.height / history::MIN_HEIGHT)).max(1);
    let (width, height) = (body.width / columns as u16, body.height / rows as u16);
    for (place, metric) in metrics.into_iter().take(rows * columns).enumerate() {
        let (column, row) = ((place % columns) as u16, (place / columns) as u16);
        let area = Rect::new(body.x + column * width, body.y + row * height, width.saturating_sub(2), height);
        let series = Series {
            title: metric.title(),
            unit: metric.unit(),
            values: &history.values(metric),
            every_s: device_history::INTERVAL.as_secs_f64(),
            full: metric.full(device),
        };
        history::draw(theme, &series, area, buffer);
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
        text = format!(" {} {busy}", text::plural(machine.cores as u64, "core", "cores"));
    }
    if let Some([used, all]) = machine.memory {
        text.push_str(&format!("{}RAM {}", theme.separator(), text::bytes_of(used, all)));
    }
    if text.is_empty() {
        return vec![];
    }
    vec![Span::styled(format!("{text} "), theme.style(Role::Dim))]
}

/// One line per device, shown when the pane of devices is hidden. If there are too many devices, the last line counts
/// the rest.
pub(super) fn strip(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let Some(snapshot) = app.snapshot() else { return };
    let room = usize::from(area.height);
    let shown = if snapshot.devices.len() > room { room.saturating_sub(1) } else { room };
    for (index, device) in snapshot.devices.iter().enumerate().take(shown) {
        let area = Rect { x: area.x + 1, y: area.y + index as u16, width: area.width.saturating_sub(2), height: 1 };
        device_line(app, snapshot, index, device, false, area, buffer);
    }
    if snapshot.devices.len() > shown && room > 0 {
        let rest = snapshot.devices.get(shown..).unwrap_or_default();
        let working = rest.iter().filter(|device| !device.in_flight.is_empty()).count();
        let text = format!("and {} more, {working} of them busy", rest.len());
        let text = text::truncate(&text, area.width.saturating_sub(2).into(), theme.ellipsis()).into_owned();
        buffer.set_string(area.x + 1, area.bottom() - 1, text, theme.style(Role::Dim));
    }
}

/// A part of a line that is dropped when there is too little room.
struct Segment {
    spans: Vec<Span<'static>>,
    /// The lowest is dropped first.
    priority: u8,
}

fn device_line(
    app: &App,
    snapshot: &Snapshot,
    index: usize,
    device: &DeviceState,
    highlighted: bool,
    area: Rect,
    buffer: &mut Buffer,
) {
    let theme = &app.options.theme;
    let room = usize::from(area.width);
    let mut segments = vec![Segment {
        spans: vec![Span::styled(text::align_left(&device.device, 7, theme.ellipsis()), theme.style(Role::Title))],
        priority: 9,
    }];
    let working =
        !matches!(device.status.as_str(), "lost" | "starting" | "leaving" | "left") || !device.in_flight.is_empty();
    if working {
        let model = device.detail.as_deref().map(model).unwrap_or_default();
        if !model.is_empty() {
            segments.push(Segment {
                spans: vec![Span::styled(text::align_left(&model, 8, theme.ellipsis()), theme.style(Role::Dim))],
                priority: 1,
            });
        }
        segments.extend(activity(app, snapshot, index, device));
    } else {
        segments.push(status(theme, device, room));
    }
    let width = |segments: &[Segment]| {
        segments
            .iter()
            .map(|segment| 2 + segment.spans.iter().map(|span| text::width(&span.content)).sum::<usize>())
            .sum::<usize>()
    };
    // The name takes the rest of the line, but at least this much.
    let min_name_width = if working { 16 } else { 0 };
    while width(&segments) + min_name_width > room + 2 && segments.len() > 2 {
        let Some(place) =
            segments.iter().enumerate().min_by_key(|(_, segment)| segment.priority).map(|(place, _)| place)
        else {
            break;
        };
        segments.remove(place);
    }
    if working {
        let spare = (room + 2).saturating_sub(width(&segments) + 2);
        let (text, role) = name(device);
        let spans = vec![Span::styled(text::align_left(&text, spare.min(40), theme.ellipsis()), theme.style(role))];
        let place = segments.iter().position(|segment| segment.priority == 8).unwrap_or(segments.len());
        segments.insert(place, Segment { spans, priority: 9 });
    }
    let mut spans = vec![];
    for segment in segments {
        spans.extend(segment.spans);
        spans.push(Span::raw("  "));
    }
    if highlighted {
        let base = theme.style(Role::Selection);
        buffer.set_style(area, base);
        spans.iter_mut().for_each(|span| span.style = base);
    }
    line(buffer, area.x, area.y, room, spans, theme);
}

/// `H200` from `NVIDIA H200 NVL`.
fn model(detail: &str) -> String {
    let detail = text::sanitized(detail);
    let short = detail.strip_prefix("NVIDIA ").unwrap_or(&detail);
    let short = short.strip_prefix("GeForce ").or_else(|| short.strip_prefix("Tesla ")).unwrap_or(short);
    short.split(',').next().unwrap_or_default().trim().to_owned()
}

fn name(device: &DeviceState) -> (String, Role) {
    let Some(job) = device.in_flight.first() else { return ("idle".into(), Role::Dim) };
    let file = job.video.split_once('/').map_or(job.video.as_str(), |(_, file)| file);
    let more = device.in_flight.len() - 1;
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    (format!("{}{more}", text::sanitized(file)), Role::Base)
}

fn status(theme: &Theme, device: &DeviceState, room: usize) -> Segment {
    let (role, word): (Role, Cow<'_, str>) = match device.status.as_str() {
        "starting" if device.restarts > 0 => (
            Role::Warn,
            format!("restarting ({} so far)", text::plural(device.restarts.into(), "restart", "restarts")).into(),
        ),
        "starting" => (Role::Active, "loading the model".into()),
        "lost" => (Role::Error, "disabled".into()),
        "leaving" => (Role::Dim, "stopping".into()),
        "left" => (Role::Dim, "idle".into()),
        other => (Role::Warn, other.to_owned().into()),
    };
    let mut text = word.into_owned();
    if let Some(detail) = device.detail.as_deref().filter(|_| device.status == "lost") {
        text.push_str(&format!(": {}", text::sanitized(detail)));
    }
    let text = text::truncate(&text, room.saturating_sub(9), theme.ellipsis()).into_owned();
    Segment { spans: vec![Span::styled(text, theme.style(role))], priority: 8 }
}

/// The segments of a device's line. If any device reports a value, all lines reserve room for it, so that the columns
/// align.
fn activity(app: &App, snapshot: &Snapshot, index: usize, device: &DeviceState) -> Vec<Segment> {
    let theme = &app.options.theme;
    let say = |text: String, role| Span::styled(text, theme.style(role));
    let reported = |what: fn(&Gauges) -> bool| snapshot.devices.iter().any(|device| what(&device.gauges));
    let number = |value: Option<f32>, unit: &str, room: usize| match value {
        Some(value) => text::align_right(&format!("{value:.0} {unit}"), room, theme.ellipsis()),
        None => text::align_right("n/a", room, theme.ellipsis()),
    };
    let share = device.in_flight.first().and_then(InFlight::share).map(|share| share * 100.0);
    let mut segments = vec![];
    let mut progress: Vec<Span<'static>> = gauge::bar_spans(theme, share.map(|share| share / 100.0), 8).into();
    let percent = share.map_or_else(|| theme.unknown().to_owned(), |share| text::percent(Some(share)));
    progress.push(say(format!(" {percent:>5}"), Role::Base));
    segments.push(Segment { spans: progress, priority: 8 });
    let rate = device.clips_per_s.map_or_else(|| theme.unknown().to_owned(), text::number);
    segments.push(Segment { spans: vec![say(format!("{rate:>5} clips/s"), Role::Base)], priority: 6 });
    let Gauges { memory, busy_percent, decoder_percent, temperature_c, power_w } = device.gauges;
    let is_cpu = device.device == "cpu";
    if !is_cpu || reported(|gauges| gauges.busy_percent.is_some()) {
        let busy = text::percent(busy_percent.map(f64::from));
        segments.push(Segment { spans: vec![say(format!("util {busy:>5}"), Role::Base)], priority: 4 });
    }
    if reported(|gauges| gauges.decoder_percent.is_some()) {
        let busy = text::percent(decoder_percent.map(f64::from));
        segments.push(Segment { spans: vec![say(format!("dec {busy:>5}"), Role::Dim)], priority: 0 });
    }
    let values = app.device_history.get(index).map(DeviceHistory::activity).unwrap_or_default();
    if values.len() > 1 {
        let spark = gauge::sparkline(&values, 10, 0.0, theme.is_ascii());
        segments.push(Segment { spans: vec![Span::styled(spark, theme.style(Role::Chart))], priority: 2 });
    }
    if !is_cpu || reported(|gauges| gauges.memory.is_some()) {
        let share = memory.and_then(|[used, all]| text::share(used, all)).map(|share| share / 100.0);
        let full = share.is_some_and(|share| share > 0.95);
        let amount = memory.map_or_else(|| "n/a".to_owned(), |[used, all]| text::bytes_of(used, all));
        let mut spans = vec![say(if is_cpu { "RAM ".into() } else { "mem ".into() }, Role::Base)];
        spans.extend(gauge::bar_spans(theme, share, 4));
        spans.push(say(format!(" {amount:>10}"), if full { Role::Warn } else { Role::Base }));
        segments.push(Segment { spans, priority: 5 });
    }
    if reported(|gauges| gauges.temperature_c.is_some()) {
        let hot = temperature_c.is_some_and(|celsius| celsius >= 85.0);
        let degree = if theme.is_ascii() { "C" } else { "°C" };
        let text = number(temperature_c, degree, 6);
        segments.push(Segment { spans: vec![say(text, if hot { Role::Warn } else { Role::Dim })], priority: 3 });
    }
    if reported(|gauges| gauges.power_w.is_some()) {
        segments.push(Segment { spans: vec![say(number(power_w, "W", 6), Role::Dim)], priority: 2 });
    }
    segments
}
