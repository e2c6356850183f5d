//! Orders to the engine: what is asked first, what can be taken back, and how to leave.

use super::super::action::Action;
use super::super::app::{App, Tag, Undo};
use super::super::classes::count_of;
use super::super::modal::{Item, Menu, Modal, Order, Pick};
use super::super::text;
use super::Effect;
use crate::protocol::Command;
use crate::protocol::row::RowState;
use crate::protocol::snapshot::Phase;
use crate::protocol::words::Level;

/// More videos than this are not extracted again without a question.
pub(super) const WITHOUT_ASKING: u64 = 20;

/// Exclusions that can be taken back, one after the other.
const MOST_UNDO: usize = 50;

/// A single command.
pub(super) fn single(command: Command) -> Order {
    Order::single(command)
}

/// Gives the orders.
pub(super) fn give(app: &mut App, order: Order, effects: &mut Vec<Effect>) {
    let last = order.commands.len().saturating_sub(1);
    for (place, command) in order.commands.into_iter().enumerate() {
        let tag = if place == last { Tag::Order } else { Tag::Part };
        app.command(tag, command, effects);
    }
    if let Some(undo) = order.undo {
        app.undo.push(undo);
        if app.undo.len() > MOST_UNDO {
            app.undo.remove(0);
        }
    }
    if order.unmark {
        app.marks.clear();
    }
}

/// Takes the last exclusion back.
pub(super) fn undo(app: &mut App, effects: &mut Vec<Effect>) {
    let Some(Undo { what, commands }) = app.undo.pop() else { return };
    give(app, Order { commands, ..Order::default() }, effects);
    app.say(Level::Info, format!("taken back: {what}"));
}

/// How long so many videos take, at the present rate.
pub(super) fn time_for(app: &App, videos: u64) -> String {
    let Some(snapshot) = app.snapshot() else { return String::new() };
    let clips = videos as f64 * snapshot.clips_per_video as f64;
    match snapshot.clips_per_s.filter(|rate| *rate > 0.0) {
        Some(rate) => format!(" About {} at the present rate.", text::span(clips / rate)),
        None => String::new(),
    }
}

pub(super) fn retry_all(app: &mut App, effects: &mut Vec<Effect>) {
    let failed = app
        .snapshot()
        .map_or(0, |snapshot| count_of(&snapshot.states, RowState::Failed).max(snapshot.counts.failed as u64));
    let order = single(Command::Retry { patterns: vec![] });
    if failed <= WITHOUT_ASKING {
        return give(app, order, effects);
    }
    let videos = text::counted(failed, "failed video", "failed videos");
    let question = format!("Try {videos} again?{}", time_for(app, failed));
    let yes = format!("yes, try {} again", text::count(failed));
    app.modals.push(Modal::Menu(Menu::question("Retry all failed", question, yes, order)));
}

pub(super) fn deep_check(app: &App) -> Menu {
    let counts = app.snapshot().map(|snapshot| snapshot.counts).unwrap_or_default();
    let question = format!(
        "Check all {} anew, decoding the first, the last and some other frames of each? A second or two a video; the run \
         goes on beside it.",
        text::counted(counts.videos as u64, "video", "videos")
    );
    Menu::question("Deep check", question, "yes, check them", single(Command::Check { deep: true }))
}

pub(super) fn stop_menu(app: &App) -> Menu {
    let hands = in_hand(app);
    Menu {
        title: "Stop the run".into(),
        text: "What is done stays done; a later start goes on from there.".into(),
        items: vec![
            Item::new('s', format!("after {hands}"), Pick::Order(single(Command::Stop { now: false }))),
            Item::new(
                'n',
                format!("now; {hands} will be done again"),
                Pick::Order(single(Command::Stop { now: true })),
            ),
            Item::new('c', "cancel", Pick::Close),
        ],
        selected: 0,
        stays: false,
    }
}

fn in_hand(app: &App) -> String {
    let hands = app.snapshot().map_or(0, |snapshot| snapshot.devices.iter().map(|device| device.in_hand.len()).sum());
    match hands {
        0 => "what is in hand".into(),
        hands => format!("the {} in hand", text::counted(hands as u64, "video", "videos")),
    }
}

/// Leaves at once where nothing is going on, and asks what becomes of the run otherwise.
pub(super) fn quit(app: &mut App, effects: &mut Vec<Effect>) {
    if !app.is_active() || app.leaving {
        return leave(app, effects);
    }
    let hands = in_hand(app);
    let left = app.snapshot().map_or(0, |snapshot| snapshot.counts.unfinished()) as u64;
    let to_do = text::counted(left, "video is", "videos are");
    let paused = if app.phase() == Some(Phase::Paused) { " It is paused, and would stay so." } else { "" };
    let attach = "`reeldeck` or `reeldeck attach` comes back to it";
    app.modals.push(Modal::Menu(Menu {
        title: "Leave".into(),
        text: format!("A run is going on; {to_do} still to be done.{paused}"),
        items: vec![
            Item::new('d', format!("detach: the run goes on, {attach}"), Pick::Detach),
            Item::new('s', format!("stop after {hands}, then leave"), Pick::LeaveAfter { now: false }),
            Item::new('n', format!("stop now; {hands} will be done again"), Pick::LeaveAfter { now: true }),
            Item::new('c', "cancel", Pick::Close),
        ],
        selected: 0,
        stays: false,
    }));
}

/// Leaves. An engine with nothing to do goes too, unless somebody else needs it.
pub(super) fn leave(app: &mut App, effects: &mut Vec<Effect>) {
    let resting = matches!(app.phase(), Some(Phase::Waiting | Phase::Idle));
    if resting {
        app.command(Tag::Silent, Command::Leave, effects);
    }
    let pid = app.welcome().map(|welcome| welcome.pid);
    let farewell = match (app.is_active(), pid) {
        (true, Some(pid)) if app.leaving => Some(format!("the run is ending by itself (process {pid})")),
        (true, Some(pid)) => Some(format!("the run goes on (process {pid}); `reeldeck attach` comes back to it")),
        _ => None,
    };
    effects.push(Effect::Quit(farewell));
}

/// Ends the run and leaves when it is over.
pub(super) fn leave_after(app: &mut App, now: bool, effects: &mut Vec<Effect>) {
    app.command(Tag::Order, Command::Stop { now }, effects);
    app.leaving = true;
    let quit = app.keymap.key_text(Action::Quit);
    app.say(Level::Info, format!("leaving when the run is over; `{quit}` leaves now, and it ends by itself"));
}
