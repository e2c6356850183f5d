//! Handles events of the connection and messages from the engine.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Effect, LinkEvent, bulk_mark, commands, details};
use crate::protocol::event::{Event, Line};
use crate::protocol::snapshot::{Phase, Snapshot};
use crate::protocol::words::{Level, describe};
use crate::protocol::{FromEngine, LogLine, ToEngine};
use crate::tui::app::{App, Connection, Dirty, PendingRequest, TimedSnapshot};

/// The interval of a device's sparkline and its number of values.
const ACTIVITY_INTERVAL: Duration = Duration::from_secs(1);
const MAX_ACTIVITY: usize = 60;

/// The number of log lines that are requested after connecting.
const LOG_LINES: usize = 500;

pub(super) fn handle(app: &mut App, from: LinkEvent, effects: &mut Vec<Effect>) {
    match from {
        LinkEvent::Connected(welcome) => {
            let again = app.latest.is_some();
            app.connection = Connection::Up(welcome);
            app.pending.clear();
            app.bulk_mark = None;
            app.videos.invalidate();
            app.classes_stale = true;
            (app.classes_requested, app.history_requested) = (None, None);
            app.ask(PendingRequest::Silent, |id| ToEngine::Subscribe { id }, effects);
            app.ask(PendingRequest::Log, |id| ToEngine::Log { id, len: LOG_LINES }, effects);
            if again {
                app.say(Level::Info, "the engine answers again");
            }
            app.touch(Dirty::Now);
        }
        LinkEvent::Lost(reason) => {
            if app.quit_when_idle {
                return effects.push(Effect::Quit(None));
            }
            app.say(Level::Problem, format!("the engine does not answer any more: {reason}"));
            app.connection = Connection::Lost { reason };
        }
        LinkEvent::Gone(reason) => {
            if app.quit_when_idle {
                return effects.push(Effect::Quit(None));
            }
            if !app.engine_starting {
                app.connection = Connection::Gone { reason };
            }
            app.touch(Dirty::Now);
        }
        LinkEvent::Message(message) => self::message(app, *message, effects),
    }
}

fn message(app: &mut App, message: FromEngine, effects: &mut Vec<Effect>) {
    match message {
        FromEngine::Event { line } => event(app, &line),
        FromEngine::Snapshot { snapshot, .. } => self::snapshot(app, snapshot, effects),
        FromEngine::Resync { .. } => {
            app.table_stale = true;
            app.history_requested = None;
            app.ask(PendingRequest::Log, |id| ToEngine::Log { id, len: LOG_LINES }, effects);
        }
        FromEngine::Rows { id, total, rows, .. } => match app.pending.remove(&id) {
            Some(PendingRequest::Rows { generation, offset }) => {
                let waited_for = !app.videos.is_current();
                app.videos.rows(generation, offset, total, rows);
                app.touch(if waited_for { Dirty::Now } else { Dirty::Soon });
            }
            Some(PendingRequest::BulkMark) => bulk_mark::rows(app, total, rows, effects),
            _ => {}
        },
        FromEngine::Place { id, offset, total } => {
            if let Some(PendingRequest::Place { generation }) = app.pending.remove(&id) {
                app.videos.place(generation, offset, total);
                app.touch(Dirty::Now);
            }
        }
        FromEngine::Classes { id, classes } => {
            app.pending.remove(&id);
            app.classes.set(classes);
            app.touch(Dirty::Soon);
        }
        FromEngine::History { id, history } => {
            app.pending.remove(&id);
            app.history = history;
            app.touch(Dirty::Soon);
        }
        FromEngine::Log { id, lines } => {
            app.pending.remove(&id);
            let zone = app.options.zone.clone();
            app.log.replace(lines, &zone);
            app.touch(Dirty::Soon);
        }
        FromEngine::Details { id, details: found } => {
            if let Some(PendingRequest::Details(video)) = app.pending.remove(&id) {
                details::received(app, &video, Ok(found));
            }
        }
        FromEngine::Ok { id, message } => match app.pending.remove(&id) {
            Some(PendingRequest::Command) => app.say(Level::Info, message),
            _ => app.touch(Dirty::Soon),
        },
        FromEngine::Error { id, message } => error(app, id, message),
        FromEngine::Welcome(_) | FromEngine::Refused { .. } => {}
    }
}

fn error(app: &mut App, id: u64, message: String) {
    match app.pending.remove(&id) {
        Some(PendingRequest::Rows { .. } | PendingRequest::Place { .. }) => {
            app.videos.query_failed();
            app.say(Level::Problem, message);
        }
        Some(PendingRequest::Details(video)) => details::received(app, &video, Err(message)),
        Some(PendingRequest::BulkMark) => {
            app.bulk_mark = None;
            app.say(Level::Problem, message);
        }
        Some(PendingRequest::Command | PendingRequest::PartialCommand) => {
            // A long message does not fit into a toast.
            match message.len() > 120 || message.contains('\n') {
                true => app.notice("That could not be done", message),
                false => app.say(Level::Problem, message),
            }
        }
        Some(PendingRequest::Classes | PendingRequest::History | PendingRequest::Log | PendingRequest::Silent)
        | None => {}
    }
}

fn snapshot(app: &mut App, snapshot: Snapshot, effects: &mut Vec<Effect>) {
    let before = app.latest.as_ref().map(|latest| latest.snapshot.revision);
    if before != Some(snapshot.revision) {
        app.table_stale = true;
    }
    record_activity(app, &snapshot);
    let first = app.latest.is_none();
    let over = snapshot.phase == Phase::Idle;
    app.latest = Some(TimedSnapshot { snapshot, received: app.now });
    app.touch(if first { Dirty::Now } else { Dirty::Soon });
    if over && app.quit_when_idle {
        commands::quit_now(app, effects);
    }
}

/// Records how busy the devices are, at most once per interval.
fn record_activity(app: &mut App, snapshot: &Snapshot) {
    let since = app.latest.as_ref().map(|latest| app.now.saturating_sub(latest.received));
    app.activity.resize_with(snapshot.devices.len(), VecDeque::new);
    app.activity_due = app.activity_due.saturating_sub(since.unwrap_or(ACTIVITY_INTERVAL));
    if !app.activity_due.is_zero() {
        return;
    }
    app.activity_due = ACTIVITY_INTERVAL;
    for (activity, device) in app.activity.iter_mut().zip(&snapshot.devices) {
        let value = device.gauges.busy_percent.or(device.clips_per_s.map(|rate| rate as f32));
        if activity.len() >= MAX_ACTIVITY {
            activity.pop_front();
        }
        activity.push_back(value);
    }
}

/// Adds an event to the log. Important ones are also shown as toasts.
fn event(app: &mut App, line: &Line) {
    let Some((level, text)) = describe(&line.event) else { return };
    app.touch(Dirty::Soon);
    let kind = match &line.event {
        Event::VideoFailed { retry_in_s: None, .. } => Some("failed"),
        Event::VideoFailed { .. } => Some("again"),
        _ => None,
    };
    match (kind, &line.event) {
        (Some("failed"), _) => app.toasts.count(app.now, level, "failed", text.clone()),
        (Some(_), _) => {}
        (None, Event::RunEnded { counts, seconds, reason, .. }) => {
            let done = counts.done.saturating_sub(counts.resumed);
            let failed = counts.failed.saturating_sub(counts.failed_before);
            let mut text =
                format!("the run is over: {done} done, {failed} failed, in {}", crate::tui::text::duration(*seconds));
            let level = if failed > 0 || reason.is_some() { Level::Problem } else { Level::Info };
            if let Some(reason) = reason {
                text.push_str(&format!("; {reason}"));
            }
            app.toasts.show(app.now, level, text);
        }
        (None, Event::Exported { .. }) => app.toasts.show(app.now, Level::Info, text.clone()),
        (None, Event::Stopping) => app.toasts.show(app.now, Level::Info, "finishing the videos in progress"),
        (None, Event::Paused) => app.toasts.show(app.now, Level::Info, "paused"),
        (None, _) if level >= Level::Info => app.toasts.show(app.now, level, text.clone()),
        (None, _) => {}
    }
    let entry = LogLine { time: line.time.to_string(), level, text };
    let zone = app.options.zone.clone();
    app.log.add(entry, &zone);
}
