//! `reeldeck attach`: follows a run in lines of text. Leaving does not end the run.

use std::io;
use std::sync::Arc;

use super::run_progress::RunProgress;
use crate::client::Client;
use crate::config::{Settings, Verbosity};
use crate::engine::publish::RunObserver;
use crate::error::{Exit, ExitError};
use crate::out::{self, errln};
use crate::protocol::FromEngine;
use crate::protocol::event::Event;

/// Prints progress until the run ends, the user leaves, or the reader of the output is gone. Returns the exit of the run.
///
/// # Errors
/// When there is no run, and when the connection breaks.
pub(crate) fn run_attach(settings: &Settings) -> anyhow::Result<Exit> {
    let mut client = Client::find(settings).map_err(ExitError::from)?;
    let welcome = client.welcome();
    if settings.verbosity > Verbosity::Quiet {
        let (pid, set) = (welcome.pid, &welcome.set);
        errln!("following process {pid}, features {set}; Ctrl-C leaves it running, `reeldeck stop` ends it");
    }
    let mut progress = RunProgress::new(settings.verbosity, settings.plain_interval);
    let snapshot = client.snapshot()?;
    progress.begin_at(&snapshot);
    client.subscribe()?;
    let mut exit = snapshot.ended;
    while exit.is_none() {
        // The reader, such as `head`, has closed the pipe.
        let is_read = if settings.json { out::is_read(io::stdout()) } else { out::is_read(io::stderr()) };
        if !is_read {
            return Ok(Exit::Done);
        }
        match client.follow() {
            Ok(FromEngine::Event { line }) => {
                if let Event::RunEnded { exit: code, .. } = &line.event {
                    exit = Some(*code);
                }
                let text: Arc<str> = line.text().into();
                if settings.json {
                    out::raw(text.as_bytes());
                }
                progress.event(&line, &text);
            }
            // The event `run-ended` may have been missed.
            Ok(FromEngine::Snapshot { snapshot, .. }) => {
                progress.snapshot(&snapshot);
                exit = snapshot.ended;
            }
            // Missed events are in the log, and the next snapshot has the current state.
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    progress.finish();
    Ok(exit.and_then(|code| Exit::of_code(code.into())).unwrap_or(Exit::Internal))
}
