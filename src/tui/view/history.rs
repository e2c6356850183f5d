//! A chart of a value over time, with axes and units.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::symbols::Marker;
use ratatui::text::Span;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use super::line;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};

/// The smallest area in which axes leave room for a curve.
pub(super) const MIN_HEIGHT: u16 = 6;

/// The spans of the time axis in seconds. A span is kept until it is full, so that the curve moves instead of shrinking.
const SPANS: [f64; 5] = [60.0, 120.0, 300.0, 600.0, 1_800.0];

/// Values over time.
pub(super) struct Series<'a> {
    pub title: &'a str,
    pub unit: &'a str,
    /// The value of now, for the title.
    pub now: Option<f64>,
    /// Oldest first; the last one is of now. `None` is a gap.
    pub values: &'a [Option<f32>],
    /// Seconds between two values.
    pub every_s: f64,
    /// The upper end of the axis; `None` where the values decide.
    pub full: Option<f64>,
}

pub(super) fn draw(theme: &Theme, series: &Series<'_>, area: Rect, buffer: &mut Buffer) {
    if area.height < 2 || area.width < 12 {
        return;
    }
    let value = series.now.map_or_else(|| theme.unknown().to_owned(), text::number);
    let title = vec![
        Span::styled(format!("{}  ", series.title), theme.style(Role::Title)),
        Span::styled(format!("{value} {}", series.unit), theme.style(Role::Base)),
    ];
    line(buffer, area.x, area.y, area.width.into(), title, theme);
    let span = span(series);
    let highest = series.values.iter().flatten().copied().filter(|value| value.is_finite()).fold(0.0, f32::max);
    let top = series.full.filter(|full| *full > 0.0).unwrap_or_else(|| round_up(highest.into()));
    let runs = runs(series);
    let marker = if theme.is_ascii() { Marker::Dot } else { Marker::Braille };
    let curve = |points| {
        let curve = Dataset::default().data(points).marker(marker).graph_type(GraphType::Line);
        curve.style(theme.style(Role::Chart))
    };
    let label = |text: String| Span::styled(text, theme.style(Role::Dim));
    let x = [ago(span), ago(span / 2.0), "now".into()].map(label);
    let y = [0.0, top / 2.0, top].map(|value| label(text::number(value)));
    let axis = |bounds, labels: [Span<'static>; 3]| {
        Axis::default().bounds(bounds).labels(labels).style(theme.style(Role::Border))
    };
    let below = Rect { y: area.y + 1, height: area.height - 1, ..area };
    Chart::new(runs.iter().map(|run| curve(run.as_slice())).collect())
        .x_axis(axis([-span, 0.0], x))
        .y_axis(axis([0.0, top], y))
        .legend_position(None)
        .render(below, buffer);
}

/// The points without gaps between them, as seconds before now and values.
fn runs(series: &Series<'_>) -> Vec<Vec<(f64, f64)>> {
    let mut runs: Vec<Vec<(f64, f64)>> = vec![vec![]];
    for (place, value) in series.values.iter().enumerate() {
        let x = (place + 1) as f64 - series.values.len() as f64;
        match (value.filter(|value| value.is_finite()), runs.last_mut()) {
            (Some(value), Some(run)) => run.push((x * series.every_s, value.into())),
            (None, Some(run)) if !run.is_empty() => runs.push(vec![]),
            _ => {}
        }
    }
    runs
}

fn span(series: &Series<'_>) -> f64 {
    let needed = series.values.len().saturating_sub(1) as f64 * series.every_s;
    let longest = SPANS.last().copied().unwrap_or(60.0);
    SPANS.into_iter().find(|span| *span >= needed).unwrap_or(longest)
}

/// The next of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15 …, so that a curve fills at least two thirds of its chart.
fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.1 {
        return if value > 0.0 { 0.1 } else { 1.0 };
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|top| *top >= value)
        .unwrap_or(value)
}

/// `-30 s`, `-2.5 min`.
pub(super) fn ago(seconds: f64) -> String {
    match seconds {
        seconds if seconds <= 60.0 => format!("-{seconds:.0} s"),
        seconds if (seconds / 60.0).fract() == 0.0 => format!("-{:.0} min", seconds / 60.0),
        seconds => format!("-{:.1} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_values() {
        assert_eq!([1.2, 4.0, 610.0, 812.0, 1_000.0].map(round_up), [1.5, 4.0, 800.0, 1_000.0, 1_000.0]);
        assert_eq!([0.0, 0.03, f64::NAN].map(round_up), [1.0, 0.1, 1.0]);
        for value in (2..5_000).map(|value| f64::from(value) * 0.1) {
            let top = round_up(value);
            assert!((value - 1e-9..value * 1.5 + 1e-9).contains(&top), "{value} is drawn up to {top}");
        }
        assert_eq!([30.0, 60.0, 150.0, 1_800.0].map(ago), ["-30 s", "-60 s", "-2.5 min", "-30 min"]);
    }

    #[test]
    fn gaps_interrupt_the_curve_and_the_span_grows_in_steps() {
        let values = vec![Some(1.0), None, None, Some(2.0), Some(f32::NAN), Some(3.0)];
        let series = Series { title: "t", unit: "u", now: None, values: &values, every_s: 5.0, full: None };
        assert_eq!(runs(&series), [vec![(-25.0, 1.0)], vec![(-10.0, 2.0)], vec![(0.0, 3.0)]]);
        assert_eq!(span(&series), 60.0);
        let longer = vec![Some(1.0); 14];
        assert_eq!(span(&Series { values: &longer, ..series }), 120.0);
    }
}
