//! Publishes events and snapshots.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, Incoming, JournalEntry, Line, Phase, PublishedEvent, PublishedPhase, Snapshot, describe, publish};
use crate::monitor::Monitor;
use crate::monitor::gpu::Driver;
use crate::protocol::words::Level;

/// Older measurements are not published.
const MAX_READING_AGE: Duration = Duration::from_secs(10);

/// The interval of ticks and snapshots.
const TICK: Duration = Duration::from_millis(250);

/// The ticks that drive the state machine and the observers.
pub(super) fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

impl Engine {
    /// Starts to measure the machine, while `wanted` returns true.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub(crate) fn measure(&mut self, wanted: impl Fn() -> bool + Send + 'static) -> io::Result<()> {
        let devices = self.state.workers.iter().map(|worker| worker.device.clone()).collect();
        let sender = self.sender.clone();
        let tell = move |reading| drop(sender.send(Incoming::Measured(reading)));
        let out = self.plan.layout.out().to_owned();
        self.monitor = Some(Monitor::start(devices, out, Driver::default(), wanted, tell)?);
        Ok(())
    }

    /// Publishes an event to the log, the journal and all observers.
    pub(crate) fn tell(&mut self, event: PublishedEvent) {
        self.told += 1;
        let line = Line::now(event);
        if let Some((level, text)) = describe(&line.event) {
            log(level, &line.event, &text);
        }
        let text: Arc<str> = line.text().into();
        // Events between runs do not matter to the next engine, and a journal without a run would hide the last one.
        if !matches!(line.event, PublishedEvent::Progress { .. }) && self.state.phase != Phase::Waiting {
            self.journal_writer.write(JournalEntry::Line(Arc::clone(&text)));
        }
        for observer in &mut self.observers {
            observer.event(&line, &text);
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let elapsed = match (self.over, self.state.is_over()) {
            // No run has started yet, or it starts now and its time is not noted yet.
            (Some(_), false) => 0,
            _ if !self.begun => 0,
            (over, _) => {
                let until = over.unwrap_or(self.now());
                let pause = self.state.paused.map_or(0, |since| until.saturating_sub(since));
                (until - self.run_began).saturating_sub(self.state.paused_for + pause)
            }
        };
        let ended = self.ended.filter(|_| self.state.is_over());
        let mut snapshot = publish::snapshot(&self.state, &self.rate, elapsed, self.now());
        if ended.is_some() {
            snapshot.phase = PublishedPhase::Idle;
        }
        let has_nothing = snapshot.phase == PublishedPhase::Running && snapshot.counts.running == 0;
        if has_nothing && snapshot.counts.queued > 0 {
            snapshot.reason = self.wait.reason();
        }
        if let Some((_, reading)) = self.measured.as_ref().filter(|(when, _)| when.elapsed() < MAX_READING_AGE) {
            snapshot.machine = reading.machine.clone();
            for (device, gauges) in snapshot.devices.iter_mut().zip(&reading.gauges) {
                device.gauges = *gauges;
            }
        }
        snapshot.machine.disk_needed = Some(snapshot.counts.unfinished() as u64 * self.plan.feature_size);
        // While a run is active, the last one is of no interest.
        let is_active = !matches!(snapshot.phase, PublishedPhase::Waiting | PublishedPhase::Idle);
        let needs = self.plan.needs.clone();
        // Until a run that is over has been summed up, the last summary is that of an older run.
        let is_summed_up = !self.begun || self.ended.is_some();
        let last_run = self.last_run.clone().filter(|_| !is_active && is_summed_up);
        Snapshot {
            ended,
            exporting: self.exporting.is_some(),
            watch: self.dataset.words.clone(),
            last_run,
            needs,
            ..snapshot
        }
    }

    /// Publishes the end of a run and its export.
    pub(crate) fn end(&mut self, exit: u8, reason: Option<String>) {
        self.ended = Some(exit);
        let (counts, seconds) = (self.state.counts(), self.snapshot().elapsed_s);
        self.sum_up(exit, reason.clone(), counts, seconds);
        self.tell(PublishedEvent::RunEnded { exit, counts, seconds, reason });
        self.show();
    }

    pub(super) fn show(&mut self) {
        let snapshot = self.snapshot();
        for observer in &mut self.observers {
            observer.snapshot(&snapshot);
        }
    }
}

/// Logs an event with the video and device that it concerns.
fn log(level: Level, event: &PublishedEvent, text: &str) {
    let (video, device) = match event {
        PublishedEvent::VideoStarted { video, device, .. }
        | PublishedEvent::VideoDone { video, device, .. }
        | PublishedEvent::VideoFailed { video, device, .. } => (Some(video.as_str()), Some(device.as_str())),
        PublishedEvent::VideoReturned { video, .. } => (Some(video.as_str()), None),
        PublishedEvent::WorkerReady { device, .. }
        | PublishedEvent::WorkerWarning { device, .. }
        | PublishedEvent::WorkerRestarted { device, .. }
        | PublishedEvent::WorkerLost { device, .. }
        | PublishedEvent::BatchReduced { device, .. } => (None, Some(device.as_str())),
        _ => (None, None),
    };
    match level {
        Level::Problem => tracing::warn!(video, device, "{text}"),
        Level::Info => tracing::info!(video, device, "{text}"),
        Level::Detail => tracing::debug!(video, device, "{text}"),
    }
}
