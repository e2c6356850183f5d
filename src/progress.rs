//! Progress of long work: the trait that the work reports to, and a meter that shows it on standard error.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reeldeck_common::video::{printable, printable_lines};

use crate::error::{Exit, ExitError};
use crate::out::{duration, errln};

/// How often a bar is redrawn at most.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

/// The size of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Work on a number of items, such as videos.
    Items(usize),
    /// A transfer of bytes.
    Bytes {
        /// Bytes that an earlier transfer left.
        present: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
}

/// Receives the progress of long work, and can cancel it. Every method has a default that does nothing.
pub trait Progress {
    /// A task begins. It replaces the one before.
    fn begin(&self, _name: &str, _size: Size) {}
    /// One more item is complete, for which `bytes` were read or written. In a transfer: `bytes` more have arrived.
    fn step(&self, _bytes: u64) {}
    /// One more item is complete without any work. It does not count towards the speed.
    fn skip(&self) {}
    /// Text to show after the counts from the next step on.
    fn detail(&self, _text: &str) {}
    /// A message for people.
    fn note(&self, _text: &str) {}
    /// The task is over.
    fn end(&self) {}
    /// Whether to stop here. What is complete stays complete.
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Fails once the work is cancelled.
    ///
    /// # Errors
    /// [`Exit::Interrupted`] when cancelled.
    fn check_cancelled(&self) -> anyhow::Result<()> {
        if self.is_cancelled() {
            return Err(ExitError::new(Exit::Interrupted, "interrupted; run the same command again to resume").into());
        }
        Ok(())
    }
}

/// Shows progress on standard error: a bar on a terminal, a line at an interval anywhere else.
pub(crate) struct Meter {
    is_quiet: bool,
    is_terminal: bool,
    interval: Duration,
    cancelled: Option<Arc<AtomicBool>>,
    task: RefCell<Option<Task>>,
}

impl Meter {
    /// A meter that prints nothing but notes if `is_quiet`.
    pub(crate) fn new(is_quiet: bool, interval: Duration) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { is_quiet, is_terminal, interval, cancelled: None, task: RefCell::new(None) }
    }

    /// Cancels the work once the flag is set.
    pub(crate) fn cancelled_by(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancelled = Some(flag);
        self
    }

    /// Changes the task and shows it if that is due.
    fn update(&self, change: impl FnOnce(&mut Task)) {
        let mut task = self.task.borrow_mut();
        let Some(task) = task.as_mut() else { return };
        change(task);
        let now = Instant::now();
        if self.is_quiet || now < task.next_update {
            return;
        }
        let line = task.line(now - task.begun);
        match &task.bar {
            Some(bar) => {
                bar.set_position(task.position());
                bar.set_message(printable(&line));
                task.next_update = now + REDRAW_INTERVAL;
            }
            None => {
                errln!("{line}");
                task.next_update = now + self.interval;
            }
        }
    }
}

impl Progress for Meter {
    fn begin(&self, name: &str, size: Size) {
        self.end();
        let now = Instant::now();
        let length = match size {
            Size::Items(count) => Some(count as u64),
            Size::Bytes { total, .. } => total,
        };
        let bar = (self.is_terminal && !self.is_quiet).then(|| bar(length));
        // A transfer shows its size at once; other work may be done before the first line is due.
        let is_due = bar.is_some() || matches!(size, Size::Bytes { .. });
        let next_update = if is_due { now } else { now + self.interval };
        let (name, detail) = (name.to_owned(), String::new());
        *self.task.borrow_mut() =
            Some(Task { name, size, done: 0, skipped: 0, bytes: 0, detail, begun: now, next_update, bar });
        self.update(|_| {});
    }

    fn step(&self, bytes: u64) {
        self.update(|task| {
            task.done += 1;
            task.bytes += bytes;
        });
    }

    fn skip(&self) {
        self.update(|task| {
            task.done += 1;
            task.skipped += 1;
        });
    }

    fn detail(&self, text: &str) {
        if let Some(task) = self.task.borrow_mut().as_mut() {
            text.clone_into(&mut task.detail);
        }
    }

    fn note(&self, text: &str) {
        match self.task.borrow().as_ref().and_then(|task| task.bar.as_ref()) {
            Some(bar) => bar.println(printable_lines(&format!("note: {text}"))),
            None => errln!("note: {text}"),
        }
    }

    fn end(&self) {
        if let Some(Task { bar: Some(bar), .. }) = self.task.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.end();
    }
}

fn bar(length: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(4));
    let style = ProgressStyle::with_template("{wide_bar} {msg} [{elapsed_precise}]");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    // The elapsed time is redrawn also while no item completes. The library panics if it cannot start its thread.
    if reeldeck_common::thread::check().is_ok() {
        bar.enable_steady_tick(Duration::from_secs(1));
    }
    bar
}

struct Task {
    name: String,
    size: Size,
    /// Items that are complete, the skipped ones among them.
    done: u64,
    skipped: u64,
    /// Bytes of the items, or of the transfer.
    bytes: u64,
    detail: String,
    begun: Instant,
    next_update: Instant,
    bar: Option<ProgressBar>,
}

impl Task {
    /// Items or bytes that are complete.
    fn position(&self) -> u64 {
        match self.size {
            Size::Items(_) => self.done,
            Size::Bytes { present, .. } => present + self.bytes,
        }
    }

    /// `writing csv: 1200/50000, 31.0 a second, 42.00 MB/s, 26 m 12 s left`.
    fn line(&self, elapsed: Duration) -> String {
        let position = self.position();
        let seconds = elapsed.as_secs_f64();
        let (mut line, total, worked) = match self.size {
            Size::Items(total) => {
                (format!("{}: {position}/{total}", self.name), Some(total as u64), self.done - self.skipped)
            }
            Size::Bytes { total, .. } => {
                let of = total.map_or(String::new(), |total| format!(" of {}", DecimalBytes(total)));
                (format!("{}: {}{of}", self.name, DecimalBytes(position)), total, self.bytes)
            }
        };
        if seconds >= 1.0 && worked > 0 {
            let rate = worked as f64 / seconds;
            if matches!(self.size, Size::Items(_)) {
                line.push_str(&format!(", {rate:.1} a second"));
            }
            if self.bytes > 0 {
                line.push_str(&format!(", {}/s", DecimalBytes((self.bytes as f64 / seconds) as u64)));
            }
            if let Some(total) = total {
                let left = total.saturating_sub(position) as f64 / rate;
                line.push_str(&format!(", {} left", duration(left)));
            }
        }
        if !self.detail.is_empty() {
            line.push_str(", ");
            line.push_str(&self.detail);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(size: Size, done: u64, skipped: u64, bytes: u64) -> Task {
        let now = Instant::now();
        let (name, detail) = ("writing csv".into(), String::new());
        Task { name, size, done, skipped, bytes, detail, begun: now, next_update: now, bar: None }
    }

    #[test]
    fn the_line_shows_counts_speed_and_remaining_time() {
        let ten = Duration::from_secs(10);
        let items = task(Size::Items(50), 20, 0, 30_000_000);
        assert_eq!(items.line(ten), "writing csv: 20/50, 2.0 a second, 3.00 MB/s, 15 s left");
        assert_eq!(items.line(Duration::from_millis(10)), "writing csv: 20/50");
        let transfer = task(Size::Bytes { present: 1_000_000, total: Some(5_000_000) }, 3, 0, 2_000_000);
        assert_eq!(transfer.line(ten), "writing csv: 3.00 MB of 5.00 MB, 200.00 kB/s, 10 s left");
        let endless = task(Size::Bytes { present: 0, total: None }, 3, 0, 2_000_000);
        assert_eq!(endless.line(ten), "writing csv: 2.00 MB, 200.00 kB/s");
    }

    #[test]
    fn skipped_items_do_not_count_towards_the_speed() {
        let mut mixed = task(Size::Items(50), 30, 20, 0);
        mixed.detail = "3 not healthy".into();
        assert_eq!(mixed.line(Duration::from_secs(10)), "writing csv: 30/50, 1.0 a second, 20 s left, 3 not healthy");
        let skipped = task(Size::Items(50), 20, 20, 0);
        assert_eq!(skipped.line(Duration::from_secs(10)), "writing csv: 20/50");
    }

    #[test]
    fn a_set_flag_cancels() {
        let flag = Arc::new(AtomicBool::new(false));
        let meter = Meter::new(true, Duration::ZERO).cancelled_by(Arc::clone(&flag));
        meter.check_cancelled().unwrap();
        flag.store(true, Ordering::Relaxed);
        let error = meter.check_cancelled().unwrap_err();
        assert_eq!(crate::error::exit_of(&error), Exit::Interrupted);
    }
}
