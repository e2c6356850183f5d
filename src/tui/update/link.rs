//! Handles events of the connection and messages from the engine.

use super::{Effect, LinkEvent, bulk_mark, commands, details, preview, settings, videos};
use crate::protocol::event::{Event, Line};
use crate::protocol::row::Finding;
use crate::protocol::snapshot::{Phase, Snapshot};
use crate::protocol::summary::Ending;
use crate::protocol::words::{Level, describe};
use crate::protocol::{FromEngine, LogLine, ToEngine};
use crate::tui::action::Action;
use crate::tui::app::{App, Connection, Dirty, PendingRequest, TimedSnapshot};
use crate::tui::classes::findings_of;
use crate::tui::command_group::CommandGroup;
use crate::tui::device_history::{self, DeviceHistory};
use crate::tui::modal::Modal;
use crate::tui::{run_end, text, weights, window_words};

/// The number of log lines that are requested after connecting.
const LOG_LINES: usize = 500;

pub(super) fn handle(app: &mut App, from: LinkEvent, effects: &mut Vec<Effect>) {
    match from {
        LinkEvent::Connected(welcome) => {
            let was_lost = matches!(app.connection, Connection::Lost { .. } | Connection::Gone { .. });
            let again = app.latest.is_some() && (was_lost || !app.when_ready.is_empty());
            let pid = welcome.pid;
            app.engines.own = Some((pid, welcome.set.clone()));
            app.connection = Connection::Up(welcome);
            app.pending.clear();
            app.bulk_mark = None;
            app.videos.invalidate();
            app.classes_stale = true;
            (app.classes_requested, app.history_requested) = (None, None);
            app.ask(PendingRequest::Silent, |id| ToEngine::Subscribe { id }, effects);
            app.ask(PendingRequest::Log, |id| ToEngine::Log { id, len: LOG_LINES }, effects);
            if again {
                app.report(Level::Info, format!("reconnected (process {pid})"));
            }
            app.touch(Dirty::Now);
        }
        LinkEvent::Lost(reason) => {
            if app.quit_when_idle {
                return effects.push(Effect::Quit(None));
            }
            // Attempts to reconnect may fail as well.
            if matches!(app.connection, Connection::Up(_)) {
                app.report(
                    Level::Problem,
                    format!("lost the connection to the background process: {reason}; reconnecting"),
                );
            }
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

fn message(app: &mut App, mut message: FromEngine, effects: &mut Vec<Effect>) {
    let has_manifest = app.welcome().is_some_and(|welcome| welcome.manifest.is_some());
    window_words::received(&app.keymap, has_manifest, &mut message);
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
            Some(PendingRequest::BulkMark) => {
                if let Some(action) = bulk_mark::rows(app, total, rows, effects) {
                    videos::act(app, action, effects);
                }
            }
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
        FromEngine::Details { id, details: found } => match app.pending.remove(&id) {
            Some(PendingRequest::Details(video)) => details::received(app, &video, found),
            Some(PendingRequest::RefreshedDetails(video)) => details::refreshed(app, &video, found),
            Some(PendingRequest::Preview(video)) => preview::received(app, &video, found, effects),
            _ => {}
        },
        FromEngine::Ok { id, message } => match app.pending.remove(&id) {
            Some(PendingRequest::Leave) => settings::left(app, Ok(()), effects),
            // An event adds the command and its result to the log.
            Some(PendingRequest::Command) => app.say(Level::Info, message),
            Some(PendingRequest::UndoableCommand) => {
                let undo = app.keymap.key_text(Action::Undo);
                app.say(Level::Info, format!("{message}; {undo} undoes"));
            }
            _ => app.touch(Dirty::Soon),
        },
        FromEngine::Error { id, message } => error(app, id, message, effects),
        FromEngine::Welcome(_) | FromEngine::Refused { .. } => {}
    }
}

fn error(app: &mut App, id: u64, message: String, effects: &mut Vec<Effect>) {
    match app.pending.remove(&id) {
        Some(PendingRequest::Leave) => settings::left(app, Err(message), effects),
        Some(PendingRequest::Rows { .. } | PendingRequest::Place { .. }) => {
            app.videos.query_failed();
            app.say(Level::Problem, message);
        }
        Some(PendingRequest::Details(video) | PendingRequest::RefreshedDetails(video)) => {
            app.say(Level::Problem, format!("{}: {message}", text::sanitized(&video)));
        }
        Some(PendingRequest::BulkMark) => {
            app.bulk_mark = None;
            app.say(Level::Problem, message);
        }
        Some(PendingRequest::Command | PendingRequest::UndoableCommand | PendingRequest::PartialCommand) => {
            if app.snapshot().is_some_and(|snapshot| snapshot.needs.as_ref() == Some(&message)) {
                return app.modals.push(Modal::Menu(weights::menu(&app.keymap, &message)));
            }
            // A long message does not fit into a toast.
            match message.len() > 120 || message.contains('\n') {
                true => {
                    app.notice("Failed", message);
                }
                false => app.say(Level::Problem, message),
            }
        }
        // The preview shows what the table knows.
        Some(
            PendingRequest::Classes
            | PendingRequest::History
            | PendingRequest::Log
            | PendingRequest::Preview(_)
            | PendingRequest::Silent,
        )
        | None => {}
    }
}

fn snapshot(app: &mut App, snapshot: Snapshot, effects: &mut Vec<Effect>) {
    let before = app.latest.as_ref().map(|latest| latest.snapshot.revision);
    if before != Some(snapshot.revision) {
        app.table_stale = true;
    }
    record_devices(app, &snapshot);
    report_check(app, &snapshot);
    report_needs(app, &snapshot);
    let ended = |snapshot: &Snapshot| snapshot.last_run.as_ref().map(|run| run.ended);
    // A starting engine does not know its last run yet.
    let is_end = app.snapshot().is_some_and(|before| {
        before.phase != Phase::Starting && snapshot.last_run.is_some() && ended(before) != ended(&snapshot)
    });
    let first = app.latest.is_none();
    let was_over = first && !app.saw_end && matches!(snapshot.phase, Phase::Waiting | Phase::Idle);
    app.latest = Some(TimedSnapshot { snapshot, received: app.now });
    app.touch(if first { Dirty::Now } else { Dirty::Soon });
    if app.snapshot().is_some_and(|snapshot| snapshot.last_run.is_none()) || is_end {
        app.modals.retain(|modal| !matches!(modal, Modal::RunEnd));
    }
    if is_end {
        app.saw_end = true;
        announce_end(app, effects);
    }
    if was_over && app.greeting.is_none() {
        tell_last_run(app);
    }
    let is_idle = matches!(app.phase(), Some(Phase::Waiting | Phase::Idle));
    // Another client may have started a run.
    if app.phase() != Some(Phase::Starting)
        && let Some(text) = app.greeting.take()
    {
        app.report(Level::Info, text);
    }
    if app.phase() != Some(Phase::Starting) {
        let commands = std::mem::take(&mut app.when_ready);
        if is_idle && !commands.is_empty() {
            commands::send(app, CommandGroup { commands, ..CommandGroup::default() }, effects);
        }
    }
    if app.quit_when_idle && app.phase() == Some(Phase::Idle) && app.is_at_rest() {
        commands::quit_now(app, effects);
    }
}

/// Reports the end of a check.
fn report_check(app: &mut App, snapshot: &Snapshot) {
    let Some(scan) = app.snapshot().and_then(|before| before.scan).filter(|_| snapshot.scan.is_none()) else { return };
    let what = if scan.deep { "deep check" } else { "quick check" };
    let corrupt = findings_of(&snapshot.findings, Finding::Corrupt);
    let videos = text::plural(scan.all as u64, "video", "videos");
    app.report(Level::Info, format!("{what} of {videos} finished; {} corrupt in all", text::count(corrupt)));
}

/// Logs why an engine cannot extract, such as a failed download.
fn report_needs(app: &mut App, snapshot: &Snapshot) {
    let before = app.snapshot().and_then(|before| before.needs.as_ref());
    if let Some(needs) = snapshot.needs.as_ref().filter(|needs| before != Some(needs)) {
        let text = weights::in_a_line(&app.keymap, needs);
        app.log.add_own(app.wall, Level::Problem, &text, &app.options.zone);
    }
}

/// Records what the devices report, at most once per interval.
fn record_devices(app: &mut App, snapshot: &Snapshot) {
    app.device_history.resize_with(snapshot.devices.len(), DeviceHistory::default);
    if app.now < app.device_history_due {
        return;
    }
    app.device_history_due = app.now + device_history::INTERVAL;
    for (history, device) in app.device_history.iter_mut().zip(&snapshot.devices) {
        history.add(device);
    }
}

/// Says how the last run has ended, if that was not long ago: the window may have been closed then.
fn tell_last_run(app: &mut App) {
    let Some(run) = app.snapshot().and_then(|snapshot| snapshot.last_run.as_deref()) else { return };
    let since = app.wall.duration_since(run.ended).as_secs_f64();
    if (0.0..86_400.0).contains(&since) {
        let text = format!("{} ago: {}", text::duration(since), run_end::sentence(run));
        app.report(Level::Info, text);
    }
}

/// Announces the end of a run: a notification and a card, or a toast where the card is not visible.
fn announce_end(app: &mut App, effects: &mut Vec<Effect>) {
    let Some(run) = app.snapshot().and_then(|snapshot| snapshot.last_run.as_deref()) else { return };
    let went_well = run.ending == Ending::Finished && run.failed() == 0;
    let sentence = run_end::sentence(run);
    if app.quit_when_idle || !app.modals.is_empty() {
        app.toasts.show(app.now, if went_well { Level::Info } else { Level::Problem }, sentence.clone());
    }
    effects.push(Effect::Notify(sentence));
    if !app.quit_when_idle {
        // Below what the user is working with.
        app.modals.insert(0, Modal::RunEnd);
    }
}

/// Adds an event to the log. Important ones are also shown as toasts.
fn event(app: &mut App, line: &Line) {
    let Some((level, text)) = describe(&line.event) else { return };
    let text = window_words::in_window(&app.keymap, &text).into_owned();
    app.touch(Dirty::Soon);
    let kind = match &line.event {
        Event::VideoFailed { retry_in_s: None, .. } => Some("failed"),
        Event::VideoFailed { .. } => Some("again"),
        _ => None,
    };
    // These say what has come of the key that was pressed.
    if matches!(
        line.event,
        Event::RunStarted(_) | Event::Requeued { .. } | Event::Exported { .. } | Event::ExportFailed { .. }
    ) {
        app.toasts.end_answer();
    }
    match (kind, &line.event) {
        (Some("failed"), _) => app.toasts.count(app.now, level, "failed", text.clone()),
        (Some(_), _) => {}
        // The summary in the next snapshot says more. A run that could not begin has none.
        (None, Event::RunEnded { counts, reason: Some(reason), .. }) if counts.videos == 0 => {
            app.toasts.show(app.now, Level::Problem, format!("run failed: {reason}"));
        }
        (None, Event::RunEnded { .. }) => {}
        // The answer shows it to the user who has given the command.
        (None, Event::Command { done: false, .. }) => {}
        // The card shows the export of its run.
        (None, Event::Exported { .. }) if matches!(app.modals.last(), Some(Modal::RunEnd)) => {}
        (None, Event::Exported { .. }) => app.toasts.show(app.now, Level::Info, text.clone()),
        // As the answer to the key that caused it, so that one toast shows both.
        (None, Event::Stopping) => app.toasts.show(app.now, Level::Info, "finishing the videos in progress"),
        (None, Event::Paused) => app.toasts.show(app.now, Level::Info, "paused"),
        (None, _) if level >= Level::Info => app.toasts.show(app.now, level, text.clone()),
        (None, _) => {}
    }
    // The log shows what has come of a run also without details.
    let level = match line.event {
        Event::RunEnded { .. } | Event::Exported { .. } => level.max(Level::Info),
        _ => level,
    };
    let entry = LogLine { time: line.time.to_string(), level, text };
    let zone = app.options.zone.clone();
    app.log.add(entry, &zone);
}
