//! Asks another program, for a while.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// No answer takes longer, but on a machine that is ill: libtorch starts in a quarter of a second.
const LONGEST: Duration = Duration::from_secs(60);

/// What a program said.
pub(super) struct Said {
    /// Whether it ended well.
    pub ok: bool,
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub err: String,
}

/// Runs it to its end.
///
/// # Errors
/// In words, when it cannot be started or does not end.
pub(super) fn ask(program: &Path, arguments: &[&str], environment: &[(&str, &Path)]) -> Result<Said, String> {
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(child.wait_with_output()));
    match receive.recv_timeout(LONGEST) {
        Ok(Ok(output)) => {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            Ok(Said { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) })
        }
        Ok(Err(error)) => Err(format!("{}: {error}", program.display())),
        Err(_) => {
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::KILL);
            }
            Err(format!("{} did not answer in {} s", program.display(), LONGEST.as_secs()))
        }
    }
}
