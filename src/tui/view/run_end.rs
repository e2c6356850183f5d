//! The card at the end of a run: what was done, what failed and why, where the results are, and the next step.

use std::cell::Cell;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Styled, text_popup};
use crate::dataset::shown;
use crate::protocol::summary::{Ending, FailureGroup, RunSummary};
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

/// Columns for labels.
const LABEL: usize = 10;

/// A longer reason is in the details of the video.
const MAX_REASON: usize = 120;

pub(super) fn draw(app: &App, run: &RunSummary, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let width = area.width.saturating_sub(4).min(90);
    let room = usize::from(width).saturating_sub(LABEL + 4);
    let (title, role) = match run.ending {
        Ending::Finished => ("Run finished", Role::Good),
        Ending::Stopped => ("Run stopped", Role::Warn),
        Ending::Failed => ("Run failed", Role::Error),
    };
    let mut lines: Vec<Vec<Styled>> = vec![];
    let mut put = |label: &str, words: &str, role: Role| {
        for (at, part) in text::wrap(&text::sanitized(words), room).into_iter().enumerate() {
            let label = text::align_left(if at == 0 { label } else { "" }, LABEL, "");
            lines.push(vec![(format!(" {label}"), theme.style(Role::Dim)), (part, theme.style(role))]);
        }
    };
    if let Some(reason) = &run.reason {
        put("why", reason, Role::Error);
    }
    put("done", &done(app, run), role);
    put("failed", &failed(run), if run.counts.failed > 0 { Role::Error } else { Role::Base });
    for group in &run.failures {
        put("", &failures(app, group), Role::Base);
    }
    if run.counts.unfinished() > 0 {
        put("queued", &text::count(run.counts.unfinished() as u64), Role::Warn);
    }
    if run.refused > 0 {
        put("refused", &text::plural(run.refused as u64, "file", "files"), Role::Warn);
    }
    put("took", &pace(app, run), Role::Base);
    put("features", &shown(&run.features).to_string(), Role::Base);
    if app.snapshot().is_some_and(|snapshot| snapshot.exporting) {
        put("export", "in progress", Role::Active);
    } else if run.exports.is_empty() {
        let key = app.keymap.key_text(Action::Export);
        put("export", &format!("none in this run; {key} exports the features"), Role::Dim);
    }
    for export in &run.exports {
        let videos = text::plural(export.videos as u64, "video", "videos");
        let excluded = (export.videos as u64).saturating_sub(run.counts.done as u64).min(run.counts.excluded as u64);
        let (lacks, role) = match (run.counts.done as u64).saturating_sub(export.videos as u64) {
            0 if excluded > 0 => (format!(", {} of them excluded", text::count(excluded)), Role::Base),
            0 => (String::new(), Role::Base),
            1 => ("; lacks 1 that is done".into(), Role::Warn),
            more => (format!("; lacks {} that are done", text::count(more)), Role::Warn),
        };
        put("export", &format!("{} ({videos}{lacks})", shown(&export.path)), role);
    }
    put("next", &next_step(app, run), Role::Title);
    text_popup(app, title, &lines, &Cell::default(), width, area, buffer);
}

fn done(app: &App, run: &RunSummary) -> String {
    let mut words = text::count(run.done() as u64);
    if run.counts.resumed > 0 {
        words = format!("{words} in this run, {} in all", text::count(run.counts.done as u64));
    }
    if run.counts.degraded > 0 {
        let degraded = text::count(run.counts.degraded as u64);
        words.push_str(&format!("{}{degraded} degraded", app.options.theme.separator()));
    }
    words
}

/// The failures of this run, and all of them where earlier runs have left some: the reasons below are those of all.
fn failed(run: &RunSummary) -> String {
    let words = text::count(run.failed() as u64);
    match run.counts.failed_before {
        0 => words,
        _ => format!("{words} in this run, {} in all", text::count(run.counts.failed as u64)),
    }
}

fn failures(app: &App, group: &FailureGroup) -> String {
    let reason = text::truncate(&group.reason, MAX_REASON, app.options.theme.ellipsis());
    format!("{} {reason}", text::count(group.videos as u64))
}

fn pace(app: &App, run: &RunSummary) -> String {
    let mut words = text::duration(run.seconds);
    if run.seconds > 0.0 && run.done() > 0 {
        let videos = text::rate(Some(run.done() as f64 / run.seconds), "videos");
        let clips = text::rate(Some(run.clips_per_s), "clips");
        let dot = app.options.theme.separator();
        words.push_str(&format!("{dot}{videos}{dot}{clips}"));
    }
    words
}

fn next_step(app: &App, run: &RunSummary) -> String {
    let key = |action| app.keymap.key_text(action);
    match run.ending {
        Ending::Failed => {
            format!("{} shows the log; {} starts the run again", key(Action::PaneLog), key(Action::StartPause))
        }
        Ending::Stopped if run.counts.unfinished() > 0 => {
            format!("{} resumes with the queued videos", key(Action::StartPause))
        }
        // The same as `reeldeck status` says, with keys for commands.
        _ if run.next_step.is_some() => run.next_step.clone().unwrap_or_default(),
        _ if run.exports.is_empty() => format!("{} exports the features", key(Action::Export)),
        _ => format!("{} quits", key(Action::Quit)),
    }
}
