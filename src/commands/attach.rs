//! `reeldeck attach`: follows the run that holds the output folder, line by line. Leaving does not end it.

use std::io;

use super::run_progress::RunProgress;
use crate::client::Client;
use crate::config::{Settings, Verbosity};
use crate::engine::publish::Front;
use crate::errln;
use crate::error::{Exit, ExitError};
use crate::out;
use crate::protocol::FromEngine;
use crate::protocol::event::Event;

/// Shows progress until the run is over, the user leaves or nobody reads any more. Ends as the run does.
///
/// # Errors
/// When there is no run, and when the connection breaks.
pub fn run_attach(settings: &Settings) -> anyhow::Result<Exit> {
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
        // Whoever reads has seen enough, as `head` has; the run goes on.
        let is_read = if settings.json { out::is_read(io::stdout()) } else { out::is_read(io::stderr()) };
        if !is_read {
            return Ok(Exit::Done);
        }
        match client.follow() {
            Ok(FromEngine::Event { line }) => {
                if let Event::RunEnded { exit: code, .. } = &line.event {
                    exit = Some(*code);
                }
                let text = line.text().into();
                if settings.json {
                    out::stdout(format_args!("{text}"));
                }
                progress.event(&line, &text);
            }
            // Also when the event that said so was missed.
            Ok(FromEngine::Snapshot { snapshot, .. }) => {
                progress.snapshot(&snapshot);
                exit = snapshot.ended;
            }
            // What was missed is in the log; the next snapshot says where the run stands.
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    progress.finish();
    Ok(exit.and_then(|code| Exit::of_code(code.into())).unwrap_or(Exit::Internal))
}
