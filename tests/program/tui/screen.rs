//! Runs a program in a pseudo-terminal with an emulator.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Generous, because the machine may run many tests at once.
const TIMEOUT: Duration = Duration::from_secs(240);

struct Output {
    parser: vt100::Parser,
    bytes: u64,
    raw: Vec<u8>,
    closed: bool,
    hung_up: bool,
}

pub struct Screen {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    output: Arc<Mutex<Output>>,
    reader: Option<JoinHandle<()>>,
}

impl Screen {
    pub fn open(model: &Command, columns: u16, rows: u16) -> Self {
        let mut command = CommandBuilder::new(model.get_program());
        command.args(model.get_args());
        if let Some(folder) = model.get_current_dir() {
            command.cwd(folder);
        }
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        for name in ["LC_ALL", "LC_CTYPE", "NO_COLOR", "COLORTERM", "SSH_CONNECTION", "SSH_TTY", "TMUX"] {
            command.env_remove(name);
        }
        for (key, value) in model.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            }
        }
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let parser = vt100::Parser::new(cells(rows), cells(columns), 0);
        let output = Arc::new(Mutex::new(Output { parser, bytes: 0, raw: vec![], closed: false, hung_up: false }));
        let mut from = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let told = Arc::clone(&output);
        let reader = std::thread::spawn(move || {
            let mut block = [0; 8192];
            while let Ok(read @ 1..) = from.read(&mut block) {
                let mut output = told.lock().unwrap();
                if output.hung_up {
                    break;
                }
                output.parser.process(&block[..read]);
                output.bytes += read as u64;
                output.raw.extend_from_slice(&block[..read]);
                let surplus = output.raw.len().saturating_sub(1 << 16);
                output.raw.drain(..surplus);
            }
            told.lock().unwrap().closed = true;
        });
        Self { child, master: Some(pair.master), writer: Some(writer), output, reader: Some(reader) }
    }

    /// The visible text.
    pub fn text(&self) -> String {
        self.output.lock().unwrap().parser.screen().contents()
    }

    /// The alternate screen is active.
    pub fn is_taken(&self) -> bool {
        self.output.lock().unwrap().parser.screen().alternate_screen()
    }

    pub fn hides_cursor(&self) -> bool {
        self.output.lock().unwrap().parser.screen().hide_cursor()
    }

    /// The number of bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.output.lock().unwrap().bytes
    }

    /// The last 64 KiB written.
    pub fn raw(&self) -> Vec<u8> {
        self.output.lock().unwrap().raw.clone()
    }

    /// Types a text.
    pub fn send(&mut self, keys: &str) -> &mut Self {
        let writer = self.writer.as_mut().expect("the terminal is there");
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
        self
    }

    /// Waits until a condition holds.
    #[track_caller]
    pub fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = self.text();
            if is(&text) {
                return text;
            }
            let closed = self.output.lock().unwrap().closed;
            assert!(!closed, "the terminal was closed before: {what}\n{text}");
            assert!(began.elapsed() < TIMEOUT, "never: {what}\n{text}");
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// Waits until a text is visible.
    #[track_caller]
    pub fn shows(&self, part: &str) -> String {
        self.until(part, |text| text.contains(part))
    }

    /// Waits until a text is no longer visible.
    #[track_caller]
    pub fn shows_no(&self, part: &str) -> String {
        self.until(part, |text| !text.contains(part))
    }

    /// Types a text and waits for its effect.
    #[track_caller]
    pub fn press(&mut self, keys: &str, then: &str) -> String {
        self.send(keys);
        self.shows(then)
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        // The emulator goes first: output for the new size must not meet the old one.
        self.output.lock().unwrap().parser.screen_mut().set_size(cells(rows), cells(columns));
        self.master.as_ref().expect("the terminal is there").resize(size(columns, rows)).unwrap();
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    /// Closes the terminal, as when a connection breaks. The program must still write something, because the reader
    /// holds the terminal until then.
    pub fn hang_up(&mut self) {
        self.output.lock().unwrap().hung_up = true;
        let _ = self.reader.take().map(JoinHandle::join);
        self.writer = None;
        self.master = None;
    }

    /// Waits for the end of the program; its exit code.
    #[track_caller]
    pub fn ends(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // Read the last output before anyone looks at it.
                if self.master.is_some() {
                    let _ = self.reader.take().map(JoinHandle::join);
                }
                return status.exit_code();
            }
            assert!(began.elapsed() < TIMEOUT, "it does not end\n{}", self.text());
            std::thread::sleep(Duration::from_millis(15));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has cells")
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { rows, cols, ..PtySize::default() }
}
