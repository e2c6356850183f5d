//! The form of the settings, and what happens when they are saved: with no run active, the engine ends and the window opens
//! again with the new ones. Otherwise this happens when the user starts the next run.

use ratatui::crossterm::event::KeyEvent;

use super::Effect;
use crate::protocol::Command;
use crate::protocol::words::Level;
use crate::tui::action::Action;
use crate::tui::app::{App, Connection, PendingRequest};
use crate::tui::modal::Modal;
use crate::tui::reopening::{NewSettings, Reopening};
use crate::tui::setup::blocking::Answer;
use crate::tui::setup::in_force::InForce;
use crate::tui::setup::in_use::InUse;
use crate::tui::setup::{self, Field, Setup};
use crate::tui::text;
use crate::tui::window_words::in_window;

/// Opens the form. Until its values are read nothing is shown, which takes a moment.
pub(super) fn read(app: &mut App, read: Result<Box<InForce>, String>, effects: &mut Vec<Effect>) {
    match read {
        Ok(in_force) => {
            let (mut form, asked) = Setup::of_settings(app.keymap.clone(), setup::home(), *in_force);
            let devices = app.snapshot().map(|snapshot| snapshot.devices.as_slice()).unwrap_or_default();
            let devices = devices.iter().map(|device| device.device.as_str());
            form.compare_with(app.welcome().map(|welcome| InUse::of(welcome, devices)));
            if app.snapshot().is_some_and(|snapshot| snapshot.needs.is_some()) {
                form.focus_on(Field::Checkpoint);
            }
            app.modals.retain(|modal| !matches!(modal, Modal::Settings(_)));
            app.modals.push(Modal::Settings(Box::new(form)));
            carry_out(app, asked, effects);
        }
        Err(why) => app.notice("The settings cannot be read", in_window(&app.keymap, &why).into_owned()),
    }
}

pub(super) fn key(app: &mut App, event: KeyEvent, effects: &mut Vec<Effect>) {
    let asked = form(app).map(|form| form.key(event)).unwrap_or_default();
    carry_out(app, asked, effects);
}

pub(super) fn paste(app: &mut App, text: &str, effects: &mut Vec<Effect>) {
    let asked = form(app).map(|form| form.paste(text)).unwrap_or_default();
    carry_out(app, asked, effects);
}

/// The result of an effect of the form, which may be closed by now.
pub(super) fn answer(app: &mut App, answer: Answer, effects: &mut Vec<Effect>) {
    let asked = form(app).map(|form| form.answer(answer)).unwrap_or_default();
    carry_out(app, asked, effects);
}

fn form(app: &mut App) -> Option<&mut Setup> {
    app.modals.iter_mut().find_map(|modal| match modal {
        Modal::Settings(form) => Some(&mut **form),
        _ => None,
    })
}

fn carry_out(app: &mut App, asked: Vec<setup::Effect>, effects: &mut Vec<Effect>) {
    for effect in asked {
        match effect {
            setup::Effect::Done(_) => {
                let changed = form(app).map(|form| form.changed_fields()).unwrap_or_default();
                app.modals.retain(|modal| !matches!(modal, Modal::Settings(_)));
                effects.push(Effect::UseSettings(changed));
            }
            setup::Effect::Quit => app.modals.retain(|modal| !matches!(modal, Modal::Settings(_))),
            setup::Effect::Suspend => effects.push(Effect::Suspend),
            effect => effects.push(Effect::Form(effect)),
        }
    }
}

/// The saved settings, or why they cannot be used.
pub(super) fn saved(app: &mut App, saved: Result<Box<Reopening>, String>, effects: &mut Vec<Effect>) {
    let starts = std::mem::take(&mut app.starts_when_saved);
    match saved {
        Err(why) => {
            let why = in_window(&app.keymap, &why).into_owned();
            app.notice_about_settings("Saved, but the settings cannot be used", why);
        }
        Ok(mut new) => {
            if starts {
                new.then.push(Command::Start);
            }
            let changed = new.changed.clone();
            app.new_settings = NewSettings::Waiting(new);
            match can_reopen(app) {
                true => reopen(app, effects),
                false => app.report(Level::Info, format!("saved {changed}; in use from the next run")),
            }
        }
    }
}

/// Opens the window again if the engine was gone before it could answer, or if an export was in the way.
pub(super) fn tick(app: &mut App, effects: &mut Vec<Effect>) {
    let is_awaited = match &app.new_settings {
        NewSettings::Waiting(new) | NewSettings::Refused(new) => !new.then.is_empty() && can_reopen(app),
        NewSettings::Leaving(_) => matches!(app.connection, Connection::Gone { .. }),
        NewSettings::None => false,
    };
    if is_awaited {
        reopen(app, effects);
    }
}

/// Keeps a command that begins a run until the new settings are used, if there are any. Returns a command that is not kept.
pub(super) fn defer(app: &mut App, command: Command, effects: &mut Vec<Effect>) -> Option<Command> {
    let begins_run = matches!(command, Command::Start | Command::Redo { .. } | Command::Retry { .. });
    let exports = app.snapshot().is_some_and(|snapshot| snapshot.exporting);
    // The engine still exports the last run.
    let after_export = exports && app.welcome().is_some() && !app.is_active();
    let now = can_reopen(app);
    let (is_leaving, new) = match &mut app.new_settings {
        NewSettings::Leaving(new) => (true, new),
        NewSettings::Waiting(new) | NewSettings::Refused(new) => (false, new),
        NewSettings::None => return Some(command),
    };
    if !begins_run || !(is_leaving || now || after_export) {
        return Some(command);
    }
    if !new.then.contains(&command) {
        new.then.push(command);
    }
    match () {
        () if is_leaving => {}
        () if now => reopen(app, effects),
        () => app.say(Level::Info, "the run starts with the new settings as soon as the export is over"),
    }
    None
}

fn can_reopen(app: &App) -> bool {
    let exports = app.snapshot().is_some_and(|snapshot| snapshot.exporting);
    match app.connection {
        Connection::Up(_) => app.latest.is_some() && !app.is_active() && !exports,
        Connection::Gone { .. } => !app.engine_starting,
        Connection::Connecting | Connection::Lost { .. } => false,
    }
}

/// Lets the engine end. Its answer opens the window again.
fn reopen(app: &mut App, effects: &mut Vec<Effect>) {
    let (NewSettings::Waiting(new) | NewSettings::Leaving(new) | NewSettings::Refused(new)) =
        std::mem::take(&mut app.new_settings)
    else {
        return;
    };
    if !matches!(app.connection, Connection::Up(_)) {
        return effects.push(Effect::Reopen(new));
    }
    app.new_settings = NewSettings::Leaving(new);
    app.command(PendingRequest::Leave, Command::Leave, effects);
}

/// The engine's answer: it ends, or says why it stays.
pub(super) fn left(app: &mut App, answer: Result<(), String>, effects: &mut Vec<Effect>) {
    let NewSettings::Leaving(new) = std::mem::take(&mut app.new_settings) else { return };
    match answer {
        Ok(()) => effects.push(Effect::Reopen(new)),
        Err(why) => {
            let why = text::without_stop(&why);
            let start = app.keymap.key_text(Action::StartPause);
            let text = format!(
                "{} is saved and not in use yet: {why}. Close the other windows, and press {start}: \
                 the next run uses it.",
                new.changed
            );
            app.new_settings = NewSettings::Refused(Box::new(Reopening { then: vec![], ..*new }));
            app.notice("Saved, but not in use", text);
        }
    }
}
