//! A program in a terminal of its own, and what is to be seen there: a pseudo terminal and an emulator.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// What does not come within this does not come: the machine may be busy with many other tests.
const PATIENCE: Duration = Duration::from_secs(240);

/// The emulator and how much it was told.
struct Seen {
    parser: vt100::Parser,
    bytes: u64,
    raw: Vec<u8>,
    closed: bool,
    hung_up: bool,
}

/// A program in a terminal.
pub struct Screen {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
}

impl Screen {
    /// Starts a program in a terminal of this size.
    pub fn open(like: &Command, columns: u16, rows: u16) -> Self {
        let mut command = CommandBuilder::new(like.get_program());
        command.args(like.get_args());
        if let Some(folder) = like.get_current_dir() {
            command.cwd(folder);
        }
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        for name in ["LC_ALL", "LC_CTYPE", "NO_COLOR", "COLORTERM", "SSH_CONNECTION", "SSH_TTY", "TMUX"] {
            command.env_remove(name);
        }
        for (key, value) in like.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            }
        }
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let parser = vt100::Parser::new(cells(rows), cells(columns), 0);
        let seen = Arc::new(Mutex::new(Seen { parser, bytes: 0, raw: vec![], closed: false, hung_up: false }));
        let mut from = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let told = Arc::clone(&seen);
        let reader = std::thread::spawn(move || {
            let mut block = [0; 8192];
            while let Ok(read @ 1..) = from.read(&mut block) {
                let mut seen = told.lock().unwrap();
                if seen.hung_up {
                    break;
                }
                seen.parser.process(&block[..read]);
                seen.bytes += read as u64;
                seen.raw.extend_from_slice(&block[..read]);
                let surplus = seen.raw.len().saturating_sub(1 << 16);
                seen.raw.drain(..surplus);
            }
            told.lock().unwrap().closed = true;
        });
        Self { child, master: Some(pair.master), writer: Some(writer), seen, reader: Some(reader) }
    }

    /// What is to be seen.
    pub fn text(&self) -> String {
        self.seen.lock().unwrap().parser.screen().contents()
    }

    /// The program has the whole screen.
    pub fn is_taken(&self) -> bool {
        self.seen.lock().unwrap().parser.screen().alternate_screen()
    }

    /// The terminal's own cursor is hidden.
    pub fn hides_cursor(&self) -> bool {
        self.seen.lock().unwrap().parser.screen().hide_cursor()
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.seen.lock().unwrap().bytes
    }

    /// The last bytes as they came.
    pub fn raw(&self) -> Vec<u8> {
        self.seen.lock().unwrap().raw.clone()
    }

    /// Types something.
    pub fn send(&mut self, keys: &str) -> &mut Self {
        let writer = self.writer.as_mut().expect("the terminal is there");
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
        self
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = self.text();
            if is(&text) {
                return text;
            }
            let closed = self.seen.lock().unwrap().closed;
            assert!(!closed, "the terminal was closed before: {what}\n{text}");
            assert!(began.elapsed() < PATIENCE, "never: {what}\n{text}");
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// Waits until a text is to be seen.
    #[track_caller]
    pub fn shows(&self, part: &str) -> String {
        self.until(part, |text| text.contains(part))
    }

    /// Waits until a text is not to be seen any more.
    #[track_caller]
    pub fn shows_no(&self, part: &str) -> String {
        self.until(part, |text| !text.contains(part))
    }

    /// Types something and waits for what comes of it.
    #[track_caller]
    pub fn press(&mut self, keys: &str, then: &str) -> String {
        self.send(keys);
        self.shows(then)
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        // The emulator first: what is drawn for the new size must not meet the old one.
        self.seen.lock().unwrap().parser.screen_mut().set_size(cells(rows), cells(columns));
        self.master.as_ref().expect("the terminal is there").resize(size(columns, rows)).unwrap();
    }

    /// The program's process.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    /// Takes the terminal away, as when a connection breaks. The program must say something from time to time: who reads
    /// that holds the terminal until then.
    pub fn hang_up(&mut self) {
        self.seen.lock().unwrap().hung_up = true;
        let _ = self.reader.take().map(JoinHandle::join);
        self.writer = None;
        self.master = None;
    }

    /// Waits for the program's end; its exit code.
    #[track_caller]
    pub fn ends(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it said last is read before one looks.
                if self.master.is_some() {
                    let _ = self.reader.take().map(JoinHandle::join);
                }
                return status.exit_code();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end\n{}", self.text());
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
