//! The entry points and the event loop. Keys, messages from the engine, signals and ticks become [`Msg`]s. Nothing in
//! the loop blocks.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use jiff::tz::TimeZone;
use reeldeck_common::layout::Layout;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::app::{Dirty, Options};
use super::attach_command;
use super::first_run;
use super::keymap::{Context as KeyContext, Keymap};
use super::link::{self, LinkRequest};
use super::osc;
use super::picture::Depth;
use super::picture::graphics::GraphicsProtocol;
use super::terminal::Screen;
use super::text;
use super::theme::Theme;
use super::update::{LinkEvent, Msg};
use super::window::{Flow, Leave, Window};
use super::{key_reader, panic_report};
use crate::cli::TuiArgs;
use crate::client::{self, overview};
use crate::config::{Overrides, Progress, Settings, THEMES, TuiSection};
use crate::dataset::shown;
use crate::error::{Exit, ExitError};
use crate::out::outln;
use crate::protocol::Command;
use crate::protocol::holder::{self, Holder};
use crate::runtime;
use crate::signals::{WindowSignal, WindowSignals};

/// New data is drawn at most this often.
const FRAME_INTERVAL: Duration = Duration::from_millis(250);

/// The same with `--low-bandwidth`.
const SLOW_FRAME_INTERVAL: Duration = Duration::from_secs(1);

/// How often the files of the other engines are read.
const LOOK: Duration = Duration::from_secs(2);

/// The number of events of one source that are processed before the screen is drawn.
const MAX_EVENTS_PER_FRAME: usize = 256;

/// Tests set it to make the interface panic.
const PANIC_VARIABLE: &str = "REELDECK_BREAK_SCREEN";

/// Opens the terminal interface. It connects to the engine that holds the output folder or starts one. Without a
/// configuration it shows the setup form first.
///
/// # Errors
/// When the settings are invalid or the terminal cannot be used.
pub(crate) fn open(typed: &Overrides, args: &TuiArgs) -> anyhow::Result<Exit> {
    let current = std::env::current_dir().context("failed to find the current folder")?;
    if first_run::is_first(typed, &current) {
        let (options, keymap) = options(&TuiSection::default(), args)?;
        return run(|mut signals| async move {
            panic_report::install(reeldeck_common::machine::temporary_folder());
            let mut screen = Screen::open(options.mouse, "reeldeck")?;
            let mut keys = key_reader::spawn()?;
            if !first_run::run_form(&mut screen, &mut keys, &mut signals, &options, &keymap, typed, &current).await? {
                return Ok(Some("nothing was saved".into()));
            }
            let settings = Settings::resolve(typed, &current)?;
            settings.check_folders_or_wait()?;
            panic_report::install(Layout::new(&settings.out, "").private());
            windows(Parts { screen, keys, signals }, settings, typed.clone(), options, keymap, true).await
        });
    }
    let settings = Settings::resolve(typed, &current)?;
    settings.check_folders_or_wait()?;
    open_on(settings, typed, args, true)
}

/// Opens the terminal interface on a running engine.
///
/// # Errors
/// As [`open`].
pub(crate) fn attach(settings: Settings, typed: &Overrides, args: &TuiArgs) -> anyhow::Result<Exit> {
    open_on(settings, typed, args, false)
}

fn open_on(settings: Settings, typed: &Overrides, args: &TuiArgs, start: bool) -> anyhow::Result<Exit> {
    let (options, keymap) = options(&settings.tui, args)?;
    panic_report::install(Layout::new(&settings.out, "").private());
    run(|signals| async move {
        let title = title(&settings);
        let screen = Screen::open(options.mouse, &title).context("failed to take the terminal over")?;
        let keys = key_reader::spawn().context("failed to read keys")?;
        windows(Parts { screen, keys, signals }, settings, typed.clone(), options, keymap, start).await
    })
}

fn run<F>(window: impl FnOnce(WindowSignals) -> F) -> anyhow::Result<Exit>
where
    F: Future<Output = anyhow::Result<Option<String>>>,
{
    let runtime = runtime::start().context("failed to start")?;
    let exit_message = runtime.block_on(async {
        let signals = WindowSignals::catch().context("failed to catch signals")?;
        window(signals).await
    });
    // A thread that is still starting an engine must not delay the exit.
    runtime.shutdown_background();
    if let Some(text) = exit_message? {
        outln!("{text}");
    }
    Ok(Exit::Done)
}

fn title(settings: &Settings) -> String {
    let dataset = settings.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("reeldeck {}", text::sanitized(&dataset))
}

/// Checks the settings of the interface, which other commands do not use: a wrong file is an error everywhere.
///
/// # Errors
/// When an action or a key does not exist, or when a key would have two meanings.
pub(crate) fn check(settings: &Settings) -> Result<(), ExitError> {
    let file = settings.config_file.as_deref().map_or(String::new(), |file| format!("{}: ", shown(file)));
    Keymap::new(&settings.tui.keys).map(drop).map_err(|error| ExitError::new(Exit::Usage, format!("{file}{error}")))
}

/// Prints the default keys, what they do, and the names of the actions for `[tui.keys]`.
pub(crate) fn list_keys() {
    let keymap = Keymap::default();
    for context in KeyContext::ALL {
        outln!("{}:", context.title());
        for (line, keys) in keymap.bindings().filter(|(line, _)| line.context == context) {
            let keys = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            outln!("  {:<17} {keys:<18} {}", line.action.name(), line.long);
        }
    }
}

fn options(section: &TuiSection, args: &TuiArgs) -> anyhow::Result<(Options, Keymap)> {
    let bad = |message: String| ExitError::new(Exit::Usage, message);
    let name = args.theme.as_deref().unwrap_or(&section.theme);
    let theme = Theme::named(name)
        .ok_or_else(|| bad(format!("unknown theme `{name}`; choose one of {}", THEMES.join(", "))))?;
    let variable = |name: &str| std::env::var(name).ok();
    let theme = theme.with_ascii(args.ascii || section.ascii).adapted(variable);
    let progress = match section.progress {
        Progress::Auto => None,
        chosen => Some(chosen == Progress::On),
    };
    let options = Options {
        theme,
        mouse: args.mouse || section.mouse,
        low_bandwidth: args.low_bandwidth || section.low_bandwidth,
        zone: TimeZone::system(),
        depth: Depth::of(&theme, variable),
        notify: osc::notification_of(section.notify, variable),
        bell: section.bell,
        progress: osc::shows_progress(progress, variable),
        host: holder::host(),
        program: attach_command::program(),
        configured_out: attach_command::configured_out(),
        pictures: GraphicsProtocol::detect(section.pictures, variable).filter(|_| !theme.is_ascii()),
    };
    Ok((options, Keymap::new(&section.keys).map_err(bad)?))
}

struct Parts {
    screen: Screen,
    keys: mpsc::Receiver<ratatui::crossterm::event::Event>,
    signals: WindowSignals,
}

/// How long the next window waits for the engine of the previous one to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a window, and another one whenever it is closed for new settings. Returns a text to print at the end.
async fn windows(
    parts: Parts,
    mut settings: Settings,
    mut typed: Overrides,
    mut options: Options,
    mut keymap: Keymap,
    mut start: bool,
) -> anyhow::Result<Option<String>> {
    let Parts { mut screen, mut keys, mut signals } = parts;
    let mut new: Option<(String, Vec<Command>)> = None;
    loop {
        let (to_link, requests) = mpsc::unbounded_channel();
        let (sender, results) = mpsc::unbounded_channel();
        let (title, out) = (title(&settings), settings.out.clone());
        let mut window = Window::new(screen, options, keymap, settings, typed, title, to_link, sender.clone())?;
        if let Some((changed, then)) = new {
            window.begin_with(&changed, then);
        }
        let channels = Channels { keys: &mut keys, signals: &mut signals, requests, sender, results };
        let reopening = match event_loop(&mut window, channels, start).await? {
            Leave::Quit(exit_message) => {
                drop(window);
                // Lets the link send the last command. Its answer is not awaited.
                tokio::time::sleep(Duration::from_millis(20)).await;
                return Ok(exit_message);
            }
            Leave::Reopen(reopening) => *reopening,
        };
        let pid;
        (screen, options, keymap, pid) = window.close();
        if let Some(pid) = pid {
            exited(out, pid).await;
        }
        panic_report::install(Layout::new(&reopening.settings.out, "").private());
        (settings, typed, start) = (reopening.settings, reopening.typed, true);
        new = Some((reopening.changed, reopening.then));
    }
}

/// Waits until an engine has left the output folder, but not for ever.
async fn exited(out: PathBuf, pid: u32) {
    let has_left = move || {
        let here = |holder: &Holder| holder.pid == pid && holder.is_here();
        client::runs(&out).is_ok_and(|runs| !runs.iter().any(here))
    };
    let look = async {
        while !tokio::task::spawn_blocking(has_left.clone()).await.unwrap_or(true) {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    // The next window attaches to an engine that stays.
    let _ = tokio::time::timeout(EXIT_TIMEOUT, look).await;
}

/// What a window listens to.
struct Channels<'a> {
    keys: &'a mut mpsc::Receiver<ratatui::crossterm::event::Event>,
    signals: &'a mut WindowSignals,
    requests: mpsc::UnboundedReceiver<LinkRequest>,
    sender: mpsc::UnboundedSender<Msg>,
    results: mpsc::UnboundedReceiver<Msg>,
}

/// Handles an event and those that wait behind it, up to the one that closes the window: the rest is for the next window.
fn all_at_hand<T>(
    first: T,
    more: &mut mpsc::Receiver<T>,
    mut handle: impl FnMut(T) -> anyhow::Result<Flow>,
) -> anyhow::Result<Flow> {
    let mut next = handle(first)?;
    for _ in 0..MAX_EVENTS_PER_FRAME {
        if next.is_break() {
            break;
        }
        let Ok(event) = more.try_recv() else { break };
        next = handle(event)?;
    }
    Ok(next)
}

async fn event_loop(window: &mut Window, channels: Channels<'_>, start: bool) -> anyhow::Result<Leave> {
    let Channels { keys, signals, requests, sender, mut results } = channels;
    let every = if window.is_slow() { SLOW_FRAME_INTERVAL } else { FRAME_INTERVAL };
    let (events, mut incoming) = mpsc::channel::<LinkEvent>(MAX_EVENTS_PER_FRAME);
    let out = window.settings().out.clone();
    overview::follow(&out, LOOK, move |overview| sender.send(Msg::Engines(overview)).is_ok())
        .context("failed to follow the other engines")?;
    window.draw()?;
    if start {
        match client::runs(&window.settings().out) {
            Ok(runs) if runs.iter().any(|run| run.host == holder::host()) => window.join(),
            // Engines on other hosts are followed through their files; the table of videos needs an engine here.
            _ => window.start(),
        }
    } else {
        window.join();
    }
    tokio::spawn(link::run(window.settings().clone(), requests, events));
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let breaks = std::env::var_os(PANIC_VARIABLE).is_some();
    loop {
        let mut ticked = false;
        let next = tokio::select! {
            biased;
            signal = signals.next() => match signal {
                // It is meant for the program that has the terminal.
                WindowSignal::Interrupt if window.is_lent() => Flow::Continue(()),
                WindowSignal::Quit | WindowSignal::Interrupt => return Ok(Leave::Quit(None)),
                WindowSignal::Resize => window.resize()?,
                WindowSignal::Suspend => window.suspend()?,
                WindowSignal::Resume => window.resume()?,
            },
            key = keys.recv() => match key {
                Some(event) => all_at_hand(event, keys, |event| window.event(event))?,
                // The terminal has hung up. The run continues.
                None => return Ok(Leave::Quit(None)),
            },
            Some(from) = incoming.recv() => all_at_hand(from, &mut incoming, |from| window.message(Msg::Link(from)))?,
            Some(msg) = results.recv() => window.message(msg)?,
            _ = tick.tick() => {
                ticked = true;
                window.message(Msg::Tick)?
            }
        };
        if let Flow::Break(leave) = next {
            return Ok(leave);
        }
        let due = match window.dirty() {
            Dirty::Now => true,
            Dirty::Soon => ticked,
            Dirty::Clean => false,
        };
        if due {
            window.draw()?;
        }
        assert!(!(ticked && breaks), "{PANIC_VARIABLE} is set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_behind_the_one_that_closes_a_window_are_for_the_next_one() {
        let (sender, mut keys) = mpsc::channel(3);
        for key in [2, 3] {
            sender.try_send(key).unwrap();
        }
        let mut seen = vec![];
        let next = all_at_hand(1, &mut keys, |key| {
            seen.push(key);
            Ok(if key == 2 { Flow::Break(Leave::Quit(None)) } else { Flow::Continue(()) })
        });
        assert!(next.unwrap().is_break());
        assert_eq!((seen.as_slice(), keys.try_recv()), ([1, 2].as_slice(), Ok(3)));
    }
}
