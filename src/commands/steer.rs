//! `reeldeck stop`, `pause`, `resume`, `retry`: one order to the run that holds the output folder.

use crate::client::Client;
use crate::config::{Settings, Verbosity};
use crate::engine::protocol::Command;
use crate::error::Exit;
use crate::outln;

/// Gives the order and says what came of it.
///
/// # Errors
/// When there is no run, or it cannot do so.
pub fn run(settings: &Settings, command: Command) -> anyhow::Result<Exit> {
    let message = Client::find(settings)?.command(command)?;
    if settings.verbosity > Verbosity::Quiet {
        outln!("{message}");
    }
    Ok(Exit::Done)
}
