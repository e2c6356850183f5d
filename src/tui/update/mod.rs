//! Updates the state in response to a message and returns the effects to run. This module is pure: it uses no clock, no
//! terminal and no engine.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, MouseEvent};
use ratatui::layout::Size;

use super::action::Action;
use super::app::{App, Connection, Dirty, PendingRequest};
use super::keymap::KeyMatch;
use super::keys::Key;
use super::modal::Modal;
use super::pane::Pane;
use super::picture::Rgb;
use super::reopening::Reopening;
use super::setup::blocking::Answer;
use super::setup::in_force::InForce;
use super::setup::{self, Field};
use super::table::TableQuery;
use super::view::layout;
use super::view::log::LINE_HEAD;
use super::window_words::in_window;
use crate::client::Overview;
use crate::protocol::snapshot::Phase;
use crate::protocol::words::Level;
use crate::protocol::{Command, FromEngine, ToEngine, Welcome};

mod act;
mod bulk_mark;
mod commands;
mod details;
mod link;
mod modal;
mod mouse;
mod preview;
mod settings;
mod videos;

#[derive(Debug)]
pub(super) enum Msg {
    Key(KeyEvent),
    Paste(String),
    Mouse(MouseEvent),
    Resize(Size),
    /// New data may be drawn.
    Tick,
    Link(LinkEvent),
    /// What a starting engine does, before it can be reached.
    EngineStarting(String),
    EngineStarted(Result<(), String>),
    /// What the files of all engines say.
    Engines(Overview),
    /// A text to show as a toast.
    Notify(String),
    /// A text to show as a toast, and to keep in the log.
    Report(String),
    /// The program that had the terminal has ended, with this problem.
    TerminalReturned(Option<String>),
    Still {
        video: String,
        still: Result<Rgb, String>,
    },
    /// The settings in force, for the form.
    SettingsRead(Result<Box<InForce>, String>),
    /// The result of an effect of the form.
    Form(Answer),
    /// The saved settings, or why they cannot be used.
    SettingsSaved(Result<Box<Reopening>, String>),
}

/// An event of the connection to the engine.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Connected(Box<Welcome>),
    /// The connection broke. The link tries to restore it.
    Lost(String),
    /// No engine is running.
    Gone(String),
    Message(Box<FromEngine>),
}

/// What the window must do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    Send(ToEngine),
    StartEngine,
    /// An engine was started: connect to it.
    Connect,
    /// Quit and print the text after the terminal is restored.
    Quit(Option<String>),
    /// Give the terminal back to the shell until this process is continued.
    Suspend,
    /// Redraw everything.
    Redraw,
    /// Copy to the clipboard of the terminal.
    Copy(String),
    /// Tell the user, who may be looking elsewhere.
    Notify(String),
    /// Write the theme into config.toml, and say so.
    KeepTheme(&'static str),
    /// Show the log file in the user's pager or editor.
    ShowLog,
    /// Read the settings in force, for the form.
    ReadSettings,
    /// Run an effect of the form that can block.
    Form(setup::Effect),
    /// Read the configuration again. The command line no longer decides on these fields.
    UseSettings(Vec<Field>),
    /// Write this checkpoint into config.toml, and then the same.
    UseWeights(&'static str),
    /// Close the window, and open it with new settings.
    Reopen(Box<Reopening>),
    /// Fetch a still of a file.
    Still {
        video: String,
        path: PathBuf,
    },
}

/// Handles a message that arrived `now` after the start.
pub(super) fn update(app: &mut App, now: Duration, msg: Msg) -> Vec<Effect> {
    app.now = app.now.max(now);
    let mut effects = vec![];
    match msg {
        Msg::Key(event) if event.kind == KeyEventKind::Release => {}
        Msg::Key(event) => {
            app.touch(Dirty::Now);
            if event.code == KeyCode::Esc {
                app.toasts.clear();
            }
            key(app, event, &mut effects);
        }
        Msg::Paste(text) => {
            app.touch(Dirty::Now);
            modal::paste(app, &text, &mut effects);
        }
        Msg::Mouse(event) => mouse::mouse(app, event, &mut effects),
        Msg::Resize(size) => {
            app.size = size;
            app.touch(Dirty::Now);
        }
        Msg::Tick => tick(app, &mut effects),
        Msg::Link(from) => link::handle(app, from, &mut effects),
        Msg::Engines(overview) => app.hear_engines(overview),
        Msg::Notify(text) => app.say(Level::Info, text),
        Msg::Report(text) => app.report(Level::Info, text),
        Msg::TerminalReturned(None) => app.touch(Dirty::Now),
        Msg::TerminalReturned(Some(problem)) => app.say(Level::Problem, problem),
        Msg::SettingsRead(in_force) => settings::read(app, in_force, &mut effects),
        Msg::Form(answer) => {
            app.touch(Dirty::Now);
            settings::answer(app, answer, &mut effects);
        }
        Msg::SettingsSaved(saved) => settings::saved(app, saved, &mut effects),
        Msg::Still { video, still } => details::still(app, &video, still),
        Msg::EngineStarting(step) => {
            app.starting_step = step;
            app.touch(Dirty::Now);
        }
        Msg::EngineStarted(Ok(())) => {
            app.engine_starting = false;
            app.starting_step.clear();
            effects.push(Effect::Connect);
        }
        Msg::EngineStarted(Err(reason)) => {
            let reason = in_window(&app.keymap, &reason).into_owned();
            (app.engine_starting, app.when_ready) = (false, vec![]);
            app.starting_step.clear();
            app.connection = Connection::Gone { reason: reason.lines().next().unwrap_or_default().to_owned() };
            let text = reason.split_whitespace().collect::<Vec<_>>().join(" ");
            app.log.add_own(app.wall, Level::Problem, &text, &app.options.zone);
            app.notice_about_settings("The background process could not be started", reason);
        }
    }
    app.lay_out();
    details::follow_cursor(app, &mut effects);
    preview::follow(app);
    pump(app, &mut effects);
    effects
}

fn key(app: &mut App, event: KeyEvent, effects: &mut Vec<Effect>) {
    if matches!(app.modals.last(), Some(Modal::RunEnd)) {
        app.modals.pop();
        if matches!(event.code, KeyCode::Esc | KeyCode::Enter) {
            return;
        }
    }
    if !matches!(app.modals.last(), None | Some(Modal::Details(_))) {
        return modal::key(app, event, effects);
    }
    app.pending_keys.push(Key::of(event));
    match app.keymap.find(app.context(), &app.pending_keys) {
        KeyMatch::Prefix => {}
        KeyMatch::Action(action) => {
            app.pending_keys.clear();
            act::act(app, action, effects);
        }
        KeyMatch::Nothing => {
            let more = app.pending_keys.len() > 1;
            app.pending_keys.clear();
            // After `g q`, `q` still has its own meaning.
            if more {
                key(app, event, effects);
            }
        }
    }
}

fn tick(app: &mut App, effects: &mut Vec<Effect>) {
    if app.toasts.expire(app.now) {
        app.touch(Dirty::Soon);
    }
    let second = |time: Duration| time.as_secs();
    // Between snapshots only the clock in the header changes.
    if (app.is_active() || app.active_others() > 0) && second(app.now) != second(app.last_tick) {
        app.touch(Dirty::Soon);
    }
    app.last_tick = app.now;
    if std::mem::take(&mut app.table_stale) {
        app.videos.mark_stale();
        app.classes_stale = true;
        app.details_stale = true;
    }
    // The run can also end before it receives the command to stop.
    if app.quit_when_idle && app.is_at_rest() {
        commands::quit_now(app, effects);
    }
    settings::tick(app, effects);
    if !matches!(app.connection, Connection::Up(_)) {
        return;
    }
    preview::tick(app, effects);
    let now = app.now;
    let due = |requested: Option<Duration>, every| requested.is_none_or(|at| now >= at + Duration::from_millis(every));
    if app.classes_stale && due(app.classes_requested, 1_000) && !app.is_asked(&PendingRequest::Classes) {
        app.classes_requested = Some(app.now);
        app.classes_stale = false;
        app.ask(PendingRequest::Classes, |id| ToEngine::Classes { id }, effects);
        details::refresh(app, effects);
    }
    let every = if app.history_requested.is_none() { 0 } else { 5_000 };
    if (app.phase() == Some(Phase::Running) || app.history_requested.is_none())
        && due(app.history_requested, every)
        && !app.is_asked(&PendingRequest::History)
    {
        app.history_requested = Some(app.now);
        app.ask(PendingRequest::History, |id| ToEngine::History { id }, effects);
    }
}

/// Sends the table's next question.
fn pump(app: &mut App, effects: &mut Vec<Effect>) {
    if !matches!(app.connection, Connection::Up(_)) {
        return;
    }
    let (filter, sort, generation) = (app.videos.filter().clone(), app.videos.sort(), app.videos.generation());
    match app.videos.next_query() {
        None => {}
        Some(TableQuery::Rows { offset, len }) => {
            let tag = PendingRequest::Rows { generation, offset };
            app.ask(tag, |id| ToEngine::Query { id, filter, sort, offset, len }, effects);
        }
        Some(TableQuery::Locate { video }) => {
            app.ask(PendingRequest::Place { generation }, |id| ToEngine::Locate { id, video, filter, sort }, effects);
        }
    }
}

impl App {
    /// Sends a request and remembers what it was for.
    pub(super) fn ask(
        &mut self,
        tag: PendingRequest,
        question: impl FnOnce(u64) -> ToEngine,
        effects: &mut Vec<Effect>,
    ) {
        self.next_id += 1;
        self.pending.insert(self.next_id, tag);
        effects.push(Effect::Send(question(self.next_id)));
    }

    fn is_asked(&self, tag: &PendingRequest) -> bool {
        self.pending.values().any(|requested| requested == tag)
    }

    /// Sends a command. New settings are used before a run begins.
    pub(super) fn command(&mut self, tag: PendingRequest, command: Command, effects: &mut Vec<Effect>) {
        let Some(command) = settings::defer(self, command, effects) else { return };
        self.ask(tag, |id| ToEngine::Command { id, command }, effects);
    }

    /// Shows a toast that answers a key.
    pub(super) fn say(&mut self, level: Level, text: impl Into<String>) {
        match level {
            Level::Problem => self.toasts.show(self.now, level, text),
            Level::Info | Level::Detail => self.toasts.answer(self.now, text),
        }
        self.touch(Dirty::Now);
    }

    /// Copies a text to the clipboard. `what` names it.
    pub(super) fn copy(&mut self, what: &str, text: String, effects: &mut Vec<Effect>) {
        effects.push(Effect::Copy(text));
        self.say(Level::Info, format!("copied {what}"));
    }

    /// Shows a toast, and adds it to the log.
    pub(super) fn report(&mut self, level: Level, text: impl Into<String>) {
        let text = text.into();
        self.log.add_own(self.wall, level, &text, &self.options.zone);
        self.toasts.show(self.now, level, text);
        self.touch(Dirty::Now);
    }

    /// Shows a text that stays until it is closed.
    pub(super) fn notice(&mut self, title: &str, text: impl Into<String>) {
        let (title, text) = (title.into(), text.into());
        self.modals.push(Modal::Notice { title, text, offers_settings: false, scroll: Cell::default() });
        self.touch(Dirty::Now);
    }

    /// The same for a problem that the settings may solve.
    pub(super) fn notice_about_settings(&mut self, title: &str, text: impl Into<String>) {
        let (text, key) = (text.into(), self.keymap.key_text(Action::Settings));
        let text = format!("{}\n\nPress {key} for the settings.", text.trim_end());
        self.modals.push(Modal::Notice { title: title.into(), text, offers_settings: true, scroll: Cell::default() });
        self.touch(Dirty::Now);
    }

    /// Tells the lists how many of their lines are visible.
    pub(super) fn lay_out(&mut self) {
        let plan = layout::current(self);
        let lines = |area: Option<ratatui::layout::Rect>, frame: u16| {
            area.map_or(1, |area| usize::from(area.height.saturating_sub(frame)))
        };
        self.videos.set_height(lines(plan.videos, 3));
        self.classes.set_height(lines(plan.classes, 2));
        self.log.height = lines(plan.log, 2);
        let alone = plan.log.filter(|_| plan.alone(Pane::Log).is_some());
        self.log.wrap = alone.map(|area| usize::from(area.width.saturating_sub(2 + LINE_HEAD)));
        let lines = self.device_lines().len();
        self.device = self.device.min(lines.saturating_sub(1));
    }
}
