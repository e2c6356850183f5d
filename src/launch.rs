//! Starts an engine in the background and waits until it has prepared its first run or ended.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reeldeck_common::layout::Layout;
use reeldeck_common::pid::is_gone;

use crate::client::{Client, runs};
use crate::config::{Overrides, Settings};
use crate::dataset::shown;
use crate::discovery;
use crate::error::{Exit, ExitError};
use crate::protocol::holder::log_name;
use crate::protocol::snapshot::Phase;

/// How often a starting engine is asked whether it is ready.
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// How long an engine that has stopped answering may take to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts an engine that begins a run only when a client orders it. Returns its process id. `on_line` is called with each line
/// that it writes to standard error before it can be reached, such as its progress.
///
/// # Errors
/// When the engine cannot be started or ends at once: with its own error text and exit code. When the configuration, which the engine
/// reads again, names other folders now.
pub(crate) fn start_waiting(settings: &Settings, typed: &Overrides, on_line: &dyn Fn(&str)) -> Result<u32> {
    check_unmoved(settings, typed)?;
    let Started { pid, exit_code, stderr } = start(settings, typed, &["--wait"], on_line)?;
    let Some(code) = exit_code else { return Ok(pid) };
    let text = String::from_utf8_lossy(&stderr);
    // Notes may come before the error, and the error is printed with this prefix again.
    let text = text.rsplit_once("\nerror: ").map_or(text.as_ref(), |(_, error)| error).trim();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let message = if text.is_empty() {
        format!("the engine ended with {code} before it could be reached")
    } else {
        text.to_owned()
    };
    Err(ExitError::new(Exit::of_code(code).filter(|exit| *exit != Exit::Done).unwrap_or(Exit::Internal), message)
        .into())
}

/// The caller shows the folders of `settings`, and would wait there for an engine that works in others.
fn check_unmoved(settings: &Settings, typed: &Overrides) -> Result<()> {
    let current = std::env::current_dir().context("failed to find the current folder")?;
    // The engine itself reports a configuration that is invalid now.
    let Ok(now) = Settings::resolve(typed, &current) else { return Ok(()) };
    let folders = [("out", &settings.out, &now.out), ("root", &settings.root, &now.root)];
    match folders.into_iter().find(|(_, shown, now)| shown != now) {
        None => Ok(()),
        Some((name, old, new)) => {
            let file = shown(&now.config_file.unwrap_or_default());
            let (old, new) = (shown(old), shown(new));
            let message = format!(
                "`{name}` is now {new} in {file}, and this window shows {old}; quit and start reeldeck again to use {new}, or change \
                 `{name}` back"
            );
            Err(ExitError::new(Exit::Usage, message).into())
        }
    }
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

/// Starts `reeldeck engine` with these arguments and the options of this command line. `on_line` is called with each line that
/// the engine writes to standard error until it has prepared its first run or ended.
///
/// # Errors
/// When the engine cannot be started, or neither answers nor ends.
pub(crate) fn start(
    settings: &Settings,
    typed: &Overrides,
    arguments: &[&str],
    on_line: &dyn Fn(&str),
) -> Result<Started> {
    settings.check_folders_or_wait()?;
    let folder = Layout::new(&settings.out, "").private().join("log");
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", shown(&folder)))?;
    remove_old_logs(&folder);
    let own_log = tempfile::Builder::new().prefix(".start.").tempfile_in(&folder);
    let own_log = own_log.with_context(|| format!("failed to write to {}", shown(&folder)))?;
    let stderr = own_log.reopen().with_context(|| format!("failed to write {}", shown(own_log.path())))?;
    let own = discovery::reeldeck()?;
    // The configuration may change at any time, and the engine is expected in this folder.
    let typed = &Overrides { root: Some(settings.root.clone()), out: Some(settings.out.clone()), ..typed.clone() };
    let mut command = Command::new(own);
    command
        .arg("engine")
        .args(arguments)
        .args(typed.words())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(stderr);
    let mut child = command.spawn().context("failed to start the engine")?;
    if let (Some(mut input), Some(address)) = (child.stdin.take(), typed.address()) {
        // An engine that has ended already says why itself.
        let _ = input.write_all(address.as_bytes());
    }
    let mut log = StartLog { path: own_log.path().to_owned(), read: 0 };
    let exit_code = wait(&mut child, settings, &mut || log.lines(on_line))?;
    log.lines(on_line);
    let stderr = fs::read(own_log.path()).unwrap_or_default();
    if exit_code.is_none() {
        // What the engine writes later is in the same file. Without the name it is lost, and the run is not.
        let _ = own_log.persist(folder.join(format!("start-{}-{}.log", log_name(), child.id())));
    }
    let pid = child.id();
    // Reaps the engine when it ends, for a caller that lives longer. Without the thread it is reaped when the caller ends.
    let _ = reeldeck_common::thread::spawn("reaper", move || child.wait());
    Ok(Started { pid, exit_code, stderr })
}

/// Removes the logs of starts on this host whose engines have ended.
fn remove_old_logs(folder: &Path) {
    let prefix = format!("start-{}-", log_name());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".log")?.parse().ok());
        if pid.is_some_and(is_gone) {
            // One that stays only takes space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The standard error of a starting engine.
struct StartLog {
    path: PathBuf,
    /// Bytes that were passed on.
    read: usize,
}

impl StartLog {
    /// Passes on the lines that are new and complete.
    fn lines(&mut self, on_line: &dyn Fn(&str)) {
        let is_new = fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() > self.read as u64);
        let text = if is_new { fs::read(&self.path).unwrap_or_default() } else { vec![] };
        for line in text.get(self.read..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            if let Some(line) = line.strip_suffix(b"\n") {
                self.read += line.len() + 1;
                on_line(&String::from_utf8_lossy(line));
            }
        }
    }
}

/// Waits until the engine has prepared its first run, and calls `each_time` now and then. Returns its exit code if it ends instead.
fn wait(child: &mut Child, settings: &Settings, each_time: &mut dyn FnMut()) -> Result<Option<i32>> {
    let mut client = None;
    loop {
        each_time();
        if let Some(code) = exit_code(child)? {
            return Ok(Some(code));
        }
        match has_prepared(child.id(), settings, &mut client) {
            Ok(true) => return Ok(None),
            Ok(false) => std::thread::sleep(POLL_INTERVAL),
            Err(error) => return exit_code_within(child, EXIT_TIMEOUT)?.map(Some).ok_or(error),
        }
    }
}

/// Whether the engine answers and has prepared its first run.
fn has_prepared(pid: u32, settings: &Settings, client: &mut Option<Client>) -> Result<bool> {
    if client.is_none() {
        let mut runs = runs(&settings.out)?.into_iter();
        let holder = runs.find(|holder| holder.pid == pid && holder.is_here() && holder.socket.is_some());
        *client = holder.map(|holder| Client::connect(&settings.out, &holder)).transpose()?;
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs::File;

    use super::*;

    #[test]
    fn each_line_of_a_starting_engine_is_passed_on_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("start.log");
        let mut file = File::create(&path).unwrap();
        let mut log = StartLog { path, read: 0 };
        let said = RefCell::new(vec![]);
        let note = |line: &str| said.borrow_mut().push(line.to_owned());
        log.lines(&note);
        file.write_all(b"reading the checkpoint: 1 GB of 30 GB\nreading").unwrap();
        log.lines(&note);
        log.lines(&note);
        assert_eq!(*said.borrow(), ["reading the checkpoint: 1 GB of 30 GB"]);
        file.write_all(b" on\n\n").unwrap();
        log.lines(&note);
        assert_eq!(said.borrow()[1..], ["reading on", ""]);
    }
}
