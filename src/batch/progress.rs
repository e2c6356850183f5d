//! Progress of a run for people: one bar on a terminal, plain lines anywhere else, a line for each failure.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reeldeck_contract::video::printable;

use crate::config::{Settings, Verbosity};
use crate::engine::run::Front;
use crate::engine::state::{Millis, News, State, VideoId};

/// Shows a run on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    verbosity: Verbosity,
    interval: Millis,
    next_line: Millis,
    now: Millis,
}

impl Progress {
    /// A bar where standard error is a terminal, else plain lines at the configured interval.
    pub fn new(settings: &Settings) -> Self {
        let quiet = settings.verbosity == Verbosity::Quiet;
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
            let style =
                ProgressStyle::with_template("{wide_bar} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            bar
        });
        let interval = settings.plain_interval.as_millis() as Millis;
        Self { bar, verbosity: settings.verbosity, interval, next_line: interval, now: 0 }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self, state: &State) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.verbosity > Verbosity::Quiet && state.clips_done() > 0 {
            eprintln!("{}", status(state, self.now));
        }
    }
}

fn name(state: &State, video: VideoId) -> String {
    state.videos.get(video).map(|v| printable(v.name.as_str())).unwrap_or_default()
}

impl Front for Progress {
    fn news(&mut self, state: &State, news: &News) {
        let device = |worker: &usize| state.workers.get(*worker).map_or("?", |w| w.device.as_str()).to_owned();
        match news {
            News::Failed(video, failure, true) => {
                self.say(&format!("failed {}: {}", name(state, *video), printable(&failure.line())))
            }
            News::Failed(video, failure, false) => {
                self.say(&format!("will try {} again: {}", name(state, *video), printable(&failure.line())));
            }
            News::WorkerRestarts(worker, how) => self.say(&format!("{} starts again: {how}", device(worker))),
            News::WorkerLost(worker, why) => self.say(&format!("{} is given up: {}", device(worker), printable(why))),
            News::Finishing => self.say("finishing what is in hand; interrupt again to stop now"),
            News::Aborting => self.say("stopping now"),
            News::Blocked(why) => self.say(&format!("cannot go on: {}", printable(why))),
            News::Done(video, report) if self.verbosity > Verbosity::Normal => {
                let (frames, seconds) = (report.frames.output, (report.model_ms + report.wait_ms) as f64 / 1000.0);
                self.say(&format!("done {}: {frames} frames in {seconds:.1} s", name(state, *video)));
            }
            News::Done(..) => {}
            News::WorkerReady(worker) if self.verbosity > Verbosity::Normal => {
                self.say(&format!("{} is ready", device(worker)))
            }
            News::WorkerReady(_) => {}
        }
    }

    fn tick(&mut self, state: &State, now: Millis) {
        self.now = now;
        if let Some(bar) = &self.bar {
            let counts = state.counts();
            let total = (state.videos.len() - counts.resumed - counts.left_out) * state.clips;
            let settled = state.videos.len() - counts.resumed - counts.left_out - counts.unfinished;
            // A video counts as whole when it is settled, and by its clips while it is in hand.
            let done = settled * state.clips + state.clips_done() - (counts.done - counts.resumed) * state.clips;
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            bar.set_message(status(state, now));
        } else if self.verbosity > Verbosity::Quiet && now >= self.next_line {
            self.next_line = now + self.interval;
            eprintln!("{}", status(state, now));
        }
    }
}

/// `12/40 videos, 2 failed, 3.4 clips/s, ETA 12:05`.
fn status(state: &State, now: Millis) -> String {
    let counts = state.counts();
    let of = state.videos.len() - counts.resumed - counts.left_out;
    let mut text = format!("{}/{of} videos", of - counts.unfinished);
    if counts.failed > 0 {
        text.push_str(&format!(", {} failed", counts.failed));
    }
    let seconds = state.ready_since.map_or(0.0, |since| now.saturating_sub(since) as f64 / 1000.0);
    let clips = state.clips_done();
    if seconds < 1.0 || clips == 0 {
        let starting = if state.ready_since.is_none() { ", loading the model" } else { "" };
        return text + starting;
    }
    let rate = clips as f64 / seconds;
    text.push_str(&format!(", {rate:.1} clips/s"));
    let in_hand = clips - (counts.done - counts.resumed) * state.clips;
    let left = (counts.unfinished * state.clips).saturating_sub(in_hand);
    if left > 0 {
        text.push_str(&format!(", ETA {}", clock(Duration::from_secs_f64(left as f64 / rate))));
    }
    text
}

/// `0:07`, `12:05`, `3:51:00`.
fn clock(duration: Duration) -> String {
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
    fn times_read_as_on_a_clock() {
        for (seconds, text) in [(7, "0:07"), (725, "12:05"), (13_860, "3:51:00")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
