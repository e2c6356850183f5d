//! What is known about the file, its manifest entry and its feature.

use jiff::tz::TimeZone;
use ratatui::style::Style;
use reeldeck_common::error::without_advice;

use super::format_time;
use super::page::Page;
use crate::protocol::details::{Details, FeatureDetails, ListedVideo};
use crate::protocol::row::{Finding, RowState};
use crate::tui::text;
use crate::tui::theme::Role;

pub(super) fn write(page: &mut Page, details: &Details, zone: &TimeZone) {
    // The title shows the state; a line of its own is needed only for a reason.
    if let Some(reason) = &details.row.reason {
        let state = page.theme.state(details.row.state);
        // The reason may be that of a finding.
        let finding =
            details.row.findings.worst().filter(|finding| finding.is_problem() || *finding == Finding::Degraded);
        let finding = finding.map(|finding| page.theme.finding(finding));
        let finding = finding.map(|finding| format!(", {} {}", finding.glyph, finding.word)).unwrap_or_default();
        // The next step says what helps.
        let reason = if details.next_step.is_some() { without_advice(reason) } else { reason };
        page.text_styled("state", &format!("{} {}{finding}: {reason}", state.glyph, state.word), state.style);
    }
    if let Some(next) = &details.next_step {
        page.text("next step", next, Role::Title);
    }
    if !page.lines.is_empty() {
        page.gap();
    }
    file(page, details, zone);
    if let Some(listed) = &details.listed {
        manifest(page, listed, details);
    }
    match (&details.feature, &details.feature_error) {
        (Some(feature), _) => written(page, feature, zone),
        (None, Some(error)) => page.text("feature", error, Role::Error),
        // Other files and missing ones never get one.
        (None, None) if !details.row.state.is_video() || details.row.state == RowState::Missing => {}
        (None, None) => page.text("feature", "none yet", Role::Dim),
    }
}

fn file(page: &mut Page, details: &Details, zone: &TimeZone) {
    let plain = page.theme.style(Role::Base);
    match &details.path {
        Some(path) => page.text("file", &path.to_string_lossy(), Role::Base),
        None => page.text("file", &format!("not on disk: {}", details.row.video), Role::Dim),
    }
    let mut pieces: Vec<String> = vec![];
    // The size of other files is not known.
    if details.path.is_some() && details.row.state.is_video() {
        pieces.push(text::bytes(details.row.size));
    }
    if let Some(facts) = &details.row.facts {
        pieces.push(facts.codec.clone());
        pieces.push(format!("{}×{}", facts.size[0], facts.size[1]));
        pieces.extend(details.fps.map(|fps| format!("{} fps", fps_text(fps))));
        pieces.push(text::plural(u64::from(facts.frames), "frame", "frames"));
        pieces.push(text::clock(f64::from(facts.duration_s)));
    }
    pieces.extend(details.container.as_deref().map(|names| container(names, &details.row.video).to_owned()));
    pieces.extend(details.modified.map(|time| format!("modified {}", format_time(time, zone))));
    page.pieces("", pieces.into_iter().map(|piece| (piece, plain)));
}

/// FFmpeg names all formats of a family, such as `mov,mp4,m4a`: the one of the file's extension, or else the first one.
fn container<'n>(names: &'n str, video: &str) -> &'n str {
    let extension = video.rsplit_once('.').map_or("", |(_, extension)| extension);
    let named = |wanted: &str| names.split(',').find(|name| name.eq_ignore_ascii_case(wanted));
    named(extension).or_else(|| names.split(',').next()).unwrap_or(names)
}

/// `29.97`, `30`.
fn fps_text(fps: f64) -> String {
    let text = format!("{fps:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn manifest(page: &mut Page, listed: &ListedVideo, details: &Details) {
    let plain = page.theme.style(Role::Base);
    let mut pieces: Vec<(String, Style)> = vec![(listed.id.clone(), plain)];
    pieces.extend(listed.subset.clone().map(|subset| (subset, plain)));
    if let Some(duration) = listed.duration_s {
        let differs =
            details.row.facts.as_ref().is_some_and(|facts| (f64::from(facts.duration_s) - duration).abs() >= 1.0);
        let style = if differs { page.theme.style(Role::Warn) } else { plain };
        pieces.push((text::clock(duration), style));
    }
    if !listed.segments.is_empty() {
        pieces.push((text::plural(listed.segments.len() as u64, "segment", "segments"), plain));
    }
    pieces.extend(listed.url.clone().map(|url| (url, plain)));
    page.pieces("manifest", pieces);
}

fn written(page: &mut Page, feature: &FeatureDetails, zone: &TimeZone) {
    let plain = page.theme.style(Role::Base);
    page.text("feature", &feature.path.to_string_lossy(), Role::Base);
    if feature.synthetic_weights {
        page.text("", "seeded (random) weights: the features are meaningless", Role::Warn);
    }
    let tensors = feature.tensors.iter().map(|(name, shape)| {
        let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
        format!("{} {name}", shape.join("×"))
    });
    let mut pieces: Vec<String> = tensors.collect();
    pieces.push(feature.set.clone());
    pieces.push(format!("checkpoint {}", feature.checkpoint));
    pieces.push(feature.precision.clone());
    pieces.push(format!("on {}", feature.device));
    pieces.extend(feature.written.map(|time| format!("written {}", format_time(time, zone))));
    page.pieces("", pieces.into_iter().map(|piece| (piece, plain)));
    let [expected, output, concealed] = feature.frames;
    let lost = expected.saturating_sub(output);
    let warn = page.theme.style(Role::Warn);
    let tinted = |count: u64| if count > 0 { warn } else { plain };
    page.pieces(
        "",
        [
            (format!("{} of {} frames", text::count(output), text::count(expected)), plain),
            (format!("{} lost", text::count(lost)), tinted(lost)),
            (format!("{} concealed", text::count(concealed)), tinted(concealed)),
        ],
    );
}
