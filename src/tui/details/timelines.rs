//! Timelines of a video: annotated segments, the top class of each clip or its similarity to the first one, and a heat map of
//! the feature.

use ratatui::style::Style;
use ratatui::text::Span;

use super::page::Page;
use crate::protocol::details::{Details, FeatureDetails, Segment};
use crate::tui::gauge;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};

/// Wider timelines show nothing more.
const MAX_WIDTH: usize = 200;

pub(super) fn write(page: &mut Page, details: &Details) {
    let width = page.room().min(MAX_WIDTH);
    let segments = details.listed.as_ref().map(|listed| listed.segments.as_slice()).unwrap_or_default();
    let feature = details.feature.as_ref().filter(|feature| !feature.top1.is_empty() || !feature.heat.is_empty());
    if width < 8 || (segments.is_empty() && feature.is_none()) {
        return;
    }
    let duration = duration(details, segments);
    page.gap();
    if let Some(duration) = duration.filter(|_| !segments.is_empty()) {
        labels(page, segments, duration, width);
        if details.row.facts.is_some() && segments.iter().any(|segment| segment.end_s > duration + 1.0) {
            page.text("", "segments extend beyond the end of the file", Role::Warn);
        }
    }
    if let Some(feature) = feature.filter(|feature| !feature.top1.is_empty()) {
        top1(page, feature, width);
    }
    if let Some(feature) = feature.filter(|feature| !feature.similarity.is_empty()) {
        similarity(page, feature, width);
    }
    if let Some(duration) = duration {
        axis(page, duration, width);
    }
    if let Some(feature) = feature {
        heat(page, feature, width);
        if let Some(duration) = duration.filter(|_| !feature.heat.is_empty()) {
            axis(page, duration, width);
        }
    }
}

/// The file's duration if it is known, because the features are of the file; else the manifest's.
fn duration(details: &Details, segments: &[Segment]) -> Option<f64> {
    let of_file = details.row.facts.as_ref().map(|facts| f64::from(facts.duration_s));
    let listed = details.listed.as_ref().and_then(|listed| listed.duration_s);
    let last = segments.iter().map(|segment| segment.end_s).fold(0.0, f64::max);
    of_file.or(listed).or(Some(last)).filter(|seconds| seconds.is_finite() && *seconds > 0.0)
}

/// Merges characters of the same style into spans.
fn spans(cells: impl Iterator<Item = (char, Style)>) -> Vec<Span<'static>> {
    let mut spans: Vec<Span<'static>> = vec![];
    for (c, style) in cells {
        match spans.last_mut() {
            Some(last) if last.style == style => last.content.to_mut().push(c),
            _ => spans.push(Span::styled(c.to_string(), style)),
        }
    }
    spans
}

fn labels(page: &mut Page, segments: &[Segment], duration: f64, width: usize) {
    let theme = page.theme;
    let mut names: Vec<&str> = vec![];
    for segment in segments {
        if !names.contains(&segment.label.as_str()) {
            names.push(&segment.label);
        }
    }
    let (inside, outside) = if theme.is_ascii() { ('#', '.') } else { ('▓', '░') };
    let mark = |index: usize| if names.len() == 1 { inside } else { letter(index, 'A') };
    let rest = theme.style(Role::GaugeRest);
    let cells = (0..width).map(|column| {
        let covering = covering(segments, duration, width, column);
        match covering.and_then(|segment| names.iter().position(|name| *name == segment.label)) {
            Some(index) => (mark(index), theme.series(index)),
            None => (outside, rest),
        }
    });
    page.line("segments", spans(cells));
    let legend = names.iter().enumerate().map(|(index, name)| {
        let of_it = segments.iter().filter(|segment| segment.label == **name);
        let (count, seconds) =
            of_it.fold((0, 0.0), |(n, s), segment| (n + 1, s + (segment.end_s - segment.start_s).max(0.0)));
        let count = text::plural(count, "segment", "segments");
        (format!("{} {name}, {count}, {}", mark(index), text::clock(seconds)), theme.series(index))
    });
    page.pieces("", legend.collect::<Vec<_>>());
}

/// The segment that a column shows: one that covers at least half of it, or a short one whose middle lies in it.
fn covering(segments: &[Segment], duration: f64, width: usize, column: usize) -> Option<&Segment> {
    let step = duration / width as f64;
    let (from, to) = (column as f64 * step, (column + 1) as f64 * step);
    let overlap = |segment: &Segment| segment.end_s.min(to) - segment.start_s.max(from);
    let shown = |segment: &&Segment| {
        let middle = (segment.start_s + segment.end_s) / 2.0;
        overlap(segment) >= step / 2.0 || (segment.end_s - segment.start_s < step && (from..to).contains(&middle))
    };
    segments.iter().filter(shown).max_by(|a, b| overlap(a).total_cmp(&overlap(b)))
}

fn letter(index: usize, first: char) -> char {
    u8::try_from(index).ok().filter(|index| *index < 26).map_or('?', |index| char::from(first as u8 + index))
}

fn top1(page: &mut Page, feature: &FeatureDetails, width: usize) {
    let theme = page.theme;
    let known = feature.classes.len();
    let other = if theme.is_ascii() { '.' } else { '·' };
    let show = |class: usize| match class < known {
        true => (letter(class, 'a'), theme.series(class)),
        false => (other, theme.style(Role::Dim)),
    };
    let cells = (0..width).map(|column| {
        let (from, to) = gauge::bucket(feature.top1.len(), width, column);
        show(most_frequent(feature.top1.get(from..to).unwrap_or_default(), known))
    });
    page.line("top 1", spans(cells));
    let named: u64 = feature.classes.iter().map(|(_, clips)| u64::from(*clips)).sum();
    let mut legend: Vec<(String, Style)> = feature
        .classes
        .iter()
        .enumerate()
        .map(|(index, (name, clips))| {
            let (mark, style) = show(index);
            (format!("{mark} {name}: {}", text::count(u64::from(*clips))), style)
        })
        .collect();
    let others = (feature.top1.len() as u64).saturating_sub(named);
    if others > 0 {
        legend.push((format!("{other} others: {}", text::count(others)), theme.style(Role::Dim)));
    }
    if let Some((first, _)) = legend.first_mut() {
        first.push_str(" clips");
    }
    page.pieces("", legend);
}

/// How alike each clip is to the first one, from the least to the greatest value in the video.
fn similarity(page: &mut Page, feature: &FeatureDetails, width: usize) {
    let theme = page.theme;
    let values = &feature.similarity;
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let cells = (0..width).map(|column| {
        let (from, to) = gauge::bucket(values.len(), width, column);
        let part = values.get(from..to).unwrap_or_default();
        let mean = part.iter().sum::<f32>() / part.len().max(1) as f32;
        let share = if most > least { (mean - least) / (most - least) } else { 1.0 };
        cell(&theme, [Some((share * 255.0).round() as u8), None])
    });
    page.line("alike", spans(cells));
    page.text_styled(
        "",
        &format!("cosine similarity to the first clip, {least:.2} to {most:.2}"),
        theme.style(Role::Dim),
    );
}

/// On a tie the class that comes first, which is the more frequent one in the whole video.
fn most_frequent(clips: &[u8], known: usize) -> usize {
    let count = |class: usize| clips.iter().filter(|clip| usize::from(**clip).min(known) == class).count();
    let classes = clips.iter().map(|clip| usize::from(*clip).min(known));
    classes.min_by_key(|class| (usize::MAX - count(*class), *class)).unwrap_or(known)
}

/// The number of parts of the time axis. In a short video no two marks show the same second.
fn marks(duration: f64, width: usize) -> u32 {
    let fits = |marks: &u32| duration >= f64::from(*marks) && (width >= 48 || *marks < 4);
    [4, 2].into_iter().find(fits).unwrap_or(1)
}

fn axis(page: &mut Page, duration: f64, width: usize) {
    let mut line = String::new();
    let marks = marks(duration, width);
    for mark in 0..=marks {
        let words = text::clock(duration * f64::from(mark) / f64::from(marks));
        let at = width * mark as usize / marks as usize;
        // The last mark is right-aligned.
        let at = if mark == marks { width.saturating_sub(words.len()) } else { at };
        if at < line.len() + usize::from(mark > 0) {
            continue;
        }
        line.extend(std::iter::repeat_n(' ', at - line.len()));
        line.push_str(&words);
    }
    page.text_styled("", &line, page.theme.style(Role::Dim));
}

fn heat(page: &mut Page, feature: &FeatureDetails, width: usize) {
    if feature.heat.is_empty() {
        return;
    }
    let theme = page.theme;
    page.gap();
    // The heat map is of the logits, or of the only other tensor.
    let of_logits = |(name, _): &&(String, Vec<usize>)| name == "logits";
    let tensor = feature.tensors.iter().find(of_logits).or(feature.tensors.first());
    let columns = tensor.and_then(|(_, shape)| shape.last().copied());
    let of = if tensor.is_some_and(|(name, _)| name == "logits") { "class" } else { "channel" };
    let [first, last] = [Some(1), columns].map(|at| at.map_or_else(String::new, |at| format!("{of} {at}")));
    let value = |row: &[u8], column: usize| {
        let (from, to) = gauge::bucket(row.len(), width, column);
        let part = row.get(from..to).unwrap_or_default();
        let sum: usize = part.iter().map(|value| usize::from(*value)).sum();
        (sum / part.len().max(1)) as u8
    };
    // The legend comes first, because the end of the map may be below the screen.
    let mut legend = vec![Span::styled("heat map: low ", theme.style(Role::Dim))];
    legend.extend(spans((0..8).map(|step| cell(&theme, [Some(step * 36), Some(step * 36)]))));
    let words = format!(" high {}; rows: {of}, columns: time", tensor.map_or("feature", |(name, _)| name));
    let room = page.room().saturating_sub(22);
    legend.push(Span::styled(text::truncate(&words, room, theme.ellipsis()).into_owned(), theme.style(Role::Dim)));
    page.line("", legend);
    // With colours, one line shows two rows.
    let step = if theme.heat(0).is_some() { 2 } else { 1 };
    for (at, rows) in feature.heat.chunks(step).enumerate() {
        let [upper, lower] = [0, 1].map(|at| rows.get(at).map(Vec::as_slice));
        let cells = (0..width).map(|column| cell(&theme, [upper, lower].map(|row| row.map(|row| value(row, column)))));
        let label = match at {
            0 => &first,
            at if (at + 1) * step >= feature.heat.len() => &last,
            _ => "",
        };
        page.line(label, spans(cells));
    }
}

/// Two values above each other, or the upper one alone.
fn cell(theme: &Theme, [upper, lower]: [Option<u8>; 2]) -> (char, Style) {
    let colour = |value: Option<u8>| value.and_then(|value| theme.heat(value));
    match (colour(upper), colour(lower)) {
        (Some(top), Some(bottom)) => ('▀', Style::new().fg(top).bg(bottom)),
        (Some(top), None) => ('▀', Style::new().fg(top)),
        _ => (gauge::shade(upper.unwrap_or(0), theme.is_ascii()), theme.style(Role::Chart)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_axis_shows_no_second_twice() {
        for (duration, width, expected) in [(120.0, 80, 4), (120.0, 40, 2), (2.0, 80, 2), (4.0, 80, 4), (0.5, 80, 1)] {
            assert_eq!(marks(duration, width), expected, "{duration} s in {width} columns");
            let words = |mark| text::clock(duration * f64::from(mark) / f64::from(expected));
            assert!((1..=expected).all(|mark| duration < 1.0 || words(mark) != words(mark - 1)), "{duration}");
        }
    }
}
