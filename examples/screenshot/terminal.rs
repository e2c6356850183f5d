//! A program in a terminal that remembers what its screen looks like.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

struct State {
    parser: vt100::Parser,
    /// Goes up with everything that is written.
    version: u64,
    has_ended: bool,
}

/// What is typed, and what the terminal itself answers.
type Input = Arc<Mutex<Box<dyn Write + Send>>>;

/// The terminal. Dropping it ends the program.
pub struct Terminal {
    state: Arc<(Mutex<State>, Condvar)>,
    input: Input,
    child: Box<dyn Child + Send + Sync>,
    // The program is hung up on when this is dropped.
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Starts a program in a terminal of this size that knows true colours and UTF-8.
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
        let input: Input = Arc::new(Mutex::new(input));
        let (shared, answers) = (Arc::clone(&state), Arc::clone(&input));
        std::thread::spawn(move || {
            let (mut bytes, mut asked) = ([0; 65_536], Asked::default());
            loop {
                let read = output.read(&mut bytes).unwrap_or(0);
                let mut state = lock(&shared.0);
                for byte in bytes.get(..read).unwrap_or_default() {
                    state.parser.process(&[*byte]);
                    if asked.is_whole(*byte) {
                        let (row, column) = state.parser.screen().cursor_position();
                        let answer = format!("\x1b[{};{}R", row + 1, column + 1);
                        // A program that has gone needs no answer.
                        let _ = lock(&answers).write_all(answer.as_bytes());
                    }
                }
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

    /// Sends bytes as a keyboard does.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut input = lock(&self.input);
        input.write_all(bytes).and_then(|()| input.flush()).context("the program does not listen any more")
    }

    /// Does something with the screen as it is.
    pub fn look<T>(&self, with: impl FnOnce(&vt100::Screen) -> Result<T>) -> Result<T> {
        with(lock(&self.state.0).parser.screen())
    }

    /// The screen as text.
    pub fn text(&self) -> String {
        lock(&self.state.0).parser.screen().contents()
    }

    /// Waits until the screen is as it should be.
    pub fn wait(&self, patience: Duration, is_right: impl Fn(&vt100::Screen) -> bool) -> Result<()> {
        let end = Instant::now() + patience;
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
                bail!("waited in vain for {} s", patience.as_secs());
            }
            state = self.state.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until nothing was written for `quiet`.
    pub fn settle(&self, patience: Duration, quiet: Duration) -> Result<()> {
        let end = Instant::now() + patience;
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

/// Finds where a program asks for the cursor, which a terminal must answer.
#[derive(Default)]
struct Asked(usize);

impl Asked {
    const QUESTION: &[u8] = b"\x1b[6n";

    fn is_whole(&mut self, byte: u8) -> bool {
        self.0 = match Self::QUESTION.get(self.0) {
            Some(next) if *next == byte => self.0 + 1,
            _ => usize::from(Self::QUESTION.first() == Some(&byte)),
        };
        self.0 == Self::QUESTION.len()
    }
}

fn lock<T: ?Sized>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a keyboard sends for a key of this name.
pub fn bytes_of(name: &str) -> Result<Vec<u8>> {
    let fixed = match name {
        "enter" => "\r",
        "esc" => "\x1b",
        "tab" => "\t",
        "backtab" => "\x1b[Z",
        "space" => " ",
        "backspace" => "\x7f",
        "up" => "\x1b[A",
        "down" => "\x1b[B",
        "right" => "\x1b[C",
        "left" => "\x1b[D",
        "home" => "\x1b[H",
        "end" => "\x1b[F",
        "pgup" => "\x1b[5~",
        "pgdn" => "\x1b[6~",
        _ => "",
    };
    if !fixed.is_empty() {
        return Ok(fixed.as_bytes().to_vec());
    }
    if let Some(letter) = name.strip_prefix("ctrl-").and_then(|rest| rest.bytes().next()).filter(u8::is_ascii_lowercase)
    {
        return Ok(vec![letter & 0x1f]);
    }
    match name.chars().count() {
        1 => Ok(name.as_bytes().to_vec()),
        _ => bail!("no key {name:?}"),
    }
}
