//! What the engine says.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::app::{App, Dirty, Link, Seen, Tag, push_bounded};
use super::{Effect, FromLink, bulk_mark, details, orders};
use crate::protocol::event::{Event, Line};
use crate::protocol::snapshot::{Phase, Snapshot};
use crate::protocol::words::{Level, describe};
use crate::protocol::{FromEngine, LogLine, ToEngine};

/// Between two values of a device's sparkline, and how many are kept.
const PULSE: Duration = Duration::from_secs(1);
const PULSES: usize = 60;

/// Lines of the log that are asked for at the beginning.
const LOG: usize = 500;

pub(super) fn link(app: &mut App, from: FromLink, effects: &mut Vec<Effect>) {
    match from {
        FromLink::Up(welcome) => {
            let again = app.seen.is_some();
            app.link = Link::Up(welcome);
            app.pending.clear();
            app.bulk_mark = None;
            app.videos.forget();
            app.classes_stale = true;
            (app.asked_classes, app.asked_history) = (None, None);
            app.ask(Tag::Silent, |id| ToEngine::Subscribe { id }, effects);
            app.ask(Tag::Log, |id| ToEngine::Log { id, len: LOG }, effects);
            if again {
                app.say(Level::Info, "the engine answers again");
            }
            app.touch(Dirty::Now);
        }
        FromLink::Lost(reason) => {
            if app.leaving {
                return effects.push(Effect::Quit(None));
            }
            app.say(Level::Problem, format!("the engine does not answer any more: {reason}"));
            app.link = Link::Lost { reason };
        }
        FromLink::Gone(reason) => {
            if app.leaving {
                return effects.push(Effect::Quit(None));
            }
            if !app.starting {
                app.link = Link::Gone { reason };
            }
            app.touch(Dirty::Now);
        }
        FromLink::Said(said) => self::said(app, *said, effects),
    }
}

fn said(app: &mut App, said: FromEngine, effects: &mut Vec<Effect>) {
    match said {
        FromEngine::Event { line } => event(app, &line),
        FromEngine::Snapshot { snapshot, .. } => self::snapshot(app, snapshot, effects),
        FromEngine::Resync { .. } => {
            app.stale = Some(());
            app.asked_history = None;
            app.ask(Tag::Log, |id| ToEngine::Log { id, len: LOG }, effects);
        }
        FromEngine::Rows { id, total, rows, .. } => match app.pending.remove(&id) {
            Some(Tag::Rows { generation, offset }) => {
                let waited_for = !app.videos.is_settled();
                app.videos.rows(generation, offset, total, rows);
                app.touch(if waited_for { Dirty::Now } else { Dirty::Soon });
            }
            Some(Tag::BulkMark) => bulk_mark::rows(app, total, rows, effects),
            _ => {}
        },
        FromEngine::Place { id, offset, total } => {
            if let Some(Tag::Place { generation }) = app.pending.remove(&id) {
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
            let zone = app.choices.zone.clone();
            app.log.begin(lines, &zone);
            app.touch(Dirty::Soon);
        }
        FromEngine::Details { id, details: found } => {
            if let Some(Tag::Details(video)) = app.pending.remove(&id) {
                details::came(app, &video, Ok(found));
            }
        }
        FromEngine::Ok { id, message } => match app.pending.remove(&id) {
            Some(Tag::Order) => app.say(Level::Info, message),
            _ => app.touch(Dirty::Soon),
        },
        FromEngine::Error { id, message } => error(app, id, message),
        FromEngine::Welcome(_) | FromEngine::Refused { .. } => {}
    }
}

fn error(app: &mut App, id: u64, message: String) {
    match app.pending.remove(&id) {
        Some(Tag::Rows { .. } | Tag::Place { .. }) => {
            app.videos.unanswered();
            app.say(Level::Problem, message);
        }
        Some(Tag::Details(video)) => details::came(app, &video, Err(message)),
        Some(Tag::BulkMark) => {
            app.bulk_mark = None;
            app.say(Level::Problem, message);
        }
        Some(Tag::Order | Tag::Part) => {
            // Long ones are not to be read in passing.
            match message.len() > 120 || message.contains('\n') {
                true => app.notice("That could not be done", message),
                false => app.say(Level::Problem, message),
            }
        }
        Some(Tag::Classes | Tag::History | Tag::Log | Tag::Silent) | None => {}
    }
}

fn snapshot(app: &mut App, snapshot: Snapshot, effects: &mut Vec<Effect>) {
    let before = app.seen.as_ref().map(|seen| seen.snapshot.revision);
    if before != Some(snapshot.revision) {
        app.stale = Some(());
    }
    pulse(app, &snapshot);
    let first = app.seen.is_none();
    let over = snapshot.phase == Phase::Idle;
    app.seen = Some(Seen { snapshot, at: app.now });
    app.touch(if first { Dirty::Now } else { Dirty::Soon });
    if over && app.leaving {
        orders::leave(app, effects);
    }
}

/// How busy the devices are, at most once a second.
fn pulse(app: &mut App, snapshot: &Snapshot) {
    let since = app.seen.as_ref().map(|seen| app.now.saturating_sub(seen.at));
    app.pulse.resize_with(snapshot.devices.len(), VecDeque::new);
    app.pulse_due = app.pulse_due.saturating_sub(since.unwrap_or(PULSE));
    if !app.pulse_due.is_zero() {
        return;
    }
    app.pulse_due = PULSE;
    for (pulse, device) in app.pulse.iter_mut().zip(&snapshot.devices) {
        let value = device.gauges.busy_percent.or(device.clips_per_s.map(|rate| rate as f32));
        push_bounded(pulse, value, PULSES);
    }
}

/// An event goes to the log, and what must not be missed to a message of its own.
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
                format!("the run is over: {done} done, {failed} failed, in {}", super::super::text::span(*seconds));
            let level = if failed > 0 || reason.is_some() { Level::Problem } else { Level::Info };
            if let Some(reason) = reason {
                text.push_str(&format!("; {reason}"));
            }
            app.toasts.say(app.now, level, text);
        }
        (None, Event::Exported { .. }) => app.toasts.say(app.now, Level::Info, text.clone()),
        (None, Event::Stopping) => app.toasts.say(app.now, Level::Info, "finishing what is in hand"),
        (None, Event::Paused) => app.toasts.say(app.now, Level::Info, "paused"),
        (None, _) if level >= Level::Info => app.toasts.say(app.now, level, text.clone()),
        (None, _) => {}
    }
    let entry = LogLine { time: line.time.to_string(), level, text };
    let zone = app.choices.zone.clone();
    app.log.add(entry, &zone);
}
