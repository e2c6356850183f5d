//! Runs a program in a pseudo-terminal with an emulator.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

struct State {
    parser: vt100::Parser,
    /// Increases with all output.
    version: u64,
    has_ended: bool,
}

/// Dropping it ends the program.
pub struct Terminal {
    state: Arc<(Mutex<State>, Condvar)>,
    input: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    // Dropping it hangs up.
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Starts a program in a UTF-8 terminal of this size with true colours.
    pub fn start(program: &[String], columns: u16, rows: u16) -> Result<Self> {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).map_err(|error| anyhow!("{error:#}"))?;
        let (name, arguments) = program.split_first().context("name the program after --")?;
        let mut command = CommandBuilder::new(name);
        command.args(arguments);
        command.cwd(std::env::current_dir()?);
        for (name, value) in [("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LC_ALL", "C.UTF-8")] {
            command.env(name, value);
        }
        for name in ["NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "TMUX"] {
            command.env_remove(name);
        }
        let child = pair.slave.spawn_command(command).map_err(|error| anyhow!("failed to start {name}: {error:#}"))?;
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().map_err(|error| anyhow!("{error:#}"))?;
        let input = pair.master.take_writer().map_err(|error| anyhow!("{error:#}"))?;
        let cells = |side| NonZeroU16::new(side).context("the size must not be nought");
        let state =
            State { parser: vt100::Parser::new(cells(rows)?, cells(columns)?, 0), version: 0, has_ended: false };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let mut bytes = [0; 65_536];
            loop {
                let read = output.read(&mut bytes).unwrap_or(0);
                let mut state = lock(&shared.0);
                state.parser.process(bytes.get(..read).unwrap_or_default());
                state.version += 1;
                state.has_ended = read == 0;
                shared.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Ok(Self { state, input, child, _master: pair.master })
    }

    /// Sends input.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.input.write_all(bytes).and_then(|()| self.input.flush()).context("the program does not listen any more")
    }

    pub fn look<T>(&self, with: impl FnOnce(&vt100::Screen) -> Result<T>) -> Result<T> {
        with(lock(&self.state.0).parser.screen())
    }

    pub fn text(&self) -> String {
        lock(&self.state.0).parser.screen().contents()
    }

    /// Waits until a condition on the screen holds.
    pub fn wait(&self, timeout: Duration, is_right: impl Fn(&vt100::Screen) -> bool) -> Result<()> {
        let end = Instant::now() + timeout;
        let mut state = lock(&self.state.0);
        loop {
            if is_right(state.parser.screen()) {
                return Ok(());
            }
            if state.has_ended {
                bail!("the program has ended");
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("waited in vain for {} s", timeout.as_secs());
            }
            state = self.state.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until nothing has been written for `quiet`.
    pub fn settle(&self, timeout: Duration, quiet: Duration) -> Result<()> {
        let end = Instant::now() + timeout;
        loop {
            let before = lock(&self.state.0).version;
            std::thread::sleep(quiet);
            if lock(&self.state.0).version == before {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("it was never quiet for {} ms", quiet.as_millis());
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes that a keyboard sends for a key.
pub fn bytes_of(name: &str) -> Result<Vec<u8>> {
    Ok(match name {
        "enter" => b"\r".to_vec(),
        "esc" => b"\x1b".to_vec(),
        "tab" => b"\t".to_vec(),
        "space" => b" ".to_vec(),
        "up" => b"\x1b[A".to_vec(),
        "down" => b"\x1b[B".to_vec(),
        "right" => b"\x1b[C".to_vec(),
        "left" => b"\x1b[D".to_vec(),
        "pgdn" => b"\x1b[6~".to_vec(),
        _ if name.chars().count() == 1 => name.as_bytes().to_vec(),
        _ => match name.strip_prefix("ctrl-").map(str::as_bytes) {
            Some([letter @ b'a'..=b'z']) => vec![letter & 0x1f],
            _ => bail!("no key {name:?}"),
        },
    })
}
