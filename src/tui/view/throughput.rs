//! The pane of throughput over time, with the stage that limits it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::history::{self, Series};
use super::{line, padded, pane};
use crate::protocol::snapshot::{Bound, History, Phase, Stages};
use crate::tui::app::App;
use crate::tui::gauge;
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::theme::Role;

/// From this height on the chart has axes.
const MIN_HEIGHT_FOR_AXES: u16 = 12;

/// Reads a share of the time.
type Share = fn(&Stages) -> f32;

/// The stages with their share of the time.
const STAGES: [(&str, Share); 3] =
    [("decode", |stages| stages.decode), ("model", |stages| stages.model), ("write", |stages| stages.write)];

fn percent(share: f32) -> String {
    text::percent(Some(f64::from(share) * 100.0))
}

/// A bar for each stage, and what the bottleneck means. Returns the lines used.
fn bars(app: &App, stages: Stages, area: Rect, buffer: &mut Buffer) -> u16 {
    let theme = &app.options.theme;
    let room = usize::from(area.width);
    let bar = room.saturating_sub(16).min(60);
    for (y, (name, share)) in (area.y..).zip(STAGES) {
        let share = share(&stages);
        let mut spans = vec![Span::styled(format!("{name:<8}"), theme.style(Role::Base))];
        spans.extend(gauge::bar_spans(theme, Some(share.into()), bar));
        spans.push(Span::styled(format!(" {:>6}", percent(share)), theme.style(Role::Base)));
        line(buffer, area.x, y, room, spans, theme);
    }
    let meaning = match stages.bound {
        Bound::Decode => "Decoding limits the run: the devices wait for frames.",
        Bound::Model => "The model limits the run: decoded frames wait for a device.",
        Bound::Disk => "Writing limits the run: finished features wait for the disk.",
    };
    let y = area.y + STAGES.len() as u16;
    line(buffer, area.x, y, room, vec![Span::styled(meaning, theme.style(Role::Dim))], theme);
    STAGES.len() as u16 + 1
}

/// The seconds over which the engine averages the rate of now.
const AVERAGE_S: f32 = 60.0;

/// The rates of the past, averaged as the rate of now is.
fn smoothed(history: &History) -> Vec<Option<f32>> {
    let values = &history.clips_per_s;
    let span = (AVERAGE_S / history.every_s.max(1.0)).round().max(1.0) as usize;
    let average = |(place, value): (usize, &Option<f32>)| {
        let known = values.get((place + 1).saturating_sub(span)..=place).unwrap_or_default().iter().flatten();
        let (count, sum) = known.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
        value.map(|_| sum / count)
    };
    values.iter().enumerate().map(average).collect()
}

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let snapshot = app.snapshot();
    let stages = snapshot.and_then(|snapshot| snapshot.stages);
    let bound = stages.map(|stages| match stages.bound {
        Bound::Decode => "decode-bound",
        Bound::Model => "model-bound",
        Bound::Disk => "disk-bound",
    });
    let title = vec![Span::styled("Throughput ", theme.style(Role::Title))];
    let right = bound.map(|bound| Span::styled(format!(" {bound} "), theme.style(Role::Warn))).into_iter().collect();
    let inner = padded(pane(app, Pane::Throughput, title, right, area, buffer));
    let room = usize::from(inner.width);
    if inner.height == 0 {
        return;
    }
    let run = app.run().filter(|(run, _)| !app.is_stale() && run.phase == Phase::Running);
    let is_active = app.is_active() || app.is_stale() || app.active_others() > 0;
    let rate = run.as_ref().and_then(|(run, _)| run.clips_per_s);
    let videos = run.as_ref().and_then(|(run, _)| run.videos_per_s);
    // The engine's windows, `CLIPS` and `VIDEOS` in `engine/rate.rs`.
    let of_last = |words: &str| if room >= 58 { format!(" (last {words})") } else { String::new() };
    let mut first = match is_active {
        true => format!("{}{}", text::rate(rate, "clips"), of_last("minute")),
        false => "no run is active".into(),
    };
    if let Some(videos) = videos {
        first = format!("{first}{}{}{}", theme.separator(), text::rate(Some(videos), "videos"), of_last("5 min"));
    }
    let mut first = vec![Span::styled(first, theme.style(Role::Base))];
    if let Some((_, Some(joint))) = &run {
        // The rest of the pane is about the window's own engine.
        let own = text::rate(snapshot.and_then(|snapshot| snapshot.clips_per_s), "clips");
        let engines = text::plural(joint.engines as u64, "engine", "engines");
        let dot = theme.separator();
        first.push(Span::styled(format!("{dot}{engines}{dot}here {own}"), theme.style(Role::Dim)));
    }
    line(buffer, inner.x, inner.y, room, first, theme);
    let is_large = inner.height >= MIN_HEIGHT_FOR_AXES;
    let mut used = 1;
    if let Some(stages) = stages.filter(|_| is_large) {
        used += bars(app, stages, Rect { y: inner.y + 1, height: inner.height - 1, ..inner }, buffer);
    } else if let Some(stages) = stages.filter(|_| inner.height >= 3) {
        let dot = theme.separator();
        let shares = STAGES.map(|(name, share)| format!("{name} {}", percent(share(&stages))));
        line(buffer, inner.x, inner.y + 1, room, vec![Span::styled(shares.join(dot), theme.style(Role::Dim))], theme);
        used += 1;
    }
    let values = smoothed(&app.history);
    if is_large {
        let area = Rect { y: inner.y + used + 1, height: inner.height.saturating_sub(used + 1), ..inner };
        let every_s = app.history.every_s.into();
        let series = Series { title: "Speed", unit: "clips/s", now: rate, values: &values, every_s, full: None };
        return history::draw(theme, &series, area, buffer);
    }
    let axis = u16::from(inner.height >= used + 3 && !values.is_empty());
    let height = inner.height.saturating_sub(used + axis);
    let shown = values.get(values.len().saturating_sub(room)..).unwrap_or_default();
    for (row, text) in gauge::chart(shown, room, height.into(), 0.0, theme.is_ascii()).into_iter().enumerate() {
        buffer.set_string(inner.x, inner.y + used + row as u16, text, theme.style(Role::Chart));
    }
    if axis > 0 {
        let seconds = (shown.len() as f64 * f64::from(app.history.every_s)).max(10.0);
        let from = history::ago(seconds);
        let y = inner.bottom() - 1;
        line(buffer, inner.x, y, room, vec![Span::styled(from, theme.style(Role::Dim))], theme);
        let now = "now";
        if room > 24 {
            buffer.set_string(inner.right() - now.len() as u16, y, now, theme.style(Role::Dim));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_averaged_over_a_minute() {
        let mut values = vec![None; 2];
        values.extend((0..12).map(|i| Some(if i % 2 == 0 { 1.0 } else { 3.0 })));
        let smooth = smoothed(&History { every_s: 10.0, clips_per_s: values });
        assert_eq!(smooth[..4], [None, None, Some(1.0), Some(2.0)]);
        assert!(smooth[8..].iter().all(|value| *value == Some(2.0)), "{smooth:?}");
    }
}
