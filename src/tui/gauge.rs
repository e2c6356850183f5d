//! Bars, sparklines and charts made of characters.

use ratatui::text::Span;

use super::theme::{Role, Theme};

/// A cell filled from the left, in eighths.
const FROM_LEFT: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// A cell filled from the bottom, in eighths.
const FROM_BELOW: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The ASCII equivalent of [`FROM_BELOW`].
const ASCII_BELOW: [char; 9] = [' ', '.', '.', ':', ':', '+', '+', '#', '#'];

/// Shades for a heat map, the darkest first.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

const ASCII_SHADES: [char; 8] = [' ', '.', ':', '-', '=', '+', '#', '@'];

/// The filled and the empty part of a bar, together `room` columns. A positive fraction shows at least one step, and a
/// fraction below 1 leaves at least one free.
pub(super) fn bar(fraction: f64, room: usize, ascii: bool) -> (String, String) {
    let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
    let steps = room * if ascii { 1 } else { 8 };
    let mut filled = (fraction * steps as f64).round() as usize;
    if fraction > 0.0 && filled == 0 && room > 0 {
        filled = 1;
    }
    if fraction < 1.0 && filled == steps {
        filled = steps - usize::from(steps > 1);
    }
    if ascii {
        return ("#".repeat(filled.min(room)), ".".repeat(room.saturating_sub(filled)));
    }
    let mut full = "█".repeat(filled / 8);
    if let Some(part) = FROM_LEFT.get(filled % 8).filter(|_| !filled.is_multiple_of(8)) {
        full.push(*part);
    }
    let rest = room.saturating_sub(filled.div_ceil(8));
    (full, "░".repeat(rest))
}

/// A bar in the theme's colours. `None` draws it empty.
pub(super) fn bar_spans(theme: &Theme, fraction: Option<f64>, room: usize) -> [Span<'static>; 2] {
    let (full, rest) = bar(fraction.unwrap_or(0.0), room, theme.is_ascii());
    [Span::styled(full, theme.style(Role::Gauge)), Span::styled(rest, theme.style(Role::GaugeRest))]
}

/// The last `room` values as one line of blocks, the newest at the right. A full cell is the largest value, or `most`
/// if that is larger. `None` is a gap.
pub(super) fn sparkline(values: &[Option<f32>], room: usize, most: f32, ascii: bool) -> String {
    chart(values, room, 1, most, ascii).pop().unwrap_or_default()
}

/// The last `room` values as columns of blocks, as `height` lines from top to bottom. Scaled as in [`sparkline`].
pub(super) fn chart(values: &[Option<f32>], room: usize, height: usize, most: f32, ascii: bool) -> Vec<String> {
    let shown = values.get(values.len().saturating_sub(room)..).unwrap_or_default();
    let top = shown.iter().flatten().copied().filter(|value| value.is_finite()).fold(most.max(0.0), f32::max);
    let blocks = if ascii { ASCII_BELOW } else { FROM_BELOW };
    let gap = room - shown.len();
    let line = |above: usize| {
        let base = (height - 1 - above) * 8;
        let mut line = " ".repeat(gap);
        line.extend(shown.iter().map(|value| {
            let filled = value.map_or(0, |value| eighths(value, top, height * 8));
            blocks.get(filled.saturating_sub(base).min(8)).copied().unwrap_or(' ')
        }));
        line
    };
    (0..height).map(line).collect()
}

/// How many of `steps` a value fills. Positive values fill at least one.
fn eighths(value: f32, top: f32, steps: usize) -> usize {
    if !value.is_finite() || value <= 0.0 || top <= 0.0 {
        return 0;
    }
    ((value / top * steps as f32).round() as usize).clamp(1, steps)
}

/// The range of `count` items that falls on `column` when they are stretched or squeezed to `room` columns. It has at
/// least one item unless `count` is 0.
pub(super) fn bucket(count: usize, room: usize, column: usize) -> (usize, usize) {
    if count == 0 || room == 0 {
        return (0, 0);
    }
    let from = column * count / room;
    let to = ((column + 1) * count / room).max(from + 1);
    (from.min(count - 1), to.min(count))
}

/// A character for a value of 0 to 255, used where colours cannot show it.
pub(super) fn shade(value: u8, ascii: bool) -> char {
    let shades: &[char] = if ascii { &ASCII_SHADES } else { &SHADES };
    shades.get(usize::from(value) * shades.len() / 256).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::text;
    use super::*;

    fn whole(fraction: f64, room: usize, ascii: bool) -> String {
        let (full, rest) = bar(fraction, room, ascii);
        full + &rest
    }

    #[test]
    fn bars_distinguish_empty_from_little_and_full_from_nearly_full() {
        assert_eq!(whole(0.0, 4, false), "░░░░");
        assert_eq!(whole(0.001, 4, false), "▏░░░");
        assert_eq!(whole(0.5, 4, false), "██░░");
        assert_eq!(whole(0.64, 8, false), "█████▏░░");
        assert_eq!(whole(0.9999, 4, false), "███▉");
        assert_eq!(whole(1.0, 4, false), "████");
        assert_eq!(whole(f64::NAN, 2, false), "░░");
        assert_eq!(whole(0.001, 4, true), "#...");
        assert_eq!(whole(0.9999, 4, true), "###.");
        assert_eq!(whole(1.0, 4, true), "####");
    }

    #[test]
    fn sparklines_show_the_newest_at_the_right() {
        let values = [Some(0.0), Some(1.0), None, Some(4.0), Some(8.0)];
        assert_eq!(sparkline(&values, 7, 0.0, false), "   ▁ ▄█");
        assert_eq!(sparkline(&values, 2, 0.0, false), "▄█");
        assert_eq!(sparkline(&values, 5, 16.0, false), " ▁ ▂▄");
        assert_eq!(sparkline(&values, 5, 0.0, true), " . :#");
        assert_eq!(sparkline(&[], 3, 0.0, false), "   ");
        assert_eq!(sparkline(&[Some(0.0); 3], 3, 0.0, false), "   ");
    }

    #[test]
    fn charts_have_several_lines() {
        assert_eq!(chart(&[Some(1.0), Some(8.0), Some(16.0)], 4, 2, 0.0, false), ["   █", " ▁██"].map(String::from));
    }

    proptest! {
        #[test]
        fn bars_and_charts_have_the_requested_size(
            values in proptest::collection::vec(proptest::option::of(any::<f32>()), 0..60),
            fraction: f64, most: f32, room in 0..50_usize, height in 0..6_usize, ascii: bool,
        ) {
            prop_assert_eq!(text::width(&whole(fraction, room, ascii)), room);
            let lines = chart(&values, room, height, most, ascii);
            prop_assert_eq!(lines.len(), height);
            prop_assert!(lines.iter().all(|line| text::width(line) == room && (!ascii || line.is_ascii())));
            let mut next = 0;
            for column in 0..room {
                let (from, to) = bucket(values.len(), room, column);
                prop_assert!(values.is_empty() || (from < to && to <= values.len() && from <= next));
                next = to;
            }
            prop_assert!(room == 0 || next == values.len());
        }
    }
}
