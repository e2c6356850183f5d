//! One `reeldeck-probe check` process: started, tried, given one order at a time, watched, ended.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Alive, Answer, Level, Line, MAX_LINE, Order};
use reeldeck_common::protocol;
use reeldeck_common::video::printable;

use super::{ProbeError, Setup};

/// How often a waiting thread looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(50);

/// How often a process is looked at to tell what it is doing.
const GLANCES: usize = 9;

/// So long a process that is ending is waited for, on a machine that has much else to do.
const LAST_GASP: Duration = Duration::from_secs(10);

/// The last words of a process that are kept.
const LAST_WORDS: usize = 400;

/// A running process. Dropping it ends it.
pub struct Process {
    child: Option<Child>,
    input: ChildStdin,
    said: Receiver<Result<Line, String>>,
    last_words: Arc<Mutex<Vec<u8>>>,
    /// Disconnected when it can have no more words.
    silent: Receiver<()>,
    orders: u64,
}

/// What came of an order.
#[derive(Debug)]
pub enum Heard {
    /// The answer.
    Answer(Answer),
    /// The process has ended, or said what no probe says: how, in words.
    Gone(String),
    /// It gave no sign of life.
    Hung {
        /// It computes. Else it waits for a disk or a network.
        busy: bool,
    },
    /// The caller wants no answer any more.
    Cancelled,
}

impl Process {
    /// Starts a process and tries whether it answers. To be called by a thread that lives as long as the process: the kernel
    /// ends the process with it.
    ///
    /// # Errors
    /// When it cannot be started or does not answer as it should; then no file is to blame.
    pub fn start(setup: &Setup, cancel: &AtomicBool) -> Result<Option<Self>, ProbeError> {
        let failed = |source| ProbeError::Start { program: setup.program.clone(), source };
        let mut child = Command::new(&setup.program)
            .args(["check", "--memory-mib", &setup.memory_mib.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group: Ctrl-C at the terminal is for reeldeck to interpret.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(io::Error::other("it has no standard input or output")));
        };
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines(output) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let last_words = Arc::new(Mutex::new(vec![]));
        let kept = Arc::clone(&last_words);
        let (speaking, silent) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            keep_last(errors, &kept);
            drop(speaking);
        });
        let mut process = Self { child: Some(child), input, said, last_words, silent, orders: 0 };
        // A folder is nothing to look at, and it must say so: else it is not the program that this one is made for.
        let how = match process.ask(Path::new("/"), Level::Quick, &Limits::default(), setup.start, cancel) {
            Heard::Answer(_) => return Ok(Some(process)),
            Heard::Cancelled => return Ok(None),
            Heard::Gone(how) => how,
            Heard::Hung { .. } => "it does not answer".into(),
        };
        Err(ProbeError::Broken { program: setup.program.clone(), how })
    }

    /// Has a file looked at. After anything but an answer the process is of no use any more.
    pub fn ask(&mut self, path: &Path, level: Level, limits: &Limits, stall: Duration, cancel: &AtomicBool) -> Heard {
        self.orders += 1;
        let order = Order { id: self.orders, path: path.to_owned(), level, limits: *limits };
        let line = match protocol::line(&order) {
            Ok(line) => line,
            Err(error) => return Heard::Gone(format!("the order cannot be written: {error}")),
        };
        if self.input.write_all(line.as_bytes()).is_err() {
            return Heard::Gone(self.end());
        }
        let mut last = Instant::now();
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Heard::Cancelled;
            }
            match self.said.recv_timeout(GLANCE.min(stall)) {
                Ok(Ok(Line::Answer(answer))) if answer.id == order.id => return Heard::Answer(answer),
                Ok(Ok(Line::Alive(Alive { alive }))) if alive == order.id => last = Instant::now(),
                Ok(Ok(other)) => return Heard::Gone(format!("it answered what was not asked: {other:?}")),
                Ok(Err(error)) => return Heard::Gone(format!("it said what no probe says: {error}")),
                Err(RecvTimeoutError::Disconnected) => return Heard::Gone(self.end()),
                Err(RecvTimeoutError::Timeout) if last.elapsed() >= stall => {
                    return Heard::Hung { busy: self.is_busy() };
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether the process computes, or would if there were a core for it. Else it waits for something.
    fn is_busy(&self) -> bool {
        let running = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.as_ref()?.id())).ok()?;
            // The name in brackets may hold anything; the state comes after it.
            Some(stat.rsplit_once(") ")?.1.starts_with('R'))
        };
        let glances = (0..GLANCES).filter(|_| {
            std::thread::sleep(Duration::from_millis(5));
            running().unwrap_or(false)
        });
        glances.count() > GLANCES / 2
    }

    /// Ends the process, which has closed its output; says how it ended.
    fn end(&mut self) -> String {
        let Some(mut child) = self.child.take() else { return "it has ended".into() };
        let status = reap(&mut child, LAST_GASP);
        let how = match status {
            Some(status) => in_words(status),
            None => {
                finish(child);
                "it closed its output and stayed".into()
            }
        };
        // The thread that keeps them ends with the pipe: after the process, but for one that has children of its own.
        let _ = self.silent.recv_timeout(LAST_GASP);
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        let words = String::from_utf8_lossy(&words);
        match words.trim().lines().last() {
            Some(last) => format!("{how}: {}", printable(last.trim())),
            None => how,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            finish(child);
        }
    }
}

/// Ends a process without waiting for long: one that hangs on a dead disk cannot even be killed.
fn finish(mut child: Child) {
    let _ = child.kill();
    if reap(&mut child, Duration::from_millis(200)).is_none() {
        std::thread::spawn(move || child.wait());
    }
}

/// Waits a little for the end.
fn reap(child: &mut Child, most: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if started.elapsed() < most => std::thread::sleep(Duration::from_millis(2)),
            _ => return None,
        }
    }
}

/// What it says, line by line, until its output ends or makes no sense.
fn lines(output: impl Read) -> impl Iterator<Item = Result<Line, String>> {
    let mut reader = BufReader::new(output);
    let mut sound = true;
    std::iter::from_fn(move || {
        let mut line = vec![];
        let read = reader.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line).unwrap_or(0);
        if read == 0 || !sound || line.last() != Some(&b'\n') {
            return None;
        }
        let said = serde_json::from_slice(&line).map_err(|error| error.to_string());
        sound = said.is_ok();
        Some(said)
    })
}

fn keep_last(mut pipe: impl Read, words: &Mutex<Vec<u8>>) {
    let mut block = [0; 1024];
    while let Ok(read @ 1..) = pipe.read(&mut block) {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(block.iter().take(read));
        let surplus = words.len().saturating_sub(LAST_WORDS);
        words.drain(..surplus);
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (_, Some(9)) => "it was killed (signal 9)".into(),
        (_, Some(signal)) => format!("it was ended by signal {signal}"),
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, None) => "it ended".into(),
    }
}
