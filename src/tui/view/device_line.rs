//! The line of a device: current video, progress, rate, load, memory and temperature.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::line;
use crate::protocol::snapshot::{DeviceState, Gauges, InFlight};
use crate::tui::app::App;
use crate::tui::device_history::DeviceHistory;
use crate::tui::gauge;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};

/// A part of a line that is dropped when there is too little room.
pub(super) struct Segment {
    pub(super) spans: Vec<Span<'static>>,
    /// The lowest is dropped first.
    pub(super) priority: u8,
}

/// Draws the line of a device. `devices`: those of the same engine, so that the columns align.
pub(super) fn device_line(
    app: &App,
    devices: &[DeviceState],
    history: Option<&DeviceHistory>,
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
        // A CPU's is `CPU`.
        if !model.is_empty() && !model.eq_ignore_ascii_case(&device.device) {
            segments.push(Segment {
                spans: vec![Span::styled(text::align_left(&model, 8, theme.ellipsis()), theme.style(Role::Dim))],
                priority: 1,
            });
        }
        segments.extend(activity(app, devices, history, device));
    } else {
        segments.push(status(theme, device, room));
    }
    // The name takes the rest of the line, but at least this much.
    let min_name_width = if working { 16 } else { 0 };
    fit(&mut segments, room.saturating_sub(min_name_width));
    if working {
        let spare = room.saturating_sub(width(&segments));
        let (text, role) = name(theme, device, spare.min(40));
        let spans = vec![Span::styled(text::align_left(&text, spare.min(40), theme.ellipsis()), theme.style(role))];
        let place = segments.iter().position(|segment| segment.priority == 8).unwrap_or(segments.len());
        segments.insert(place, Segment { spans, priority: 9 });
    }
    draw_segments(app, segments, highlighted, area, buffer);
}

/// The columns that segments take, each with the space after it.
fn width(segments: &[Segment]) -> usize {
    let width = |segment: &Segment| 2 + segment.spans.iter().map(|span| text::width(&span.content)).sum::<usize>();
    segments.iter().map(width).sum()
}

/// Drops segments until they fit.
pub(super) fn fit(segments: &mut Vec<Segment>, room: usize) {
    while width(segments) > room + 2 && segments.len() > 2 {
        let lowest = segments.iter().enumerate().min_by_key(|(_, segment)| segment.priority);
        let Some(place) = lowest.map(|(place, _)| place) else { break };
        segments.remove(place);
    }
}

/// Draws segments, with two columns between them.
pub(super) fn draw_segments(app: &App, segments: Vec<Segment>, highlighted: bool, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
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
    line(buffer, area.x, area.y, area.width.into(), spans, theme);
}

/// `H200` from `NVIDIA H200 NVL`.
fn model(detail: &str) -> String {
    let detail = text::sanitized(detail);
    let short = detail.strip_prefix("NVIDIA ").unwrap_or(&detail);
    let short = short.strip_prefix("GeForce ").or_else(|| short.strip_prefix("Tesla ")).unwrap_or(short);
    short.split(',').next().unwrap_or_default().trim().to_owned()
}

/// The video that a device works on, and how many others it has. `room`: in columns.
fn name(theme: &Theme, device: &DeviceState, room: usize) -> (String, Role) {
    let Some(job) = device.in_flight.first() else { return ("idle".into(), Role::Dim) };
    let file = job.video.split_once('/').map_or(job.video.as_str(), |(_, file)| file);
    let file = text::sanitized(file);
    let others = device.in_flight.get(1..).unwrap_or_default();
    let next = if others.iter().all(InFlight::is_next) { " next" } else { "" };
    let more = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
    let long = format!("{file}{more}{}", if more.is_empty() { "" } else { next });
    // The end of a name tells videos of a class apart.
    let stem = file.rsplit_once('.').map_or(&*file, |(stem, _)| stem);
    let short = text::truncate_start(stem, room.saturating_sub(text::width(&more)), theme.ellipsis());
    (if text::width(&long) <= room { long } else { format!("{short}{more}") }, Role::Base)
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
fn activity(app: &App, devices: &[DeviceState], history: Option<&DeviceHistory>, device: &DeviceState) -> Vec<Segment> {
    let theme = &app.options.theme;
    let say = |text: String, role| Span::styled(text, theme.style(role));
    let reported = |what: fn(&Gauges) -> bool| devices.iter().any(|device| what(&device.gauges));
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
    let is_cpu = device.device.starts_with("cpu");
    if !is_cpu || reported(|gauges| gauges.busy_percent.is_some()) {
        let busy = text::percent(busy_percent.map(f64::from));
        segments.push(Segment { spans: vec![say(format!("util {busy:>5}"), Role::Base)], priority: 4 });
    }
    if reported(|gauges| gauges.decoder_percent.is_some()) {
        let busy = text::percent(decoder_percent.map(f64::from));
        segments.push(Segment { spans: vec![say(format!("dec {busy:>5}"), Role::Dim)], priority: 0 });
    }
    let values = history.map(DeviceHistory::activity).unwrap_or_default();
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
