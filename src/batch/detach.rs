//! `--detach`: starts the engine in the background and waits until it can be reached.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reeldeck_common::layout::Layout;

use crate::client::Client;
use crate::config::{Overrides, Settings};
use crate::dataset::shown;
use crate::engine::lock;
use crate::error::{Exit, ExitError};
use crate::outln;
use crate::process;
use crate::protocol::snapshot::Phase;

/// How often a starting engine is asked whether it is ready.
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// How long an engine that has stopped answering may take to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts an engine that does the main job and stays when this process ends.
///
/// # Errors
/// When it cannot be started. What it says itself is passed on, with its exit code.
pub fn detach(settings: &Settings, typed: &Overrides, export: bool) -> Result<Exit> {
    settings.check_folders()?;
    // Here, where somebody looks on.
    super::bring(settings)?;
    let mut words = vec![];
    if !export {
        words.push("--no-export");
    }
    let Started { pid, ended, text } = start(settings, typed, &words)?;
    let _ = std::io::stderr().write_all(&text);
    match ended {
        None => {
            outln!("the run goes on in the background (process {pid}); `reeldeck attach` follows it");
            Ok(Exit::Done)
        }
        Some(0) => Ok(Exit::Done),
        // It has said why; nothing is to be added but its code.
        Some(code) => Exit::of_code(code).ok_or_else(|| {
            ExitError::new(Exit::Internal, format!("the engine ended with {code} before it could be reached")).into()
        }),
    }
}

/// Starts an engine that looks through the dataset folder, which may still be empty, and begins a run when a client says so;
/// its process.
///
/// # Errors
/// When it cannot be started: with what it says itself, and its exit code.
pub fn detach_waiting(settings: &Settings, typed: &Overrides) -> Result<u32> {
    let Started { pid, ended, text } = start(settings, typed, &["--wait"])?;
    let Some(code) = ended else { return Ok(pid) };
    let text = String::from_utf8_lossy(&text);
    // What follows is put before it again where the error is shown.
    let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
    let said = if text.is_empty() {
        format!("the engine ended with {code} before it could be reached")
    } else {
        text.to_owned()
    };
    Err(ExitError::new(Exit::of_code(code).filter(|exit| *exit != Exit::Done).unwrap_or(Exit::Internal), said).into())
}

/// An engine that was started.
struct Started {
    pid: u32,
    /// Its exit code, where it has ended at once.
    ended: Option<i32>,
    /// What it has said.
    text: Vec<u8>,
}

fn start(settings: &Settings, typed: &Overrides, words: &[&str]) -> Result<Started> {
    settings.check_folders()?;
    let private = Layout::new(&settings.out, "").private();
    let folder = private.join("log");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", shown(&folder)))?;
    let path = folder.join(format!("start-{}-of-{}.log", settings.shard.index, settings.shard.of));
    let said = File::create(&path).with_context(|| format!("failed to write {}", shown(&path)))?;
    let own = process::reeldeck()?;
    let mut command = Command::new(own);
    command.arg("engine").args(words).args(typed.words()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let mut child = command.spawn().context("failed to start the engine")?;
    let ended = wait(&mut child, settings, &private)?;
    let text = fs::read(&path).unwrap_or_default();
    let pid = child.id();
    // Whoever stays must ask about its end, or it stays in the list of processes.
    std::thread::spawn(move || child.wait());
    Ok(Started { pid, ended, text })
}

/// Waits until the engine has prepared its first run; its exit code where it ends instead.
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
        let seen = lock::holders(private).context("failed to look at the locks")?;
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

/// The exit code of an engine that does not answer any more, most likely because it is ending.
fn exit_code_within(child: &mut Child, timeout: Duration) -> Result<Option<i32>> {
    let started = Instant::now();
    loop {
        match exit_code(child)? {
            None if started.elapsed() < timeout => std::thread::sleep(POLL_INTERVAL),
            code => return Ok(code),
        }
    }
}
