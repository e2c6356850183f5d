//! The progress of a run: a bar on a terminal, plain lines anywhere else, and a line for each failure.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reeldeck_common::video::{printable, printable_lines};

use crate::config::Verbosity;
use crate::engine::publish::RunObserver;
use crate::out::{duration, errln, rate};
use crate::protocol::event::Line;
use crate::protocol::snapshot::{InFlight, Phase, Snapshot};
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
            let processed = counts.processed_in_run();
            // A video in progress counts by the share of its clips, a finished or failed one as a whole.
            let in_flight: f64 = snapshot.devices.iter().flat_map(|d| &d.in_flight).filter_map(InFlight::share).sum();
            bar.set_length(((processed + counts.unfinished()) * VIDEO) as u64);
            bar.set_position(((processed as f64 + in_flight) * VIDEO as f64) as u64);
            bar.set_message(self.line(snapshot));
        } else if self.verbosity > Verbosity::Quiet && snapshot.elapsed_s >= self.next_line {
            self.next_line = snapshot.elapsed_s + self.interval;
            errln!("{}", self.line(snapshot));
        }
        self.last = Some(snapshot.clone());
    }
}

/// `12 of 40 videos done, 2 failed, 26 queued, 3.4 clips/s, ETA 12 m 5 s`.
pub(crate) fn status(snapshot: &Snapshot) -> String {
    let reason = printable(snapshot.reason.as_deref().unwrap_or(""));
    if snapshot.phase == Phase::Starting {
        let what = if snapshot.held_by.is_some() { "waiting" } else { "starting" };
        return format!("{what}: {reason}");
    }
    let mut text = snapshot.counts.in_words();
    if snapshot.phase == Phase::Waiting {
        return format!("no run is active: {text}");
    }
    let loading = !snapshot.devices.is_empty() && snapshot.devices.iter().all(|device| device.status == "starting");
    match snapshot.phase {
        Phase::Running if loading => text.push_str(", loading the model"),
        Phase::Running if !reason.is_empty() => text.push_str(&format!(", {reason}")),
        Phase::Starting | Phase::Running | Phase::Waiting => {}
        Phase::Paused => text.push_str(", paused"),
        Phase::Held => text.push_str(&format!(", waiting: {reason}")),
        Phase::Finishing => text.push_str(", finishing the videos in progress"),
        Phase::Stopping => text.push_str(", stopping"),
        Phase::Idle if snapshot.exporting => return text + ", exporting",
        // The rate over the last minute does not apply to the whole run.
        Phase::Idle => return text + &format!("; the run took {}", duration(snapshot.elapsed_s)),
    }
    if let Some(clips) = snapshot.clips_per_s {
        text.push_str(&format!(", {}", rate(clips, "clips")));
    }
    if let Some(eta) = snapshot.eta_s.filter(|eta| *eta > 0) {
        text.push_str(&format!(", ETA {}", duration(eta as f64)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::snapshot::Counts;

    #[test]
    fn a_state_has_the_same_counts_in_every_phase() {
        let counts =
            Counts { videos: 72, done: 69, resumed: 60, failed: 2, failed_before: 1, excluded: 1, ..Counts::default() };
        let at = |phase, counts| status(&Snapshot { phase, counts, elapsed_s: 77.0, ..Snapshot::default() });
        let all = "69 of 72 videos done, 2 failed, 1 excluded";
        assert_eq!(at(Phase::Waiting, counts), format!("no run is active: {all}"));
        assert_eq!(at(Phase::Idle, counts), format!("{all}; the run took 1 m 17 s"));
        assert_eq!(at(Phase::Paused, counts), format!("{all}, paused"));
        let reason = Some("waiting for other engines".into());
        let waits = Snapshot { phase: Phase::Running, reason, counts, ..Snapshot::default() };
        assert_eq!(status(&waits), format!("{all}, waiting for other engines"));
        let running =
            Snapshot { clips_per_s: Some(3.4), eta_s: Some(725), phase: Phase::Paused, ..Snapshot::default() };
        let counts = Counts { done: 59, queued: 8, running: 2, ..counts };
        assert_eq!(
            status(&Snapshot { counts, ..running }),
            "59 of 72 videos done, 2 failed, 10 queued, 1 excluded, paused, 3.4 clips/s, ETA 12 m 5 s"
        );
    }
}
