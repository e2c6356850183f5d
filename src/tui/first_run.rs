//! The first start: shows the setup form.

use std::path::Path;

use ratatui::crossterm::event::Event;
use tokio::sync::mpsc;

use super::app::Options;
use super::keymap::Keymap;
use super::setup::{self, Effect, Setup, Values, blocking};
use super::terminal::{Screen, is_session_leader};
use crate::config::{self, Config, Overrides};
use crate::discovery::gpus;
use crate::signals::{WindowSignal, WindowSignals};

/// There is no configuration, and no command-line option that replaces it.
pub(super) fn is_first(typed: &Overrides, current: &Path) -> bool {
    typed.config.is_none() && typed.checkpoint.is_none() && current.join(config::FILE).symlink_metadata().is_err()
}

/// Shows the form until the configuration is written. Returns false if the user leaves without one.
///
/// # Errors
/// When the terminal is gone.
pub(super) async fn run_form(
    screen: &mut Screen,
    keys: &mut mpsc::Receiver<Event>,
    signals: &mut WindowSignals,
    options: &Options,
    keymap: &Keymap,
    typed: &Overrides,
    current: &Path,
) -> anyhow::Result<bool> {
    let home = setup::home();
    let recipe = typed.recipe.clone().unwrap_or_else(|| Config::default().recipe);
    let suggested = setup::suggested(current, &recipe, gpus::may_exist());
    let values = Values {
        root: text_of(typed.root.as_deref(), suggested.root),
        out: text_of(typed.out.as_deref(), suggested.out),
        manifest: text_of(typed.manifest.as_deref(), suggested.manifest),
        devices: typed.devices.clone().unwrap_or(suggested.devices),
        layout: suggested.layout,
        ..suggested
    };
    let (mut form, mut effects) = Setup::new(keymap.clone(), current.to_owned(), home, values);
    let (sender, mut events) = mpsc::unbounded_channel();
    loop {
        for effect in std::mem::take(&mut effects) {
            match effect {
                Effect::Done(_) => return Ok(true),
                Effect::Suspend => suspend(screen)?,
                Effect::Quit => return Ok(false),
                effect => {
                    let sender = sender.clone();
                    tokio::task::spawn_blocking(move || blocking::run(&effect).map(|answer| sender.send(answer)));
                }
            }
        }
        screen.paint(&options.theme, |area, buffer| form.draw(&options.theme, false, area, buffer))?;
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                WindowSignal::Quit | WindowSignal::Interrupt => return Ok(false),
                WindowSignal::Resize => {}
                WindowSignal::Suspend => suspend(screen)?,
                WindowSignal::Resume => screen.resume("reeldeck")?,
            },
            event = keys.recv() => match event {
                Some(Event::Key(key)) => effects = form.key(key),
                Some(Event::Paste(text)) => effects = form.paste(&text),
                Some(_) => {}
                None => return Ok(false),
            },
            Some(answer) = events.recv() => effects = form.answer(answer),
        }
    }
}

/// The path from the command line if it is valid UTF-8, else the suggestion.
fn text_of(typed: Option<&Path>, suggested: String) -> String {
    typed.and_then(Path::to_str).map_or(suggested, str::to_owned)
}

fn suspend(screen: &mut Screen) -> std::io::Result<()> {
    if is_session_leader() { Ok(()) } else { screen.suspend("reeldeck") }
}
