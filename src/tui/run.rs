//! The way in, and the event loop: keys, the engine's words, signals and time become messages. Nothing in it waits for the
//! engine, or for anything else that may take long.

use std::time::Duration;

use anyhow::Context;
use jiff::tz::TimeZone;
use reeldeck_common::layout::Layout;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::app::{Choices, Dirty};
use super::first_run;
use super::keymap::Keymap;
use super::link;
use super::picture::Depth;
use super::picture::graphics::Protocol;
use super::signals::{Asked, Signals};
use super::terminal::Screen;
use super::text;
use super::theme::Theme;
use super::update::{FromLink, Msg};
use super::window::{Next, Window};
use super::{reader, report};
use crate::cli::{Global, TuiArgs};
use crate::client;
use crate::config::{Settings, TuiSection};
use crate::error::{Exit, Stop};
use crate::outln;

/// New data is drawn at most so often.
const DATA: Duration = Duration::from_millis(250);

/// The same where bytes are dear.
const SLOW_DATA: Duration = Duration::from_secs(1);

/// Messages that are taken in before the screen is drawn, at most.
const AT_ONCE: usize = 256;

/// A test sets it, to see what happens when the program breaks.
const BREAK: &str = "REELDECK_BREAK_SCREEN";

/// Opens the terminal interface: on the engine that holds the output folder, on one that it starts, and on a first start
/// after a form has been filled in.
///
/// # Errors
/// Before it opens: settings that make no sense. After: a terminal that cannot be drawn on.
pub fn open(typed: &Global, args: &TuiArgs) -> anyhow::Result<Exit> {
    let current = std::env::current_dir().context("failed to find the current folder")?;
    if first_run::is_first(typed, &current) {
        let (choices, keymap) = choices(&TuiSection::default(), args)?;
        return run(|mut signals| async move {
            report::catch(std::env::temp_dir());
            let mut screen = Screen::open(choices.mouse, "reeldeck")?;
            let mut keys = reader::read()?;
            if !first_run::fill_in(&mut screen, &mut keys, &mut signals, &choices, &keymap, typed, &current).await? {
                return Ok(None);
            }
            let settings = Settings::resolve(typed, &current)?;
            settings.check_folders()?;
            report::catch(Layout::new(&settings.out, "").private());
            go(Parts { screen, keys, signals }, settings, typed.clone(), choices, keymap, true).await
        });
    }
    let settings = Settings::resolve(typed, &current)?;
    settings.check_folders()?;
    on(settings, typed, args, true)
}

/// Opens the terminal interface on an engine that is there.
///
/// # Errors
/// As [`open`].
pub fn attach(settings: Settings, typed: &Global, args: &TuiArgs) -> anyhow::Result<Exit> {
    on(settings, typed, args, false)
}

fn on(settings: Settings, typed: &Global, args: &TuiArgs, start: bool) -> anyhow::Result<Exit> {
    let (choices, keymap) = choices(&settings.tui, args)?;
    report::catch(Layout::new(&settings.out, "").private());
    run(|signals| async move {
        let title = title(&settings);
        let screen = Screen::open(choices.mouse, &title).context("failed to take the terminal over")?;
        let keys = reader::read().context("failed to read keys")?;
        go(Parts { screen, keys, signals }, settings, typed.clone(), choices, keymap, start).await
    })
}

fn run<F>(window: impl FnOnce(Signals) -> F) -> anyhow::Result<Exit>
where
    F: Future<Output = anyhow::Result<Option<String>>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")?;
    let farewell = runtime.block_on(async {
        let signals = Signals::catch().context("failed to catch signals")?;
        window(signals).await
    });
    // A thread that still waits for an engine to begin must not keep us.
    runtime.shutdown_background();
    if let Some(text) = farewell? {
        outln!("{text}");
    }
    Ok(Exit::Done)
}

fn title(settings: &Settings) -> String {
    let dataset = settings.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("reeldeck {}", text::harmless(&dataset))
}

fn choices(section: &TuiSection, args: &TuiArgs) -> anyhow::Result<(Choices, Keymap)> {
    let bad = |message: String| Stop::new(Exit::Usage, message);
    let name = args.theme.as_deref().unwrap_or(&section.theme);
    let theme = Theme::named(name).ok_or_else(|| {
        let names: Vec<&str> = Theme::names().collect();
        bad(format!("no theme `{name}`; there are {}", names.join(", ")))
    })?;
    let variable = |name: &str| std::env::var(name).ok();
    let theme = theme.with_ascii(args.ascii || section.ascii).fit(variable);
    let choices = Choices {
        theme,
        mouse: args.mouse || section.mouse,
        low_bandwidth: args.low_bandwidth || section.low_bandwidth,
        zone: TimeZone::system(),
        depth: Depth::of(&theme, variable),
        pictures: Protocol::of(section.pictures, variable).filter(|_| !theme.is_ascii()),
    };
    Ok((choices, Keymap::new(&section.keys).map_err(bad)?))
}

/// What a window is made of.
struct Parts {
    screen: Screen,
    keys: mpsc::Receiver<ratatui::crossterm::event::Event>,
    signals: Signals,
}

async fn go(
    parts: Parts,
    settings: Settings,
    typed: Global,
    choices: Choices,
    keymap: Keymap,
    start: bool,
) -> anyhow::Result<Option<String>> {
    let Parts { screen, mut keys, mut signals } = parts;
    let every = if choices.low_bandwidth { SLOW_DATA } else { DATA };
    let (to_link, told) = mpsc::unbounded_channel();
    let (said, mut hears) = mpsc::channel::<FromLink>(AT_ONCE);
    let (done, mut comes) = mpsc::unbounded_channel();
    let title = title(&settings);
    let mut window = Window::new(screen, choices, keymap, settings, typed, title, to_link, done)?;
    window.draw()?;
    if start {
        match client::runs(&window.settings().out) {
            Ok(runs) if !runs.is_empty() => window.join(),
            _ => window.start(),
        }
    }
    tokio::spawn(link::keep(window.settings().clone(), told, said));
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let breaks = std::env::var_os(BREAK).is_some();
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
            Some(msg) = comes.recv() => window.message(msg)?,
            _ = tick.tick() => {
                ticked = true;
                window.message(Msg::Tick)?
            }
        };
        if let Next::Leave(farewell) = next {
            drop(window);
            // The last order is on its way; nobody waits for its answer.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Ok(farewell);
        }
        let due = match window.dirty() {
            Dirty::Now => true,
            Dirty::Soon => ticked,
            Dirty::Clean => false,
        };
        if due {
            window.draw()?;
        }
        assert!(!(ticked && breaks), "{BREAK} is set");
    }
}
