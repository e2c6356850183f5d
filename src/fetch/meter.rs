//! How far a transfer is: a bar on a terminal, plain lines anywhere else.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Listen;
use crate::config::{Settings, Verbosity};
use crate::errln;

/// Shows a transfer on standard error.
pub struct Meter {
    is_quiet: bool,
    interval: Duration,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    bar: Option<ProgressBar>,
    have: u64,
    total: Option<u64>,
    next_line: Option<Instant>,
}

impl Meter {
    /// For a command with these settings.
    pub fn new(settings: &Settings) -> Self {
        let is_quiet = settings.verbosity == Verbosity::Quiet;
        Self { is_quiet, interval: settings.plain_interval, state: RefCell::default() }
    }

    fn line(&self, state: &mut State) {
        let of = state.total.map_or(String::new(), |total| format!(" of {}", DecimalBytes(total)));
        errln!("weights: {}{of}", DecimalBytes(state.have));
        state.next_line = Some(Instant::now() + self.interval);
    }
}

impl Listen for Meter {
    fn begin(&self, have: u64, total: Option<u64>) {
        let state = &mut *self.state.borrow_mut();
        (state.have, state.total) = (have, total);
        if self.is_quiet {
            return;
        }
        if !std::io::stderr().is_terminal() {
            return self.line(state);
        }
        let target = ProgressDrawTarget::stderr_with_hz(4);
        let bar = ProgressBar::with_draw_target(total, target).with_position(have);
        let text = "weights {wide_bar} {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar()));
        // What was there before came in no time and says nothing of the speed.
        bar.reset_eta();
        state.bar = Some(bar);
    }

    fn more(&self, bytes: u64) {
        let state = &mut *self.state.borrow_mut();
        state.have += bytes;
        if let Some(bar) = &state.bar {
            bar.inc(bytes);
        } else if !self.is_quiet && state.next_line.is_some_and(|next| Instant::now() >= next) {
            self.line(state);
        }
    }

    fn note(&self, text: &str) {
        match &self.state.borrow().bar {
            Some(bar) => bar.println(format!("note: {text}")),
            None => errln!("note: {text}"),
        }
    }

    fn end(&self) {
        if let Some(bar) = self.state.borrow_mut().bar.take() {
            bar.finish_and_clear();
        }
    }
}
