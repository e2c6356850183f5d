//! How far a command is that works through many files: a bar on a terminal, plain lines anywhere else. Hears of Ctrl-C.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, FormattedDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Settings, Verbosity};
use crate::errln;
use crate::error::Exit;
use crate::export::Watch;

/// Shows the work of a command on standard error.
pub struct Meter {
    is_quiet: bool,
    interval: Duration,
    interrupted: Arc<AtomicBool>,
    state: RefCell<State>,
}

struct State {
    bar: Option<ProgressBar>,
    what: String,
    steps: usize,
    done: usize,
    bytes: u64,
    begun: Instant,
    next_line: Instant,
}

impl Meter {
    /// From now on an interrupt ends the work after the file in hand; a second one ends the process.
    pub fn new(settings: &Settings) -> Self {
        let is_quiet = settings.verbosity == Verbosity::Quiet;
        let bar = (std::io::stderr().is_terminal() && !is_quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
            let style = ProgressStyle::with_template("{wide_bar} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let now = Instant::now();
        let interval = settings.plain_interval;
        let state =
            State { bar, what: String::new(), steps: 0, done: 0, bytes: 0, begun: now, next_line: now + interval };
        let interrupted = Arc::new(AtomicBool::new(false));
        listen(Arc::clone(&interrupted));
        Self { is_quiet, interval, interrupted, state: RefCell::new(state) }
    }

    /// Prints a line above the bar.
    pub fn say(&self, text: &str) {
        match &self.state.borrow().bar {
            Some(bar) => bar.println(text),
            None => errln!("{text}"),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.state.borrow().bar {
            bar.finish_and_clear();
        }
    }
}

impl Watch for Meter {
    fn begin(&self, what: &str, steps: usize) {
        let mut state = self.state.borrow_mut();
        let now = Instant::now();
        (state.what, state.steps, state.done, state.bytes, state.begun) = (what.to_owned(), steps, 0, 0, now);
        if let Some(bar) = &state.bar {
            bar.set_length(steps as u64);
            bar.set_position(0);
            bar.set_message(state.line());
        }
    }

    fn step(&self, bytes: u64) {
        let mut state = self.state.borrow_mut();
        state.done += 1;
        state.bytes += bytes;
        if let Some(bar) = &state.bar {
            bar.set_position(state.done as u64);
            bar.set_message(state.line());
        } else if !self.is_quiet && Instant::now() >= state.next_line {
            state.next_line = Instant::now() + self.interval;
            errln!("{}", state.line());
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl State {
    /// `writing csv: 1200/50000, 31 a second, 42.00 MB/s, 00:26:12 left`.
    fn line(&self) -> String {
        let mut line = format!("{}: {}/{}", self.what, self.done, self.steps);
        let seconds = self.begun.elapsed().as_secs_f64();
        if seconds < 1.0 || self.done == 0 {
            return line;
        }
        let rate = self.done as f64 / seconds;
        line.push_str(&format!(", {rate:.1} a second"));
        if self.bytes > 0 {
            line.push_str(&format!(", {}/s", DecimalBytes((self.bytes as f64 / seconds) as u64)));
        }
        let left = self.steps.saturating_sub(self.done) as f64 / rate;
        line.push_str(&format!(", {} left", FormattedDuration(Duration::from_secs_f64(left))));
        line
    }
}

/// Waits for signals on a thread of its own, which ends with the process. Where signals cannot be had, Ctrl-C does what it
/// always does: atomic writes make that safe as well.
fn listen(interrupted: Arc<AtomicBool>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    // Before the thread starts, so that no signal is missed in between.
    let entered = runtime.enter();
    let (Ok(mut interrupts), Ok(mut terminations)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    drop(entered);
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupts.recv() => {}
                    _ = terminations.recv() => {}
                }
                if interrupted.swap(true, Ordering::Relaxed) {
                    std::process::exit(Exit::Interrupted.code().into());
                }
                errln!("finishing what is in hand; interrupt again to stop now");
            }
        });
    });
}
