//! The throughput of a run, in total and by worker, and the stage that limits it.

use std::collections::{BTreeSet, VecDeque};

use reeldeck_common::protocol::Report;

use super::eta::{Eta, Work, rest_of_video};
use super::state::{Assignment, Millis, State, VideoId};
use crate::protocol::snapshot::{Bound, Stages};

/// The window for rates of clips, in milliseconds.
const CLIPS: Millis = 60_000;
/// The window for rates of videos, which are fewer, in milliseconds.
const VIDEOS: Millis = 300_000;
/// The number of videos whose reports tell the limiting stage.
const REPORTS: usize = 32;

/// Cumulative counts over time.
#[derive(Debug, Default)]
struct Samples(VecDeque<(Millis, usize)>);

impl Samples {
    fn take(&mut self, now: Millis, done: usize, window: Millis) {
        if self.0.back().is_some_and(|(at, before)| now < at + 1_000 && done >= *before) {
            return;
        }
        // The clips of videos that were in progress when a worker crashed are computed again.
        self.0.retain(|(_, before)| *before <= done);
        self.0.push_back((now, done));
        while self.0.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) > window) {
            self.0.pop_front();
        }
    }

    fn per_second(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.0.front()?, self.0.back()?);
        let seconds = (to - from) as f64 / 1000.0;
        (seconds >= 1.0 && after > before).then(|| (after - before) as f64 / seconds)
    }
}

/// The rates of a run.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    clips: Samples,
    videos: Samples,
    workers: Vec<Samples>,
    reports: VecDeque<[u64; 4]>,
    eta: Eta,
    /// The videos that a check has found to be corrupt, which take no time.
    corrupt: BTreeSet<VideoId>,
    /// When the last sample was taken while the run worked.
    worked: Option<Millis>,
}

impl Rate {
    /// Begins another run.
    pub(crate) fn begin(&mut self) {
        (self.eta, self.worked) = Default::default();
    }

    /// Takes a sample. Time in which the run is paused, held or over does not count.
    pub(crate) fn sample(&mut self, state: &State, now: Millis) {
        let works = state.paused.is_none() && state.hold.is_none() && !state.is_over();
        let loaded = state.workers.iter().any(|w| w.detail.is_some());
        if !works || !loaded {
            (self.clips, self.videos) = Default::default();
            self.workers.clear();
            self.worked = None;
            return;
        }
        let since = self.worked.replace(now).unwrap_or(now);
        let (part, left) = self.work(state);
        let rest_s = self.longest_rest_s(state, now);
        self.eta.sample(now.saturating_sub(since) as f64 / 1000.0, part, left, rest_s);
        self.clips.take(now, state.clips_done(), CLIPS);
        self.videos.take(now, state.workers.iter().map(|worker| worker.done).sum(), VIDEOS);
        self.workers.resize_with(state.workers.len(), Samples::default);
        for (samples, worker) in self.workers.iter_mut().zip(&state.workers) {
            samples.take(now, worker.all_clips(), CLIPS);
        }
    }

    /// A check has found that a video is corrupt, or its file has changed since.
    pub(crate) fn set_corrupt(&mut self, video: VideoId, is_corrupt: bool) {
        if is_corrupt {
            self.corrupt.insert(video);
        } else {
            self.corrupt.remove(&video);
        }
    }

    /// The longest remaining time of a video in progress, at least, in seconds.
    fn longest_rest_s(&self, state: &State, now: Millis) -> f64 {
        let in_flight = state.workers.iter().flat_map(|worker| &worker.in_flight);
        let rest = |assignment: &Assignment| {
            let elapsed = now.saturating_sub(assignment.begun?) as f64 / 1000.0;
            Some(rest_of_video(elapsed, assignment.progress.share()))
        };
        in_flight.filter_map(rest).fold(0.0, f64::max)
    }

    /// What is done of the videos in progress, and what is left without that. Videos that are known to be corrupt are neither.
    fn work(&self, state: &State) -> (Work, Work) {
        let mut part = Work::default();
        let in_flight = state.workers.iter().flat_map(|worker| &worker.in_flight);
        for assignment in in_flight.filter(|assignment| !self.corrupt.contains(&assignment.video)) {
            let share = assignment.progress.share();
            part.videos += share;
            part.bytes += share * assignment.bytes as f64;
        }
        let corrupt = self.corrupt.iter().filter_map(|id| state.videos.get(*id));
        let (mut videos, mut bytes) = (state.counts().unfinished(), state.bytes_left());
        for video in corrupt.filter(|video| video.status.is_unfinished()) {
            videos = videos.saturating_sub(1);
            bytes = bytes.saturating_sub(video.bytes);
        }
        (part, Work { videos: (videos as f64 - part.videos).max(0.0), bytes: bytes as f64 })
    }

    /// A guess of the remaining time in seconds, before there is an estimate.
    pub(crate) fn guess_s(&self) -> Option<f64> {
        self.eta.guess_s()
    }

    /// The remaining time in seconds.
    pub(crate) fn eta_s(&self) -> Option<f64> {
        self.eta.seconds()
    }

    /// Adds the durations of a finished video of this size in bytes; with whether all videos have the same number of clips.
    pub(crate) fn report(&mut self, report: &Report, bytes: u64, same_clips: bool) {
        let Report { decode_ms, model_ms, wait_ms, write_ms, .. } = *report;
        // A longer video, with its larger file, has more clips unless their number is fixed.
        let (fixed_ms, by_size_ms) =
            if same_clips { (model_ms + write_ms, wait_ms) } else { (write_ms, model_ms + wait_ms) };
        self.eta.finished(bytes as f64, fixed_ms as f64 / 1000.0, by_size_ms as f64 / 1000.0);
        // The durations of an unreported video are unknown.
        if model_ms + wait_ms + write_ms > 0 {
            self.reports.push_back([decode_ms, model_ms, wait_ms, write_ms]);
            self.reports.drain(..self.reports.len().saturating_sub(REPORTS));
        }
    }

    /// Clips per second of all workers.
    pub(crate) fn clips_per_s(&self) -> Option<f64> {
        self.clips.per_second()
    }

    /// Clips per second of one worker.
    pub(crate) fn clips_per_s_of(&self, worker: usize) -> Option<f64> {
        self.workers.get(worker)?.per_second()
    }

    /// Videos per second of all workers.
    pub(crate) fn videos_per_s(&self) -> Option<f64> {
        self.videos.per_second()
    }

    /// How the time of the last videos divides among the stages, weighted by duration. The model thread's time is the total: it
    /// computes, waits for frames, or writes features. Decoding runs in parallel.
    pub(crate) fn stages(&self) -> Option<Stages> {
        let sum = |at: usize| self.reports.iter().filter_map(|report| report.get(at)).sum::<u64>() as f64;
        let [decode, model, wait, write] = [0, 1, 2, 3].map(sum);
        let wall = model + wait + write;
        if wall <= 0.0 {
            return None;
        }
        // The stage that the model waits for limits the run, not the one that is busiest.
        let bound = if wait > model.max(write) {
            Bound::Decode
        } else if write > model {
            Bound::Disk
        } else {
            Bound::Model
        };
        let share = |ms: f64| (ms / wall).min(1.0) as f32;
        Some(Stages { decode: share(decode), model: share(model), write: share(write), bound })
    }
}

#[cfg(test)]
mod tests {
    use reeldeck_common::source::SourceStamp;
    use reeldeck_common::video::VideoName;

    use super::*;
    use crate::dataset::scan::VideoFile;
    use crate::engine::state::{Rules, Status, Video};

    fn report(decode_ms: u64, model_ms: u64, wait_ms: u64, write_ms: u64) -> Report {
        Report { clips: 4, clips_computed: 4, decode_ms, model_ms, wait_ms, write_ms, ..Report::default() }
    }

    #[test]
    fn the_stage_that_the_others_wait_for_is_named() {
        let stages = |reports: &[Report]| {
            let mut rate = Rate::default();
            reports.iter().for_each(|report| rate.report(report, 1, true));
            rate.stages()
        };
        assert_eq!(stages(&[]), None);
        assert_eq!(stages(&[report(0, 0, 0, 0)]), None);
        let bound = |report| stages(&[report]).unwrap().bound;
        assert_eq!(bound(report(100, 900, 90, 10)), Bound::Model);
        // Decoding that keeps up does not limit the run, however much time it takes.
        assert_eq!(bound(report(4000, 900, 90, 10)), Bound::Model);
        assert_eq!(bound(report(900, 300, 690, 10)), Bound::Decode);
        assert_eq!(bound(report(100, 300, 100, 600)), Bound::Disk);
        // A long video counts for more than a short one.
        let mixed = stages(&[report(10, 10, 90, 0), report(500, 9000, 800, 100)]).unwrap();
        assert_eq!((mixed.bound, mixed.decode, mixed.model, mixed.write), (Bound::Model, 0.051, 0.901, 0.01));
        // Only the last videos count.
        let mut many = vec![report(900, 300, 690, 10); 100];
        many.extend(vec![report(100, 900, 90, 10); REPORTS]);
        assert_eq!(stages(&many).unwrap().bound, Bound::Model);
    }

    #[test]
    fn videos_that_are_known_to_be_corrupt_are_no_work() {
        let stamp = |size| SourceStamp { size, mtime_ns: 0 };
        let file =
            |(at, size)| VideoFile { name: VideoName::new(&format!("A/v_{at}.mp4")).unwrap(), stamp: stamp(size) };
        let work = super::super::state::Work {
            files: [100, 200, 300].into_iter().enumerate().map(file).collect(),
            videos: vec![Video::new(Status::Queued); 3].into(),
            ..Default::default()
        };
        let state = State::new(work, vec![], Rules { clips: None, stall_timeout: 1, wall_limit: 1 });
        let mut rate = Rate::default();
        assert_eq!(rate.work(&state).1, Work { videos: 3.0, bytes: 600.0 });
        rate.set_corrupt(VideoId(1), true);
        rate.set_corrupt(VideoId(9), true);
        assert_eq!(rate.work(&state).1, Work { videos: 2.0, bytes: 400.0 });
        rate.set_corrupt(VideoId(1), false);
        assert_eq!(rate.work(&state).1, Work { videos: 3.0, bytes: 600.0 });
    }

    #[test]
    fn rates_cover_the_window_and_drop_lost_clips() {
        let mut samples = Samples::default();
        for second in 0..200 {
            samples.take(second * 1000, second as usize * 2, CLIPS);
        }
        assert_eq!(samples.per_second(), Some(2.0));
        assert!(samples.0.len() <= 62);
        samples.take(200_500, 390, CLIPS);
        assert!(samples.per_second().unwrap() < 2.0);
        assert_eq!(Samples::default().per_second(), None);
    }
}
