//! `--detach`: starts the engine in the background and waits until it can be reached.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use reeldeck_contract::layout::Layout;

use crate::cli::Global;
use crate::config::Settings;
use crate::dataset::shown;
use crate::engine::lock;
use crate::error::{Exit, Stop};
use crate::outln;

/// Starts an engine for a window of this process, which looks for it afterwards.
///
/// # Errors
/// When it cannot be started, with what it has said itself.
pub fn launch(settings: &Settings, typed: &Global) -> Result<()> {
    settings.check_folders()?;
    let (mut child, path) = start(settings, typed, &[])?;
    let private = Layout::new(&settings.out, "").private();
    let ended = wait(&mut child, settings, &private)?;
    // Its end must be asked about, or it stays in the list of processes.
    std::thread::spawn(move || child.wait());
    let Some(code) = ended else { return Ok(()) };
    let said = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).trim().to_owned();
    let exit = Exit::of_code(code).unwrap_or(Exit::Internal);
    Err(Stop::new(exit, if said.is_empty() { format!("the engine ended with {code}") } else { said }).into())
}

/// Starts an engine that does the main job and stays when this process ends.
///
/// # Errors
/// When it cannot be started. What it says itself is passed on, with its exit code.
pub fn detach(settings: &Settings, typed: &Global, export: bool) -> Result<Exit> {
    settings.check_folders()?;
    let (mut child, path) = start(settings, typed, if export { &[] } else { &["--no-export"] })?;
    let private = Layout::new(&settings.out, "").private();
    let ended = wait(&mut child, settings, &private)?;
    let text = fs::read(&path).unwrap_or_default();
    let _ = std::io::stderr().write_all(&text);
    match ended {
        None => {
            outln!("the run goes on in the background (process {}); `reeldeck attach` follows it", child.id());
            Ok(Exit::Done)
        }
        Some(0) => Ok(Exit::Done),
        // It has said why; nothing is to be added but its code.
        Some(code) => Exit::of_code(code).ok_or_else(|| {
            Stop::new(Exit::Internal, format!("the engine ended with {code} before it could be reached")).into()
        }),
    }
}

/// Starts an engine; what it says before it can be reached goes to the file.
fn start(settings: &Settings, typed: &Global, how: &[&str]) -> Result<(Child, PathBuf)> {
    let folder = Layout::new(&settings.out, "").private().join("log");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", shown(&folder)))?;
    let path = folder.join(format!("start-{}-of-{}.log", settings.shard.index, settings.shard.of));
    let said = File::create(&path).with_context(|| format!("failed to write {}", shown(&path)))?;
    let own = std::env::current_exe().context("failed to find reeldeck's own program")?;
    let mut command = Command::new(own);
    command.arg("engine");
    command.args(how).args(typed.words()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let child = command.spawn().context("failed to start the engine")?;
    Ok((child, path))
}

/// Waits until the engine says where it listens; its exit code where it ends instead.
fn wait(child: &mut Child, settings: &Settings, private: &std::path::Path) -> Result<Option<i32>> {
    loop {
        if let Some(status) = child.try_wait().context("failed to wait for the engine")? {
            return Ok(Some(status.code().unwrap_or(-1)));
        }
        let ours = |seen: &lock::Seen| {
            let holder = seen.holder.as_ref();
            seen.held
                && seen.shard == settings.shard
                && holder.is_some_and(|h| h.pid == child.id() && h.socket.is_some())
        };
        if lock::holders(private).context("failed to look at the locks")?.iter().any(ours) {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}
