//! The event loop: keys, the engine's words, signals and time become messages; what follows from them is done here or handed
//! to a task. Nothing in it waits for the engine.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::tz::TimeZone;
use ratatui::crossterm::event::{self, Event};
use ratatui::layout::Size;
use reeldeck_contract::layout::Layout;
use rustix::event::{PollFd, PollFlags, poll};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::app::{App, Choices, Dirty};
use super::keymap::Keymap;
use super::link::{self, ToLink};
use super::terminal::Screen;
use super::theme::Theme;
use super::update::{Effect, FromLink, Msg, update};
use super::{osc, report};
use crate::batch;
use crate::cli::{Global, TuiArgs};
use crate::client;
use crate::config::{Settings, TuiSection};
use crate::error::{self, Exit, Stop};
use crate::outln;

/// New data is drawn at most so often.
const DATA: Duration = Duration::from_millis(250);

/// The same where bytes are dear.
const SLOW_DATA: Duration = Duration::from_secs(1);

/// Messages that are taken in before the screen is drawn, at most.
const AT_ONCE: usize = 256;

/// A test sets it, to see what happens when the program breaks.
const BREAK: &str = "REELDECK_BREAK_SCREEN";

/// Opens the terminal interface. `start`: where no engine holds the output folder, one is started.
///
/// # Errors
/// Before it opens: settings that make no sense. After: a terminal that cannot be drawn on.
pub fn run_tui(settings: Settings, typed: &Global, args: &TuiArgs, start: bool) -> anyhow::Result<Exit> {
    let (choices, keymap) = choices(&settings.tui, args).map_err(|message| Stop::new(Exit::Usage, message))?;
    settings.check_folders()?;
    report::catch(Layout::new(&settings.out, "").private());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")?;
    let farewell = runtime.block_on(go(settings, typed.clone(), choices, keymap, start));
    // A thread that still waits for an engine to begin must not keep us.
    runtime.shutdown_background();
    if let Some(text) = farewell? {
        outln!("{text}");
    }
    Ok(Exit::Done)
}

fn choices(section: &TuiSection, args: &TuiArgs) -> Result<(Choices, Keymap), String> {
    let name = args.theme.as_deref().unwrap_or(&section.theme);
    let theme = Theme::named(name).ok_or_else(|| {
        let names: Vec<&str> = Theme::names().collect();
        format!("no theme `{name}`; there are {}", names.join(", "))
    })?;
    let theme = theme.with_ascii(args.ascii || section.ascii).fit(|name| std::env::var(name).ok());
    let choices = Choices {
        theme,
        mouse: args.mouse || section.mouse,
        low_bandwidth: args.low_bandwidth || section.low_bandwidth,
        zone: TimeZone::system(),
    };
    Ok((choices, Keymap::new(&section.keys)?))
}

/// Signals that mean something to a window.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    resize: Signal,
    stop: Signal,
    resume: Signal,
}

/// What a signal asks for.
enum Asked {
    Leave,
    Resize,
    Stop,
    Resume,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            resize: signal(SignalKind::window_change())?,
            stop: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            resume: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Leave,
            _ = self.terminate.recv() => Asked::Leave,
            _ = self.interrupt.recv() => Asked::Leave,
            _ = self.resize.recv() => Asked::Resize,
            _ = self.stop.recv() => Asked::Stop,
            _ = self.resume.recv() => Asked::Resume,
        }
    }
}

/// What tasks and the loop have in common.
struct Window {
    screen: Screen,
    app: App,
    began: Instant,
    settings: Settings,
    typed: Global,
    title: String,
    to_link: mpsc::UnboundedSender<ToLink>,
    launched: mpsc::UnboundedSender<Result<(), String>>,
}

/// How it goes on.
enum Next {
    On,
    Leave(Option<String>),
}

async fn go(
    settings: Settings,
    typed: Global,
    choices: Choices,
    keymap: Keymap,
    start: bool,
) -> anyhow::Result<Option<String>> {
    let began = Instant::now();
    let mut signals = Signals::catch().context("failed to catch signals")?;
    let dataset = settings.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let title = format!("reeldeck {}", super::text::harmless(&dataset));
    let screen = Screen::open(choices.mouse, &title).context("failed to take the terminal over")?;
    let size = screen.size().context("failed to ask for the terminal's size")?;
    let every = if choices.low_bandwidth { SLOW_DATA } else { DATA };
    let (to_link, told) = mpsc::unbounded_channel();
    let (said, mut hears) = mpsc::channel::<FromLink>(AT_ONCE);
    let (launched, mut launches) = mpsc::unbounded_channel();
    let app = App::new(choices, keymap, size);
    let mut window = Window { screen, app, began, settings, typed, title, to_link, launched };
    window.screen.draw(&window.app).context("failed to draw")?;
    window.app.dirty = Dirty::Clean;
    let mut keys = read_keys().context("failed to read keys")?;
    if start && client::runs(&window.settings.out).map_or(true, |runs| runs.is_empty()) {
        window.app.begin();
        window.launch();
    }
    tokio::spawn(link::keep(window.settings.clone(), told, said));
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut ticked = false;
        let next = tokio::select! {
            biased;
            asked = signals.next() => match asked {
                Asked::Leave => return Ok(None),
                Asked::Resize => window.resize()?,
                Asked::Stop => window.suspend()?,
                Asked::Resume => window.resume()?,
            },
            key = keys.recv() => match key {
                Some(event) => {
                    let mut next = window.event(event)?;
                    for _ in 0..AT_ONCE {
                        let (Next::On, Ok(event)) = (&next, keys.try_recv()) else { break };
                        next = window.event(event)?;
                    }
                    next
                }
                // The terminal has hung up. The run goes on.
                None => return Ok(None),
            },
            Some(from) = hears.recv() => {
                let mut next = window.message(Msg::Link(from))?;
                for _ in 0..AT_ONCE {
                    let (Next::On, Ok(from)) = (&next, hears.try_recv()) else { break };
                    next = window.message(Msg::Link(from))?;
                }
                next
            }
            Some(result) = launches.recv() => window.launched(result)?,
            _ = tick.tick() => {
                ticked = true;
                window.message(Msg::Tick)?
            }
        };
        if let Next::Leave(farewell) = next {
            // The last order is on its way; nobody waits for its answer.
            drop(window.to_link);
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Ok(farewell);
        }
        let due = match window.app.dirty {
            Dirty::Now => true,
            Dirty::Soon => ticked,
            Dirty::Clean => false,
        };
        if due {
            window.app.dirty = Dirty::Clean;
            window.screen.draw(&window.app).context("failed to draw")?;
        }
        if ticked && std::env::var_os(BREAK).is_some() {
            panic!("{BREAK} is set");
        }
    }
}

impl Window {
    fn message(&mut self, msg: Msg) -> anyhow::Result<Next> {
        let effects = update(&mut self.app, self.began.elapsed(), msg);
        for effect in effects {
            match effect {
                // Where nobody listens any more, the link says so itself.
                Effect::Send(question) => drop(self.to_link.send(ToLink::Say(question))),
                Effect::Launch => self.launch(),
                Effect::Quit(farewell) => return Ok(Next::Leave(farewell)),
                Effect::Suspend => return self.suspend(),
                Effect::Redraw => {
                    self.screen.redraw()?;
                    self.app.touch(Dirty::Now);
                }
                Effect::Copy(text) => self.screen.raw(&osc::copy(&text))?,
            }
        }
        Ok(Next::On)
    }

    fn event(&mut self, event: Event) -> anyhow::Result<Next> {
        match event {
            Event::Key(key) => self.message(Msg::Key(key)),
            Event::Paste(text) => self.message(Msg::Paste(text)),
            Event::Mouse(mouse) => self.message(Msg::Mouse(mouse)),
            // The signal has said so.
            Event::Resize(..) | Event::FocusGained | Event::FocusLost => Ok(Next::On),
        }
    }

    fn resize(&mut self) -> anyhow::Result<Next> {
        let size = self.screen.size().unwrap_or(Size { width: 80, height: 24 });
        self.message(Msg::Resize(size))
    }

    fn suspend(&mut self) -> anyhow::Result<Next> {
        // A session's first process has no shell to go back to: it would sleep for ever.
        if rustix::process::getsid(None).is_ok_and(|leader| leader == rustix::process::getpid()) {
            return self.message(Msg::Said("there is no shell to go back to".into()));
        }
        self.screen.suspend(&self.title)?;
        self.resize()
    }

    fn resume(&mut self) -> anyhow::Result<Next> {
        self.screen.resume(&self.title)?;
        self.resize()
    }

    fn launch(&self) {
        let (settings, typed, launched) = (self.settings.clone(), self.typed.clone(), self.launched.clone());
        tokio::task::spawn_blocking(move || {
            let result = batch::detach_waiting(&settings, &typed).map(drop).map_err(|error| error::text_of(&error));
            let _ = launched.send(result);
        });
    }

    fn launched(&mut self, result: Result<(), String>) -> anyhow::Result<Next> {
        if result.is_ok() {
            let _ = self.to_link.send(ToLink::Look);
        }
        self.message(Msg::Launched(result))
    }
}

/// Reads the terminal on a thread of its own, which ends when it hangs up: crossterm alone would spin or wait for ever.
fn read_keys() -> io::Result<mpsc::Receiver<Event>> {
    let (sender, receiver) = mpsc::channel(AT_ONCE);
    let sender = Arc::new(sender);
    std::thread::Builder::new().name("keys".into()).spawn(move || {
        let stdin = rustix::stdio::stdin();
        loop {
            let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut polled, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
            }
            let seen = polled[0].revents();
            if seen.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                return;
            }
            while matches!(event::poll(Duration::ZERO), Ok(true)) {
                let Ok(event) = event::read() else { return };
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
        }
    })?;
    Ok(receiver)
}
