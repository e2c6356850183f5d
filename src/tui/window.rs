//! The state and the screen together, and the effects that update returns.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use jiff::Timestamp;
use ratatui::crossterm::event::Event;
use ratatui::layout::{Rect, Size};
use reeldeck_common::layout::{self, Layout};
use tokio::sync::mpsc;

use super::app::{App, Dirty, Options};
use super::details::STILL;
use super::keymap::Keymap;
use super::link::LinkRequest;
use super::modal::Modal;
use super::picture::Rgb;
use super::reopening::Reopening;
use super::setup::in_force::{in_force, without};
use super::setup::{Field, blocking};
use super::terminal::Screen;
use super::update::{Effect, LinkEvent, Msg, update};
use super::{attach_command, key_reader, osc, run_end, still, terminal};
use crate::config::edit::{Change, edit};
use crate::config::{Overrides, Settings};
use crate::error::Exit;
use crate::protocol::{Command, holder};
use crate::{discovery, error, launch};

/// Whether the event loop continues.
pub(super) type Flow = ControlFlow<Leave>;

/// How a window ends.
pub(super) enum Leave {
    /// With a text to print after the terminal is restored.
    Quit(Option<String>),
    /// Another window follows, with these settings.
    Reopen(Box<Reopening>),
}

pub(super) struct Window {
    screen: Screen,
    app: App,
    began: Instant,
    settings: Settings,
    typed: Overrides,
    title: String,
    to_link: mpsc::UnboundedSender<LinkRequest>,
    done: mpsc::UnboundedSender<Msg>,
    /// The picture in pixels on the screen, with its area.
    shown: Option<(String, Rect)>,
    still: Option<tokio::task::JoinHandle<()>>,
    /// The engine was running before this window: its welcome is compared with the settings.
    joins: bool,
    /// Another program has the terminal. Nothing is drawn.
    lent: bool,
    /// The percentage in the title.
    percent: Option<u8>,
}

impl Window {
    /// # Errors
    /// When the terminal does not report its size.
    #[expect(clippy::too_many_arguments, reason = "each of them is another thing, and it is called once")]
    pub(super) fn new(
        screen: Screen,
        options: Options,
        keymap: Keymap,
        settings: Settings,
        typed: Overrides,
        title: String,
        to_link: mpsc::UnboundedSender<LinkRequest>,
        done: mpsc::UnboundedSender<Msg>,
    ) -> anyhow::Result<Self> {
        let size = screen.size().context("failed to ask for the terminal's size")?;
        let mut app = App::new(options, keymap, size);
        app.log.file = layout::log_file(&Layout::new(&settings.out, "").private(), &holder::log_name());
        let began = Instant::now();
        Ok(Self {
            screen,
            app,
            began,
            settings,
            typed,
            title,
            to_link,
            done,
            shown: None,
            still: None,
            joins: false,
            lent: false,
            percent: None,
        })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the connection to the terminal is slow.
    pub(super) fn is_slow(&self) -> bool {
        self.app.options.low_bandwidth
    }

    pub(super) fn dirty(&self) -> Dirty {
        self.app.dirty
    }

    /// Draws what has changed.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn draw(&mut self) -> anyhow::Result<()> {
        if self.lent {
            return Ok(());
        }
        self.app.dirty = Dirty::Clean;
        let percent = run_end::title_percent(&self.app);
        if percent != self.percent {
            self.percent = percent;
            self.screen.show_progress(&self.title, percent, self.app.options.progress).context("failed to draw")?;
        }
        if self.app.options.pictures.is_some() {
            self.take_picture_away()?;
        }
        self.screen.draw(&self.app).context("failed to draw")?;
        self.put_picture().context("failed to draw a picture")
    }

    /// The picture in pixels that should be on the screen.
    fn picture(&self) -> Option<(String, Rect, &Rgb)> {
        let Some(Modal::Details(view)) = self.app.modals.last() else { return None };
        let (area, picture) = view.pixels()?;
        Some((view.video().to_owned(), area, picture))
    }

    fn take_picture_away(&mut self) -> anyhow::Result<()> {
        let (Some(protocol), Some((video, area))) = (self.app.options.pictures, self.shown.take()) else {
            return Ok(());
        };
        if self.picture().is_some_and(|(other, place, _)| other == video && place == area) {
            self.shown = Some((video, area));
            return Ok(());
        }
        self.screen.raw(protocol.clear())?;
        // The cells below the picture are no longer what they were.
        self.screen.redraw();
        Ok(())
    }

    fn put_picture(&mut self) -> std::io::Result<()> {
        let (Some(protocol), None) = (self.app.options.pictures, &self.shown) else { return Ok(()) };
        let Some((video, area, picture)) = self.picture() else { return Ok(()) };
        let bytes = protocol.draw(picture, area, self.screen.cell());
        self.screen.raw(&bytes)?;
        self.shown = Some((video, area));
        Ok(())
    }

    /// Updates the state and runs the effects.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn message(&mut self, msg: Msg) -> anyhow::Result<Flow> {
        let mut other = None;
        match &msg {
            Msg::Link(LinkEvent::Connected(welcome)) if std::mem::take(&mut self.joins) => {
                other = self.app.join(welcome, &self.settings, &self.typed);
            }
            Msg::SettingsSaved(_) => self.app.options.configured_out = attach_command::configured_out(),
            _ => {}
        }
        if matches!(msg, Msg::TerminalReturned(_)) {
            self.take_back()?;
        }
        self.app.wall = Timestamp::now();
        let effects = update(&mut self.app, self.began.elapsed(), msg);
        if let Some(text) = other {
            self.app.notice("A run of other settings", text);
        }
        for effect in effects {
            match effect {
                // After the connection is gone, the link reports it.
                Effect::Send(question) => drop(self.to_link.send(LinkRequest::Send(question))),
                Effect::StartEngine => self.launch(),
                Effect::Connect => drop(self.to_link.send(LinkRequest::Connect)),
                Effect::Quit(exit_message) => return Ok(Flow::Break(Leave::Quit(exit_message))),
                Effect::Reopen(new) => return Ok(Flow::Break(Leave::Reopen(new))),
                Effect::Suspend => return self.suspend(),
                Effect::Redraw => self.redraw(),
                Effect::Copy(text) => self.screen.raw(&osc::copy(&text))?,
                Effect::Notify(text) => {
                    let mut bytes = osc::notification(self.app.options.notify, &self.title, &text);
                    bytes.extend(self.app.options.bell.then_some(b'\x07'));
                    self.screen.raw(&bytes)?;
                }
                Effect::KeepTheme(name) => self.keep_theme(name),
                Effect::ShowLog => self.show_log(),
                Effect::ReadSettings => self.read_settings(),
                Effect::Form(effect) => {
                    let done = self.done.clone();
                    tokio::task::spawn_blocking(move || {
                        blocking::run(&effect).map(|answer| done.send(Msg::Form(answer)))
                    });
                }
                Effect::UseSettings(changed) => self.use_settings(changed),
                Effect::Still { video, path } => self.fetch_still(video, path),
            }
        }
        Ok(Flow::Continue(()))
    }

    fn keep_theme(&self, name: &'static str) {
        let (file, done) = (self.settings.config_file.clone(), self.done.clone());
        tokio::task::spawn_blocking(move || {
            let change = Change { section: "tui", key: "theme", value: name.to_owned() };
            let text = match file.as_deref().map(|path| edit(path, &[change])) {
                Some(Ok(())) => format!("theme {name}, written to config.toml"),
                Some(Err(why)) => format!("theme {name}, until you quit: {why}"),
                None => format!("theme {name}, until you quit: there is no config.toml to keep it in"),
            };
            let _ = done.send(Msg::Notify(text));
        });
    }

    /// Reads the settings in force for the form.
    fn read_settings(&self) {
        let (typed, done) = (self.typed.clone(), self.done.clone());
        let recipe = self.settings.recipe_source.clone();
        tokio::task::spawn_blocking(move || {
            let read = std::env::current_dir().map_err(|error| format!("failed to find the current folder: {error}"));
            let read = read
                .and_then(|current| in_force(&typed, &current, &recipe).map_err(|error| error::text_of(&error.into())));
            let _ = done.send(Msg::SettingsRead(read.map(Box::new)));
        });
    }

    /// Reads the configuration again, of which these fields have changed.
    fn use_settings(&self, changed: Vec<Field>) {
        let (typed, done) = (without(self.typed.clone(), &changed), self.done.clone());
        let changed = changed.into_iter().map(Field::label).collect::<Vec<_>>().join(", ");
        tokio::task::spawn_blocking(move || {
            let read = || {
                let settings = Settings::resolve(&typed, &std::env::current_dir()?)?;
                settings.check_folders_or_wait()?;
                anyhow::Ok(settings)
            };
            let saved = read().map(|settings| Box::new(Reopening { settings, typed, changed, then: None }));
            let _ = done.send(Msg::SettingsSaved(saved.map_err(|error| error::text_of(&error))));
        });
    }

    /// Closes the window, but not the terminal. With the engine that it was connected to, if any: its process id.
    pub(super) fn close(self) -> (Screen, Options, Keymap, Option<u32>) {
        let pid = self.app.welcome().map(|welcome| welcome.pid);
        (self.screen, self.app.options, self.app.keymap, pid)
    }

    /// Says which settings are new, and what to do as soon as an engine is ready.
    pub(super) fn begin_with(&mut self, changed: &str, then: Option<Command>) {
        self.app.greeting = Some(format!("new settings in use: {changed}"));
        self.app.when_ready = then;
    }

    pub(super) fn is_lent(&self) -> bool {
        self.lent
    }

    /// Opens the log file in the user's pager or editor, which gets the terminal until it ends. The run's messages are
    /// still received.
    fn show_log(&mut self) {
        let path = self.app.log.file.clone();
        let set = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
        let program = ["PAGER", "VISUAL", "EDITOR"].into_iter().find_map(set).unwrap_or_else(|| "less".into());
        (self.lent, self.percent) = (true, None);
        key_reader::lend(true);
        self.screen.lend();
        // The variables may contain options.
        let shell = format!("{program} \"$1\"");
        let started = tokio::process::Command::new("sh").args(["-c", &shell, "sh"]).arg(path).spawn();
        let done = self.done.clone();
        tokio::spawn(async move {
            let ended = match started {
                Ok(mut child) => child.wait().await,
                Err(error) => Err(error),
            };
            let problem = match ended {
                Ok(status) if status.success() => None,
                Ok(status) => Some(format!("{program}: {status}")),
                Err(error) => Some(format!("failed to start {program}: {error}")),
            };
            let _ = done.send(Msg::TerminalReturned(problem));
        });
    }

    /// The other program has ended.
    fn take_back(&mut self) -> anyhow::Result<()> {
        self.lent = false;
        key_reader::lend(false);
        self.screen.resume(&self.title)?;
        self.redraw();
        Ok(())
    }

    fn redraw(&mut self) {
        self.shown = None;
        self.screen.redraw();
        self.app.touch(Dirty::Now);
    }

    /// Handles an event of the terminal.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn event(&mut self, event: Event) -> anyhow::Result<Flow> {
        match event {
            Event::Key(key) => self.message(Msg::Key(key)),
            Event::Paste(text) => self.message(Msg::Paste(text)),
            Event::Mouse(mouse) => self.message(Msg::Mouse(mouse)),
            // SIGWINCH reports the size.
            Event::Resize(..) | Event::FocusGained | Event::FocusLost => Ok(Flow::Continue(())),
        }
    }

    /// # Errors
    /// When the terminal is gone.
    pub(super) fn resize(&mut self) -> anyhow::Result<Flow> {
        let size = self.screen.size().unwrap_or(Size { width: 80, height: 24 });
        self.shown = None;
        self.message(Msg::Resize(size))
    }

    /// # Errors
    /// When the terminal is gone.
    pub(super) fn suspend(&mut self) -> anyhow::Result<Flow> {
        if terminal::is_session_leader() {
            return self.message(Msg::Notify("cannot suspend: no shell started this program".into()));
        }
        // The other program has restored the terminal for itself.
        if self.lent {
            terminal::stop()?;
            return Ok(Flow::Continue(()));
        }
        self.percent = None;
        self.screen.suspend(&self.title)?;
        self.resize()
    }

    /// # Errors
    /// When the terminal is gone.
    pub(super) fn resume(&mut self) -> anyhow::Result<Flow> {
        if self.lent {
            return Ok(Flow::Continue(()));
        }
        self.percent = None;
        self.screen.resume(&self.title)?;
        self.resize()
    }

    /// Starts an engine.
    pub(super) fn start(&mut self) {
        self.app.engine_starting = true;
        self.launch();
    }

    /// An engine is running: its settings will be compared with ours.
    pub(super) fn join(&mut self) {
        self.joins = true;
    }

    fn launch(&self) {
        let (settings, typed, done) = (self.settings.clone(), self.typed.clone(), self.done.clone());
        tokio::task::spawn_blocking(move || {
            let step = |line: &str| drop(done.send(Msg::EngineStarting(line.to_owned())));
            let started = match launch::start_waiting(&settings, &typed, &step) {
                // Somebody else uses the output folder: the link finds out who.
                Err(error) if error::exit_of(&error) == Exit::Locked => Ok(()),
                started => started.map(drop),
            };
            let _ = done.send(Msg::EngineStarted(started.map_err(|error| error::text_of(&error))));
        });
    }

    /// Fetches a still and cancels the previous request, which is no longer needed.
    fn fetch_still(&mut self, video: String, path: PathBuf) {
        if let Some(before) = self.still.take() {
            before.abort();
        }
        let done = self.done.clone();
        self.still = Some(tokio::spawn(async move {
            let fetched = match discovery::probe() {
                Ok(probe) => still::still(&probe, &path, STILL, still::TIMEOUT).await.map_err(|e| e.to_string()),
                Err(error) => Err(format!("{error:#}")),
            };
            let _ = done.send(Msg::Still { video, still: fetched });
        }));
    }
}
