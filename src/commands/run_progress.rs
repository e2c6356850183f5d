//! The progress of a run: a bar on a terminal, plain lines anywhere else, and a line for each failure.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reeldeck_common::video::{printable, printable_lines};

use crate::config::Verbosity;
use crate::engine::publish::RunObserver;
use crate::out::{errln, rate};
use crate::protocol::event::Line;
use crate::protocol::snapshot::{Counts, InFlight, Phase, Snapshot};
use crate::protocol::words::{Level, describe};

/// Steps of the bar for each video.
const VIDEO: usize = 1000;

/// Shows the progress of a run on standard error.
pub(crate) struct RunProgress {
    bar: Option<ProgressBar>,
    verbosity: Verbosity,
    interval: f64,
    next_line: f64,
    last: Option<Snapshot>,
    over: bool,
    /// What is added to each line.
    suffix: String,
}

impl RunProgress {
    /// Shows a bar if standard error is a terminal, otherwise plain lines at this interval.
    pub(crate) fn new(verbosity: Verbosity, interval: Duration) -> Self {
        let quiet = verbosity == Verbosity::Quiet;
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
            let style =
                ProgressStyle::with_template("{wide_bar} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            bar
        });
        let interval = interval.as_secs_f64();
        Self { bar, verbosity, interval, next_line: interval, last: None, over: false, suffix: String::new() }
    }

    /// Shows a run that has begun before: a line now, and the next one after an interval.
    pub(crate) fn begin_at(&mut self, snapshot: &Snapshot) {
        self.next_line = snapshot.elapsed_s + self.interval;
        if self.bar.is_none() && self.verbosity > Verbosity::Quiet {
            errln!("{}", self.line(snapshot));
        }
        self.snapshot(snapshot);
    }

    /// Adds this to each line from now on.
    pub(crate) fn set_suffix(&mut self, suffix: String) {
        self.suffix = suffix;
    }

    fn line(&self, snapshot: &Snapshot) -> String {
        status(snapshot) + &self.suffix
    }

    fn say(&self, text: &str) {
        match &self.bar {
            // A bar writes to the terminal itself.
            Some(bar) => bar.println(printable_lines(text)),
            None => errln!("{text}"),
        }
    }

    /// Removes the bar and prints the state of the run.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if let Some(last) = self.last.take().filter(|last| self.verbosity > Verbosity::Quiet && last.clips_done > 0) {
            errln!("{}", self.line(&last));
        }
    }
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl RunObserver for RunProgress {
    fn event(&mut self, line: &Line, _text: &Arc<str>) {
        let least = if self.verbosity > Verbosity::Normal { Level::Detail } else { Level::Info };
        if let Some((_, text)) = describe(&line.event).filter(|(level, _)| *level >= least) {
            self.say(&text);
        }
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        let over = snapshot.phase == Phase::Idle;
        if std::mem::replace(&mut self.over, over) && over {
            return;
        }
        if over {
            self.last = Some(snapshot.clone());
            return self.finish();
        }
        if let Some(bar) = &self.bar {
            let counts = snapshot.counts;
            let settled = counts.of_this_run() - counts.unfinished();
            // A video in progress counts by the share of its clips, a finished or failed one as a whole.
            let in_flight: f64 = snapshot.devices.iter().flat_map(|d| &d.in_flight).filter_map(InFlight::share).sum();
            bar.set_length((counts.of_this_run() * VIDEO) as u64);
            bar.set_position(((settled as f64 + in_flight) * VIDEO as f64) as u64);
            bar.set_message(self.line(snapshot));
        } else if self.verbosity > Verbosity::Quiet && snapshot.elapsed_s >= self.next_line {
            self.next_line = snapshot.elapsed_s + self.interval;
            errln!("{}", self.line(snapshot));
        }
        self.last = Some(snapshot.clone());
    }
}

/// `12/40 videos, 2 failed, 3.4 clips/s, ETA 12:05`.
pub(crate) fn status(snapshot: &Snapshot) -> String {
    let reason = printable(snapshot.reason.as_deref().unwrap_or(""));
    if snapshot.phase == Phase::Starting {
        let what = if snapshot.held_by.is_some() { "waiting" } else { "starting" };
        return format!("{what}: {reason}");
    }
    let counts = snapshot.counts;
    if snapshot.phase == Phase::Waiting {
        let Counts { done, failed, queued, videos, .. } = counts;
        return format!("no run is active: {done} of {videos} videos done, {failed} failed, {queued} queued");
    }
    let of = counts.of_this_run();
    let mut text = format!("{}/{of} videos", of - counts.unfinished());
    let failed = counts.failed - counts.failed_before;
    if failed > 0 {
        text.push_str(&format!(", {failed} failed"));
    }
    let loading = snapshot.devices.iter().all(|device| device.status == "starting");
    match snapshot.phase {
        Phase::Running if loading => text.push_str(", loading the model"),
        Phase::Starting | Phase::Running | Phase::Waiting => {}
        Phase::Paused => text.push_str(", paused"),
        Phase::Held => text.push_str(&format!(", waiting: {reason}")),
        Phase::Finishing => text.push_str(", finishing the videos in progress"),
        Phase::Stopping => text.push_str(", stopping"),
        Phase::Idle if snapshot.exporting => return text + ", exporting",
        // The rate over the last minute does not apply to the whole run.
        Phase::Idle => return text + &format!(" in {}", clock(Duration::from_secs_f64(snapshot.elapsed_s))),
    }
    if let Some(clips) = snapshot.clips_per_s {
        text.push_str(&format!(", {}", rate(clips, "clips")));
    }
    if let Some(eta) = snapshot.eta_s.filter(|eta| *eta > 0) {
        text.push_str(&format!(", ETA {}", clock(Duration::from_secs(eta))));
    }
    text
}

/// `0:07`, `12:05`, `3:51:00`.
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_as_on_a_clock() {
        for (seconds, text) in [(7, "0:07"), (725, "12:05"), (13_860, "3:51:00")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
