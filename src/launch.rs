//! Starts an engine in the background and waits until it has prepared its first run or ended.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reeldeck_common::layout::Layout;

use crate::client::Client;
use crate::config::{Overrides, Settings};
use crate::dataset::shown;
use crate::error::{Exit, ExitError};
use crate::process;
use crate::protocol::holder::holders;
use crate::protocol::snapshot::Phase;

/// How often a starting engine is asked whether it is ready.
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// How long an engine that has stopped answering may take to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts an engine that begins a run only when a client orders it. Returns its process id.
///
/// # Errors
/// When the engine cannot be started or ends at once: with its own error text and exit code.
pub(crate) fn start_waiting(settings: &Settings, typed: &Overrides) -> Result<u32> {
    let Started { pid, exit_code, stderr } = start(settings, typed, &["--wait"])?;
    let Some(code) = exit_code else { return Ok(pid) };
    let text = String::from_utf8_lossy(&stderr);
    // The error is printed with this prefix again.
    let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
    let message = if text.is_empty() {
        format!("the engine ended with {code} before it could be reached")
    } else {
        text.to_owned()
    };
    Err(ExitError::new(Exit::of_code(code).filter(|exit| *exit != Exit::Done).unwrap_or(Exit::Internal), message)
        .into())
}

/// An engine that was started.
pub(crate) struct Started {
    /// Its process id.
    pub pid: u32,
    /// Its exit code, if it has ended before its first run.
    pub exit_code: Option<i32>,
    /// What it has written to standard error.
    pub stderr: Vec<u8>,
}

/// Starts `reeldeck engine` with these arguments and the options of this command line.
///
/// # Errors
/// When the engine cannot be started, or neither answers nor ends.
pub(crate) fn start(settings: &Settings, typed: &Overrides, arguments: &[&str]) -> Result<Started> {
    settings.check_folders()?;
    let private = Layout::new(&settings.out, "").private();
    let folder = private.join("log");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", shown(&folder)))?;
    let path = folder.join(format!("start-{}-of-{}.log", settings.shard.index, settings.shard.of));
    let stderr = File::create(&path).with_context(|| format!("failed to write {}", shown(&path)))?;
    let own = process::reeldeck()?;
    let mut command = Command::new(own);
    command.arg("engine").args(arguments).args(typed.words()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let mut child = command.spawn().context("failed to start the engine")?;
    let exit_code = wait(&mut child, settings, &private)?;
    let stderr = fs::read(&path).unwrap_or_default();
    let pid = child.id();
    // Reaps the engine when it ends, for a caller that lives longer. Without the thread it is reaped when the caller ends.
    let _ = reeldeck_common::thread::spawn("reaper", move || child.wait());
    Ok(Started { pid, exit_code, stderr })
}

/// Waits until the engine has prepared its first run. Returns its exit code if it ends instead.
fn wait(child: &mut Child, settings: &Settings, private: &Path) -> Result<Option<i32>> {
    let mut client = None;
    loop {
        if let Some(code) = exit_code(child)? {
            return Ok(Some(code));
        }
        match has_prepared(child.id(), settings, private, &mut client) {
            Ok(true) => return Ok(None),
            Ok(false) => std::thread::sleep(POLL_INTERVAL),
            Err(error) => return exit_code_within(child, EXIT_TIMEOUT)?.map(Some).ok_or(error),
        }
    }
}

/// Whether the engine answers and has prepared its first run.
fn has_prepared(pid: u32, settings: &Settings, private: &Path, client: &mut Option<Client>) -> Result<bool> {
    if client.is_none() {
        let seen = holders(private).context("failed to look at the locks")?;
        let ours = seen.into_iter().filter(|seen| seen.held && seen.shard == settings.shard);
        let holder = ours.filter_map(|seen| seen.holder).find(|holder| holder.pid == pid && holder.socket.is_some());
        *client = holder.map(|holder| Client::connect(&settings.out, settings.shard, &holder)).transpose()?;
    }
    let Some(client) = client else { return Ok(false) };
    Ok(client.snapshot()?.phase != Phase::Starting)
}

fn exit_code(child: &mut Child) -> Result<Option<i32>> {
    let status = child.try_wait().context("failed to wait for the engine")?;
    Ok(status.map(|status| status.code().unwrap_or(-1)))
}

/// Waits for the exit code of an engine that no longer answers, most likely because it is ending. `None` at the deadline.
fn exit_code_within(child: &mut Child, timeout: Duration) -> Result<Option<i32>> {
    let started = Instant::now();
    loop {
        match exit_code(child)? {
            None if started.elapsed() < timeout => std::thread::sleep(POLL_INTERVAL),
            code => return Ok(code),
        }
    }
}
