//! Engines in the pane of devices: one line each, and all that is known of one.

use std::time::Duration;

use ratatui::text::Span;

use super::device_line::Segment;
use super::header::phase_word;
use crate::client::overview::Engine;
use crate::protocol::snapshot::{Phase, Snapshot};
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

/// What is said of an engine.
struct Facts<'a> {
    host: String,
    pid: Option<u32>,
    job: Option<String>,
    silence: Option<Duration>,
    /// Another feature set than that of the window's own engine.
    other_set: Option<String>,
    snapshot: Option<&'a Snapshot>,
}

fn facts<'a>(app: &'a App, engine: Option<&'a Engine>) -> Facts<'a> {
    let own_set = app.engines.own.as_ref().map(|(_, set)| set);
    match engine {
        None => Facts {
            host: app.options.host.clone(),
            pid: app.engines.own.as_ref().map(|(pid, _)| *pid),
            job: None,
            silence: None,
            other_set: None,
            snapshot: app.snapshot(),
        },
        Some(engine) => Facts {
            host: engine.holder.host.clone(),
            pid: Some(engine.holder.pid),
            job: engine.holder.job.clone(),
            silence: app.silence(engine),
            other_set: engine.set.clone().filter(|set| own_set.is_some_and(|own| own != set)),
            snapshot: engine.snapshot.as_ref(),
        },
    }
}

/// The state of an engine in a word or two.
fn state(facts: &Facts<'_>, is_own: bool) -> (String, Role) {
    if let Some(silence) = facts.silence {
        return (format!("silent for {}", text::duration(silence.as_secs_f64().floor())), Role::Warn);
    }
    let Some(snapshot) = facts.snapshot else { return ("an older version, which reports nothing".into(), Role::Dim) };
    match snapshot.phase {
        Phase::Running => ("running".into(), Role::Good),
        Phase::Waiting if is_own => ("this window; follows the run".into(), Role::Dim),
        Phase::Waiting => ("follows the run".into(), Role::Dim),
        Phase::Idle if snapshot.exporting => ("exporting".into(), Role::Active),
        Phase::Idle => ("has finished".into(), Role::Dim),
        _ => (phase_word(snapshot).into(), Role::Warn),
    }
}

/// The segments of an engine's line. `devices`: also sums up its devices.
pub(super) fn segments(app: &App, engine: Option<&Engine>, devices: bool) -> Vec<Segment> {
    let theme = &app.options.theme;
    let facts = facts(app, engine);
    let mut segments = vec![];
    let mut add = |text: String, role, priority| {
        segments.push(Segment { spans: vec![Span::styled(text, theme.style(role))], priority });
    };
    let host = text::sanitized(&facts.host).into_owned();
    add(text::align_left(&host, text::width(&host).clamp(8, 16), theme.ellipsis()), Role::Title, 9);
    let (word, role) = state(&facts, engine.is_none());
    add(word, role, 9);
    if let Some(snapshot) = facts.snapshot.filter(|snapshot| snapshot.is_active()) {
        add(text::rate(snapshot.clips_per_s, "clips"), Role::Base, 8);
        if devices {
            let all = snapshot.devices.len() + engine.map_or(0, |engine| engine.more_devices);
            let busy = snapshot.devices.iter().filter(|device| !device.in_flight.is_empty()).count();
            add(format!("{}, {busy} busy", text::plural(all as u64, "device", "devices")), Role::Base, 7);
        }
    }
    if let Some(set) = facts.other_set {
        add(format!("features {}", text::sanitized(&set)), Role::Warn, 6);
    }
    if let Some(job) = facts.job {
        add(format!("job {}", text::sanitized(&job)), Role::Dim, 5);
    }
    if let Some(pid) = facts.pid {
        add(format!("process {pid}"), Role::Dim, 4);
    }
    segments
}

/// All that is known of an engine, a fact a line: name and value.
pub(super) fn lines(app: &App, engine: Option<&Engine>) -> Vec<(&'static str, String)> {
    let facts = facts(app, engine);
    let is_own = engine.is_none();
    let mut lines = vec![("state", state(&facts, is_own).0), ("host", facts.host.clone())];
    lines.extend(facts.pid.map(|pid| ("process", pid.to_string())));
    lines.extend(facts.job.clone().map(|job| ("job", job)));
    if let Some(engine) = engine {
        let started = engine.holder.started.to_zoned(app.options.zone.clone());
        lines.push(("since", started.strftime("%F %T").to_string()));
        lines.push(("version", engine.holder.tool.clone()));
    }
    lines.extend(facts.other_set.clone().map(|set| ("features", set)));
    if let Some(snapshot) = facts.snapshot.filter(|snapshot| snapshot.is_active()) {
        let done: usize = snapshot.devices.iter().map(|device| device.done).sum();
        let clips = text::plural(snapshot.clips_done as u64, "clip", "clips");
        lines.push(("done here", format!("{}, {clips}", text::plural(done as u64, "video", "videos"))));
        lines.push(("speed", text::rate(snapshot.clips_per_s, "clips")));
        lines.extend(snapshot.reason.clone().map(|reason| ("reason", reason)));
    }
    lines
}
