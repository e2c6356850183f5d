//! What an engine tells machines that cannot reach its socket. It is part of the engine's file, which has a constant size.

use reeldeck_common::video::printable;
use serde::{Deserialize, Serialize};

use super::snapshot::{Counts, DeviceState, Gauges, Phase, Snapshot};

/// Longer texts are cut, in characters.
const MAX_TEXT: usize = 80;

/// Larger numbers of others are not believed, so that sums cannot overflow.
const MAX_COUNT: usize = 1 << 40;

/// The state of an engine, in short.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineReport {
    /// The feature set.
    pub set: String,
    /// The phase of the engine.
    pub phase: Phase,
    /// Why it is held or ending; at most 80 characters.
    pub reason: Option<String>,
    /// The exit code of its run, once the run and its export are over.
    pub ended: Option<u8>,
    /// An export is in progress.
    pub exporting: bool,
    /// Seconds since its run began.
    pub elapsed_s: f64,
    /// The videos by status, as far as it knows the results of other engines.
    pub counts: Counts,
    /// The number of clips of each video; 0 if it depends on the video's length.
    pub clips_per_video: usize,
    /// Clips done by this engine in its run.
    pub clips_done: usize,
    /// Clips per second of this engine over the last minute.
    pub clips_per_s: Option<f64>,
    /// Videos per second of this engine over the last minutes.
    pub videos_per_s: Option<f64>,
    /// Seconds until the end of the run, if this engine did all that is left.
    pub eta_s: Option<u64>,
    /// Its devices. Of many videos in progress, only the first one is named; texts have at most 80 characters.
    pub devices: Vec<DeviceState>,
    /// The number of devices that did not fit.
    #[serde(default)]
    pub more_devices: usize,
}

impl EngineReport {
    /// The report of an engine that prepares its first run.
    pub(crate) fn starting(set: &str) -> Self {
        Self::of(set, &Snapshot { phase: Phase::Starting, ..Snapshot::default() })
    }

    /// What a snapshot says, in short.
    pub(crate) fn of(set: &str, snapshot: &Snapshot) -> Self {
        let device = |device: &DeviceState| {
            let mut device = device.clone();
            device.detail = device.detail.as_deref().map(cut);
            device.clips_per_s = device.clips_per_s.map(rounded);
            for video in &mut device.in_flight {
                (video.video, video.seconds) = (cut(&video.video), rounded(video.seconds));
            }
            device
        };
        Self {
            set: set.to_owned(),
            phase: snapshot.phase,
            reason: snapshot.reason.as_deref().map(cut),
            ended: snapshot.ended,
            exporting: snapshot.exporting,
            elapsed_s: rounded(snapshot.elapsed_s),
            counts: snapshot.counts,
            clips_per_video: snapshot.clips_per_video,
            clips_done: snapshot.clips_done,
            clips_per_s: snapshot.clips_per_s,
            videos_per_s: snapshot.videos_per_s,
            eta_s: snapshot.eta_s,
            devices: snapshot.devices.iter().map(device).collect(),
            more_devices: 0,
        }
    }

    /// The same as a snapshot. What the report does not say is empty.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            phase: self.phase,
            reason: self.reason.clone(),
            ended: self.ended,
            exporting: self.exporting,
            elapsed_s: self.elapsed_s,
            counts: self.counts,
            clips_per_video: self.clips_per_video,
            clips_done: self.clips_done,
            clips_per_s: self.clips_per_s,
            videos_per_s: self.videos_per_s,
            eta_s: self.eta_s,
            devices: self.devices.clone(),
            ..Snapshot::default()
        }
    }

    /// Says less. False if nothing more can be left out.
    pub(crate) fn shorten(&mut self) -> bool {
        let devices = &mut self.devices;
        if devices.iter().any(|device| device.in_flight.len() > 1) {
            devices.iter_mut().for_each(|device| device.in_flight.truncate(1));
        } else if devices.iter().any(|device| !device.gauges.is_empty()) {
            devices.iter_mut().for_each(|device| device.gauges = Gauges::default());
        } else if devices.iter().any(|device| device.detail.is_some()) {
            devices.iter_mut().for_each(|device| device.detail = None);
        } else if devices.pop().is_some() {
            self.more_devices += 1;
        } else {
            return self.reason.take().is_some();
        }
        true
    }

    /// The report of another engine, whose file anybody with access to the output folder may have written: texts are escaped,
    /// and numbers are made fit for arithmetic.
    pub(crate) fn checked(mut self) -> Self {
        let rate = |rate: Option<f64>| rate.filter(|rate| (0.0..1e12).contains(rate));
        let text = |text: &mut String| *text = printable(text);
        text(&mut self.set);
        self.reason.iter_mut().for_each(text);
        self.elapsed_s = rate(Some(self.elapsed_s)).unwrap_or_default();
        (self.clips_per_s, self.videos_per_s) = (rate(self.clips_per_s), rate(self.videos_per_s));
        self.eta_s = self.eta_s.filter(|eta| *eta < MAX_COUNT as u64);
        let Counts {
            videos,
            done,
            resumed,
            degraded,
            stale,
            failed,
            failed_before,
            failed_corrupt,
            unreadable,
            queued,
            running,
            left_out,
            excluded,
            excluded_in_run,
        } = &mut self.counts;
        let counts = [
            videos,
            done,
            degraded,
            stale,
            failed,
            unreadable,
            queued,
            running,
            left_out,
            excluded,
            excluded_in_run,
            resumed,
            failed_before,
            failed_corrupt,
        ];
        let others = [&mut self.clips_per_video, &mut self.clips_done, &mut self.more_devices];
        counts.into_iter().chain(others).for_each(|count| *count = (*count).min(MAX_COUNT));
        for device in &mut self.devices {
            text(&mut device.device);
            text(&mut device.status);
            device.detail.iter_mut().for_each(text);
            device.in_flight.iter_mut().for_each(|video| text(&mut video.video));
            device.clips_per_s = rate(device.clips_per_s);
            for count in [&mut device.batch, &mut device.done, &mut device.clips] {
                *count = (*count).min(MAX_COUNT);
            }
            for video in &mut device.in_flight {
                video.clips = video.clips.min(MAX_COUNT);
            }
        }
        self
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.to_owned(),
        Some(_) => text.chars().take(MAX_TEXT - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::protocol::snapshot::InFlight;

    /// A device with so many videos in progress.
    pub(crate) fn device(number: usize, videos: usize) -> DeviceState {
        let video = |i: usize| InFlight {
            video: format!("{}/v_{number}_{i}.mp4", "é".repeat(300)),
            clips: 12,
            of: Some(100),
            frames: 3_000,
            seconds: 4.123_456_7,
        };
        DeviceState {
            device: format!("cuda:{number}"),
            status: "ready".into(),
            detail: Some("NVIDIA H200 ".repeat(30)),
            batch: 16,
            done: 1_234,
            clips: 123_400,
            in_flight: (0..videos).map(video).collect(),
            clips_per_s: Some(812.345_678_9),
            restarts: 0,
            gauges: Gauges { memory: Some([38 << 30, 141 << 30]), busy_percent: Some(41.5), ..Gauges::default() },
        }
    }

    #[test]
    fn a_report_is_shortened_until_nothing_is_left() {
        let devices = (0..3).map(|number| device(number, 4)).collect();
        let snapshot = Snapshot { devices, reason: Some("x".repeat(5_000)), ..Snapshot::default() };
        let mut report = EngineReport::of("s", &snapshot);
        assert_eq!(report.reason.as_ref().map(|reason| reason.chars().count()), Some(MAX_TEXT));
        assert_eq!(report.devices[0].in_flight[3].video.chars().count(), MAX_TEXT);
        assert!(report.shorten());
        assert!(report.devices.iter().all(|device| device.in_flight.len() == 1 && device.gauges.memory.is_some()));
        assert!(report.shorten() && report.shorten());
        assert!(report.devices.iter().all(|device| device.in_flight.len() == 1 && device.detail.is_none()));
        assert!((0..3).all(|_| report.shorten()) && report.devices.is_empty() && report.more_devices == 3);
        assert!(report.shorten() && report.reason.is_none() && !report.shorten());
    }

    #[test]
    fn a_hostile_report_is_made_harmless() {
        let mut snapshot = Snapshot { reason: Some("\u{1b}[2Jx".into()), elapsed_s: -1e300, ..Snapshot::default() };
        snapshot.counts =
            Counts { videos: 1, resumed: usize::MAX, queued: usize::MAX, running: usize::MAX, ..snapshot.counts };
        (snapshot.clips_per_s, snapshot.eta_s) = (Some(-4.0), Some(u64::MAX));
        snapshot.devices = vec![DeviceState { status: "\n\u{202e}".into(), clips_per_s: Some(1e308), ..device(0, 1) }];
        let report = EngineReport::of("a\u{7}", &snapshot).checked();
        assert_eq!((report.set.as_str(), report.reason.as_deref()), ("a\\u{7}", Some("\\u{1b}[2Jx")));
        assert_eq!((report.elapsed_s, report.clips_per_s, report.eta_s), (0.0, None, None));
        assert_eq!(report.devices[0].status, "\\n\\u{202e}");
        assert_eq!((report.counts.done_in_run(), report.counts.unfinished()), (0, 2 * MAX_COUNT));
    }
}
