//! `reeldeck stop`, `pause`, `resume` and `retry`: send one command to the active run of the output folder.

use crate::client::{Client, ClientError};
use crate::config::{Settings, Verbosity};
use crate::dataset::shown;
use crate::error::{Exit, ExitError};
use crate::out::outln;
use crate::protocol::Command;

/// Sends the command and prints the answer.
///
/// # Errors
/// When there is no run, or it refuses.
pub(crate) fn run(settings: &Settings, command: Command) -> anyhow::Result<Exit> {
    let mut client = Client::find(settings).map_err(|error| match (error, &command) {
        // A new run skips failed videos by default.
        (ClientError::NoRun { out }, Command::Retry { .. }) => {
            let out = shown(&out);
            let next = "`reeldeck --batch --retry-failed` starts one that retries failed videos";
            ExitError::new(Exit::Usage, format!("no run is active in {out}; {next}"))
        }
        (error, _) => ExitError::from(error),
    })?;
    let message = client.command(command)?;
    if settings.verbosity > Verbosity::Quiet {
        outln!("{message}");
    }
    Ok(Exit::Done)
}
