//! Sends commands to the engine, asks for confirmation before some of them, undoes exclusions, and quits.

use super::Effect;
use crate::protocol::Command;
use crate::protocol::snapshot::Phase;
use crate::protocol::words::Level;
use crate::tui::action::Action;
use crate::tui::app::{App, PendingRequest};
use crate::tui::attach_command;
use crate::tui::command_group::CommandGroup;
use crate::tui::modal::{Menu, MenuAction, MenuItem, Modal};
use crate::tui::run_end;
use crate::tui::text;

/// More videos than this are only extracted again after a question.
pub(super) const MAX_WITHOUT_QUESTION: u64 = 20;

/// The number of exclusions that can be undone.
const MAX_UNDO: usize = 50;

pub(super) fn send(app: &mut App, group: CommandGroup, effects: &mut Vec<Effect>) {
    if group.commands.iter().any(|command| matches!(command, Command::Redo { .. } | Command::Exclude { .. })) {
        app.videos.pin();
    }
    let last = group.commands.len().saturating_sub(1);
    // An event says what was queued, and that may have started the run.
    let starts = last > 0 && group.commands.last() == Some(&Command::Start);
    for (place, command) in group.commands.into_iter().enumerate() {
        let tag = match place == last && !starts {
            true if group.undo.is_some() => PendingRequest::UndoableCommand,
            true => PendingRequest::Command,
            false => PendingRequest::PartialCommand,
        };
        app.command(tag, command, effects);
    }
    if let Some(undo) = group.undo {
        app.undo.push(undo);
        if app.undo.len() > MAX_UNDO {
            app.undo.remove(0);
        }
    }
    if group.unmark {
        app.marks.clear();
    }
}

/// Undoes the last exclusion.
pub(super) fn undo(app: &mut App, effects: &mut Vec<Effect>) {
    // The engine's answer says what was done.
    let Some(commands) = app.undo.pop() else { return };
    send(app, CommandGroup { commands, ..CommandGroup::default() }, effects);
}

/// A sentence on how long the videos take at the current rate.
pub(super) fn time_estimate(app: &App, videos: u64) -> String {
    let Some(snapshot) = app.snapshot() else { return String::new() };
    // Where videos have different numbers of clips, those of these videos are not known.
    let (amount, rate) = match snapshot.clips_per_video {
        0 => (videos as f64, snapshot.videos_per_s),
        clips => (videos as f64 * clips as f64, snapshot.clips_per_s),
    };
    match rate.filter(|rate| *rate > 0.0) {
        Some(rate) => format!(" About {} at the current rate.", text::duration(amount / rate)),
        None => String::new(),
    }
}

/// The question before a run that extracts other videos than those that were asked for, if there are any: without an active run,
/// `group` begins one over all that is queued. Of the videos called `name`, so many are `queued` already, and so many are
/// extracted `again`.
pub(super) fn start_menu(
    app: &App,
    group: &CommandGroup,
    name: &str,
    queued: u64,
    again: u64,
    note: &str,
) -> Option<Menu> {
    let all = app.snapshot().map_or(0, |snapshot| snapshot.counts.queued as u64);
    let others = all.saturating_sub(queued);
    if app.is_active() || others == 0 || queued + again == 0 {
        return None;
    }
    let (verb, others) = (if others == 1 { "is" } else { "are" }, text::plural(others, "other video", "other videos"));
    let all = all.saturating_add(again);
    let estimate = time_estimate(app, all);
    let question = format!(
        "{others} {verb} also queued, and the run extracts all of them. It begins with {name}.{note}{estimate}"
    );
    let mut start = group.clone();
    start.commands.push(Command::Start);
    let mut items = vec![MenuItem::new('y', format!("extract all {}", text::count(all)), MenuAction::Send(start))];
    // Any other request starts the run.
    if again > 0 && app.phase() == Some(Phase::Waiting) {
        let label = format!("queue {name}, start no run");
        items.push(MenuItem::new('w', label, MenuAction::Send(group.clone())));
    }
    items.push(MenuItem::new('n', "cancel", MenuAction::Close));
    Some(Menu::new("Start the run", question, items))
}

pub(super) fn retry_all(app: &mut App, effects: &mut Vec<Effect>) {
    let failed = app.snapshot().map_or(0, |snapshot| snapshot.counts.failed as u64);
    let group = CommandGroup::single(Command::Retry { patterns: vec![] });
    let videos = text::plural(failed, "failed video", "failed videos");
    if let Some(menu) = start_menu(app, &group, &format!("the {videos}"), 0, failed, "") {
        return app.modals.push(Modal::Menu(menu));
    }
    if failed <= MAX_WITHOUT_QUESTION {
        return send(app, group, effects);
    }
    let question = format!("Try {videos} again?{}", time_estimate(app, failed));
    let yes = format!("yes, try {} again", text::count(failed));
    app.modals.push(Modal::Menu(Menu::question("Retry all failed", question, yes, group)));
}

pub(super) fn deep_check(app: &App) -> Menu {
    let counts = app.snapshot().map(|snapshot| snapshot.counts).unwrap_or_default();
    let question = format!(
        "Check all {} again and decode the first, the last and some other frames of each? This takes a second or two per \
         video. A run continues meanwhile.",
        text::plural(counts.videos as u64, "video", "videos")
    );
    Menu::question("Deep check", question, "yes, check them", CommandGroup::single(Command::Check { deep: true }))
}

pub(super) fn stop_menu(app: &App) -> Menu {
    let videos = in_progress(app);
    let stop = |now| MenuAction::Send(CommandGroup::single(Command::Stop { now }));
    let mut items = vec![
        MenuItem::new('x', format!("now; {videos} will be done again"), stop(true)),
        MenuItem::new('n', "cancel", MenuAction::Close),
    ];
    if app.phase() == Some(Phase::Finishing) {
        return Menu::new("Stop the run", format!("The run ends after {videos}."), items);
    }
    let after = match app.phase() {
        Some(Phase::Paused) => format!("resume, and stop after {videos}"),
        _ => format!("after {videos}"),
    };
    items.insert(0, MenuItem::new('s', after, stop(false)));
    Menu::new("Stop the run", "Finished videos are kept. The next run continues from there.", items)
}

fn in_progress(app: &App) -> String {
    let videos =
        app.snapshot().map_or(0, |snapshot| snapshot.devices.iter().map(|device| device.in_flight.len()).sum());
    let next = if app.snapshot().is_some_and(|snapshot| snapshot.waiting_on_devices() > 0) { " or next" } else { "" };
    match videos {
        0 => "the videos in progress".into(),
        videos => format!("the {} in progress{next}", text::plural(videos as u64, "video", "videos")),
    }
}

/// Quits if no run is active, and asks what to do with the run otherwise.
pub(super) fn quit(app: &mut App, effects: &mut Vec<Effect>) {
    if !app.is_active() || app.quit_when_idle {
        return quit_now(app, effects);
    }
    let videos = in_progress(app);
    let left = app.snapshot().map_or(0, |snapshot| snapshot.counts.unfinished()) as u64;
    let to_do = text::plural(left, "video is", "videos are");
    let paused = if app.phase() == Some(Phase::Paused) { " It is paused and stays paused." } else { "" };
    let attach = attach_command::attach_command(app);
    // The line that is printed at the end has room for a long command.
    let attach = if attach.len() > 24 { String::new() } else { format!("; `{attach}`") };
    let text = format!("A run is active; {to_do} still to be done.{paused}");
    let items = vec![
        MenuItem::new('d', format!("detach: the run continues in the background{attach}"), MenuAction::Detach),
        MenuItem::new('s', format!("stop after {videos}, then quit"), MenuAction::StopAndQuit { now: false }),
        MenuItem::new('x', format!("stop now; {videos} will be done again"), MenuAction::StopAndQuit { now: true }),
        MenuItem::new('n', "cancel", MenuAction::Close),
    ];
    app.modals.push(Modal::Menu(Menu::new("Quit", text, items)));
}

/// Quits. An idle engine ends too, unless it has other clients.
pub(super) fn quit_now(app: &mut App, effects: &mut Vec<Effect>) {
    let resting = matches!(app.phase(), Some(Phase::Starting | Phase::Waiting | Phase::Idle));
    if resting {
        app.command(PendingRequest::Silent, Command::Leave, effects);
    }
    let exit_message = run_end::exit_message(app);
    effects.push(Effect::Quit(exit_message));
}

/// Stops the run and quits when it is over.
pub(super) fn stop_and_quit(app: &mut App, now: bool, effects: &mut Vec<Effect>) {
    // What is said below says more than the answer.
    app.command(PendingRequest::PartialCommand, Command::Stop { now }, effects);
    app.quit_when_idle = true;
    let quit = app.keymap.key_text(Action::Quit);
    app.say(Level::Info, format!("quitting when the run is over; {quit} quits now, and the run ends by itself"));
}
