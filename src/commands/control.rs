//! `reeldeck stop`, `pause`, `resume` and `retry`: send one command to the active run of the output folder.

use anyhow::Context;
use reeldeck_common::layout::Layout;

use crate::client::{Client, ClientError};
use crate::config::{Settings, Verbosity};
use crate::dataset::shown;
use crate::engine::orders::{self, Order};
use crate::engine::patterns::Patterns;
use crate::error::{Exit, ExitError};
use crate::out::outln;
use crate::protocol::Command;

/// The order that reaches engines on other hosts.
fn order(command: &Command) -> Option<Order> {
    match command {
        Command::Pause => Some(Order::Pause),
        Command::Resume => Some(Order::Resume),
        Command::Stop { now } => Some(Order::Stop(*now)),
        Command::Retry { patterns } => Some(Order::RetryMatching(patterns.clone())),
        _ => None,
    }
}

/// The next step of a user whose command found no run.
fn without_run(command: &Command) -> &'static str {
    match command {
        // A new run skips failed videos by default.
        Command::Retry { .. } => "`reeldeck --batch --retry-failed` starts one that retries failed videos",
        Command::Resume => "`reeldeck --batch` starts one, which continues where the last one ended",
        _ => "`reeldeck status` shows how the last one ended; --out names another output folder",
    }
}

/// Sends the command to an engine on this host, which passes it on, or writes it for engines on other hosts. Prints the answer.
///
/// # Errors
/// When there is no run, or it refuses.
pub(crate) fn run(settings: &Settings, command: Command) -> anyhow::Result<Exit> {
    let found = Client::find(settings);
    if let (Err(ClientError::OtherHost { .. }), Some(order)) = (&found, order(&command)) {
        if let Command::Retry { patterns } = &command {
            Patterns::new(patterns).map_err(|error| ExitError::new(Exit::Usage, error))?;
        }
        let private = Layout::new(&settings.out, "").private();
        orders::give(&private, order, None)
            .with_context(|| format!("failed to write an order to {}; check permissions", shown(&private)))?;
        if settings.verbosity > Verbosity::Quiet {
            outln!("the order was given; the engines on other hosts follow it within a minute");
        }
        return Ok(Exit::Done);
    }
    let mut client = found.map_err(|error| match error {
        ClientError::NoRun { out } => {
            ExitError::new(Exit::Usage, format!("no run is active in {}; {}", shown(&out), without_run(&command)))
        }
        error => ExitError::from(error),
    })?;
    let message = client.command(command)?;
    if settings.verbosity > Verbosity::Quiet {
        outln!("{message}");
    }
    Ok(Exit::Done)
}
