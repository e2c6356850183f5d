//! `reeldeck stop`, `pause`, `resume` and `retry`: send one command to the active run of the output folder.

use std::path::Path;

use anyhow::Context;
use reeldeck_common::layout::{Layout, files_below};
use reeldeck_common::video::VideoName;

use crate::client::{Client, ClientError};
use crate::config::{Settings, Verbosity};
use crate::dataset::shown;
use crate::engine::orders::{self, Order};
use crate::engine::patterns::{self, Patterns};
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

/// Refuses invalid patterns that are not the name of a failed video. The engines are on other hosts and cannot be asked.
fn check(out: &Path, asked: &[String]) -> anyhow::Result<()> {
    let invalid = patterns::invalid(asked);
    let mut patterns = Patterns::new(&invalid);
    let failures = Layout::new(out, "").failures();
    let files = if invalid.is_empty() { vec![] } else { files_below(&failures)? };
    // The first folder is the feature set.
    for name in files.iter().filter_map(|file| file.split_once('/')?.1.strip_suffix(".json")) {
        VideoName::new(name).ok().map(|name| patterns.matches(&name));
    }
    patterns.unused().map_or(Ok(()), |error| Err(ExitError::new(Exit::Usage, error).into()))
}

/// Sends the command to an engine on this host, which passes it on, or writes it for engines on other hosts. Prints the answer.
///
/// # Errors
/// When there is no run, or it refuses.
pub(crate) fn run(settings: &Settings, command: Command) -> anyhow::Result<Exit> {
    let found = Client::find(settings);
    if let (Err(ClientError::OtherHost { .. }), Some(order)) = (&found, order(&command)) {
        if let Command::Retry { patterns } = &command {
            check(&settings.out, patterns)?;
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
    let message = client.command(command).map_err(ExitError::from)?;
    if settings.verbosity > Verbosity::Quiet {
        outln!("{message}");
    }
    Ok(Exit::Done)
}
