//! The state and the screen together, and the effects that update returns.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::Context;
use ratatui::crossterm::event::Event;
use ratatui::layout::{Rect, Size};
use reeldeck_common::clock;
use reeldeck_common::layout::{self, Layout};
use tokio::sync::mpsc;

use super::app::{App, Dirty, Options};
use super::keymap::Keymap;
use super::link::LinkRequest;
use super::reopening::Reopening;
use super::setup::blocking;
use super::terminal::Screen;
use super::update::{Effect, LinkEvent, Msg, update};
use super::{attach_command, osc, run_end, terminal};
use crate::config::{Overrides, Settings};
use crate::protocol::{Command, holder};

mod pager;
mod pictures;
mod settings;

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
    /// The feature set for which the window has looked for features of others.
    looked_for_features: Option<String>,
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
            looked_for_features: None,
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
            Msg::Link(LinkEvent::Connected(welcome)) => self.look_for_other_features(welcome.out.clone(), &welcome.set),
            Msg::SettingsSaved(_) => self.app.options.configured_out = attach_command::configured_out(),
            _ => {}
        }
        if matches!(msg, Msg::TerminalReturned(_)) {
            self.take_back()?;
        }
        self.app.wall = clock::now();
        let effects = update(&mut self.app, self.began.elapsed(), msg);
        if let Some(text) = other {
            self.app.notice("The run has other settings", text);
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
                Effect::UseWeights(checkpoint) => self.use_weights(checkpoint),
                Effect::Still { video, path } => self.fetch_still(video, path),
            }
        }
        Ok(Flow::Continue(()))
    }

    /// Closes the window, but not the terminal. With the engine that it was connected to, if any: its process id.
    pub(super) fn close(self) -> (Screen, Options, Keymap, Option<u32>) {
        let pid = self.app.welcome().map(|welcome| welcome.pid);
        (self.screen, self.app.options, self.app.keymap, pid)
    }

    /// Says which settings are new, and what to do as soon as an engine is ready.
    pub(super) fn begin_with(&mut self, changed: &str, then: Vec<Command>) {
        self.app.greeting = Some(match changed {
            "" => "config.toml was read again".to_owned(),
            changed => format!("new settings in use: {changed}"),
        });
        self.app.when_ready = then;
    }

    pub(super) fn is_lent(&self) -> bool {
        self.lent
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
}
