//! Why an action is unavailable. The footer leaves out its key, and pressing the key shows the reason.

use super::action::Action;
use super::app::{App, Connection};
use super::classes::findings_of;
use super::details::{self, is_details_action};
use super::pane::Pane;
use super::run_end;
use super::text;
use super::window_words::in_window;
use crate::protocol::row::{Filter, Finding, RowState};
use crate::protocol::snapshot::Phase;

/// `None` if the action is available.
pub(super) fn unavailable_reason(app: &App, action: Action) -> Option<String> {
    use Action as A;
    if needs_engine(action)
        && let Some(reason) = no_engine(app, action)
    {
        return Some(reason);
    }
    if let Some(view) = app.details().filter(|_| is_details_action(action)) {
        let reason = details::unavailable_reason(action, view.details(), app.is_active())?;
        return Some(in_window(&app.keymap, reason).into_owned());
    }
    let counts = app.snapshot().map(|snapshot| snapshot.counts).unwrap_or_default();
    match action {
        A::StartPause => match app.phase() {
            Some(Phase::Starting) if let Some(reason) = awaited(app) => Some(reason),
            Some(Phase::Starting) => Some("reeldeck is starting; wait a moment".into()),
            Some(Phase::Finishing | Phase::Stopping) => Some("the run is ending; wait for its end".into()),
            Some(Phase::Held) => {
                let why = app.snapshot().and_then(|snapshot| snapshot.reason.clone()).unwrap_or_default();
                Some(format!("the run resumes by itself as soon as it can: {why}"))
            }
            // New settings may find other videos.
            Some(Phase::Waiting | Phase::Idle) if counts.queued == 0 && !app.new_settings.wait() => {
                let key = |action| app.keymap.key_text(action);
                Some(match counts.failed as u64 {
                    0 => format!("nothing left to extract; {} exports the features", key(Action::Export)),
                    1 if app.snapshot().is_some_and(run_end::only_corrupt_failed) => format!(
                        "nothing is queued; 1 video failed as corrupt: {} shows it, and its details say what helps",
                        key(Action::Problems)
                    ),
                    failed if app.snapshot().is_some_and(run_end::only_corrupt_failed) => format!(
                        "nothing is queued; {} failed as corrupt: {} shows them, and the details of each say what helps",
                        text::plural(failed, "video", "videos"),
                        key(Action::Problems)
                    ),
                    failed => format!(
                        "nothing is queued; {} failed: {} shows the reasons, {} retries",
                        text::plural(failed, "video", "videos"),
                        key(Action::Problems),
                        key(Action::RetryAll)
                    ),
                })
            }
            _ => None,
        },
        A::Stop if app.phase() == Some(Phase::Stopping) => Some("the run is stopping already".into()),
        A::Stop => (!app.is_active() && app.active_others() == 0).then(|| "no run is active".into()),
        A::RetryAll => (counts.failed == 0).then(|| "no video has failed".into()),
        A::WriteMissing => match app.welcome().and_then(|welcome| welcome.manifest.as_ref()) {
            None => {
                let [key, settings] = [action, Action::Settings].map(|action| app.keymap.key_text(action));
                Some(format!("{key} needs a manifest; name it in the settings ({settings})"))
            }
            Some(_) => None,
        },
        A::Export => (counts.done == 0).then(|| "nothing to export yet: no video is done".into()),
        A::Undo => app.undo.is_empty().then(|| "nothing to undo".into()),
        A::Check | A::CheckDeep => {
            let scan = app.snapshot().and_then(|snapshot| snapshot.scan);
            match scan {
                Some(scan) => Some(format!("a check is running: {} of {} videos", scan.done, scan.all)),
                None if action == A::Check => nothing_to_check(app),
                None => None,
            }
        }
        A::Unmark => app.marks.is_empty().then(|| "nothing is marked".into()),
        A::Retry => retry(app),
        A::Exclude | A::Mark | A::CopyName | A::CopyPath | A::CopyReason if app.videos.current().is_none() => {
            Some("there is no video here".into())
        }
        A::CopyReason if app.videos.current().is_some_and(|row| row.reason.is_none()) => {
            Some("nothing went wrong with this video".into())
        }
        A::CopyLine | A::CopyLog if app.log.current().is_none() => Some("there is no line here".into()),
        A::Filter | A::States | A::Problems | A::Sort if has_no_lines(app) => Some("there are no lines yet".into()),
        A::Range | A::MarkAll | A::Invert if app.videos.total() == 0 => Some("there is no video here".into()),
        A::MarkAll if are_marked(app) => Some("all of these videos are marked".into()),
        A::CopyPath => app
            .videos
            .current()
            .filter(|row| row.state == RowState::Missing)
            .map(|row| format!("{} is missing: there is no file", row.video)),
        A::Open => match app.focus {
            Pane::Videos if app.videos.current().is_none() => Some("there is no video here".into()),
            Pane::Devices if in_flight(app).is_none() => Some("this device has no video in progress".into()),
            Pane::Log if app.log.current().is_none() => Some("there is no line here".into()),
            _ => None,
        },
        _ => None,
    }
}

/// The focused pane has no lines, with any filter.
fn has_no_lines(app: &App) -> bool {
    match app.focus {
        Pane::Videos => app.videos.is_known() && app.videos.total() == 0 && *app.videos.filter() == Filter::default(),
        Pane::Classes => app.classes.len() == 1 && app.classes.text().is_empty(),
        Pane::Log => app.log.is_empty(),
        Pane::Devices | Pane::Throughput => false,
    }
}

/// All videos that the filter shows are marked.
fn are_marked(app: &App) -> bool {
    let mut rows = (0..app.videos.total()).map(|index| app.videos.row(index));
    rows.all(|row| row.is_some_and(|row| app.marks.has(row, app.videos.filter())))
}

/// All files are checked.
fn nothing_to_check(app: &App) -> Option<String> {
    let snapshot = app.snapshot()?;
    if snapshot.counts.videos == 0 || findings_of(&snapshot.findings, Finding::Unchecked) > 0 {
        return None;
    }
    let (videos, deep) = (text::count(snapshot.counts.videos as u64), app.keymap.key_text(Action::CheckDeep));
    Some(format!("all {videos} videos are checked already; {deep} checks them again"))
}

/// What a starting engine waits for.
pub(super) fn awaited(app: &App) -> Option<String> {
    let snapshot = app.snapshot().filter(|snapshot| snapshot.phase == Phase::Starting && snapshot.held_by.is_some())?;
    snapshot.reason.clone()
}

/// The video that the device under the cursor works on.
pub(super) fn in_flight(app: &App) -> Option<&str> {
    let (_, device) = app.own_device()?;
    device.in_flight.first().map(|job| job.video.as_str())
}

fn needs_engine(action: Action) -> bool {
    use Action as A;
    matches!(
        action,
        A::StartPause
            | A::Stop
            | A::RetryAll
            | A::WriteList
            | A::Export
            | A::WriteMissing
            | A::Rescan
            | A::Check
            | A::CheckDeep
            | A::Undo
            | A::Retry
            | A::Exclude
    )
}

fn no_engine(app: &App, action: Action) -> Option<String> {
    match &app.connection {
        Connection::Up(_) if app.latest.is_some() => None,
        Connection::Up(_) | Connection::Connecting => Some("reeldeck is starting; wait a moment".into()),
        Connection::Lost { .. } => Some("the connection to the background process is lost; reconnecting".into()),
        Connection::Gone { .. } if action == Action::StartPause => None,
        Connection::Gone { .. } => Some(format!(
            "the background process has exited; {} starts it again",
            app.keymap.key_text(Action::StartPause)
        )),
    }
}

fn retry(app: &App) -> Option<String> {
    if !app.marks.is_empty() {
        return None;
    }
    let Some(row) = app.videos.current() else { return Some("there is no video here".into()) };
    let why = details::no_retry(row.state, app.is_active())?;
    Some(format!("{} {}", row.video, in_window(&app.keymap, why.trim_start_matches("it "))))
}
