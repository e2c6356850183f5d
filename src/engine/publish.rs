//! Translates notices into events of the protocol, and the state into snapshots.

use std::sync::Arc;

use super::event::News;
use super::rate::Rate;
use super::state::{Millis, Phase, State, VideoId, Worker, WorkerId, WorkerStatus};
use crate::protocol::event::{Event, Line};
use crate::protocol::snapshot::{DeviceState, InHand, Phase as Shown, Snapshot};

/// Follows a run.
pub trait RunObserver {
    /// Something has happened; also as the text of one line.
    fn event(&mut self, line: &Line, text: &Arc<str>);
    /// A quarter of a second has passed.
    fn snapshot(&mut self, snapshot: &Snapshot);
    /// These videos stand elsewhere now.
    fn changed(&mut self, _state: &State, _videos: &[VideoId]) {}
}

/// A snapshot of the state and its rates.
pub fn snapshot(state: &State, rate: &Rate, elapsed: Millis, now: Millis) -> Snapshot {
    let counts = state.counts();
    let clips_per_s = rate.clips_per_s();
    let in_hand: usize = state.workers.iter().flat_map(|w| &w.in_hand).map(|hand| hand.clips).sum();
    let left = (counts.unfinished() * state.rules.clips).saturating_sub(in_hand);
    let (phase, reason) = phase(state);
    Snapshot {
        revision: state.revision,
        phase,
        reason,
        ended: None,
        exporting: false,
        elapsed_s: elapsed as f64 / 1000.0,
        counts,
        clips_per_video: state.rules.clips,
        clips_done: state.clips_done(),
        clips_per_s,
        eta_s: clips_per_s.map(|rate| (left as f64 / rate).ceil() as u64),
        devices: state.workers.iter().enumerate().map(|(id, worker)| device(state, rate, id, worker, now)).collect(),
        states: Default::default(),
        scan: None,
        watch: None,
        machine: Default::default(),
        stages: rate.stages(),
        videos_per_s: rate.videos_per_s(),
    }
}

fn phase(state: &State) -> (Shown, Option<String>) {
    match &state.phase {
        Phase::Waiting => (Shown::Waiting, None),
        _ if state.is_over() => (Shown::Idle, state.blocked().map(str::to_owned)),
        Phase::Aborting => (Shown::Stopping, None),
        Phase::Finishing { because } => (Shown::Finishing, because.clone()),
        Phase::Running if state.paused.is_some() => (Shown::Paused, None),
        Phase::Running => match &state.hold {
            Some(hold) => (Shown::Held, Some(hold.reason.clone())),
            None => (Shown::Running, None),
        },
    }
}

fn device(state: &State, rate: &Rate, id: WorkerId, worker: &Worker, now: Millis) -> DeviceState {
    let (status, detail) = match &worker.status {
        WorkerStatus::Starting => ("starting", None),
        WorkerStatus::Ready => ("ready", worker.detail.clone()),
        WorkerStatus::Leaving => ("leaving", None),
        WorkerStatus::Left => ("left", None),
        WorkerStatus::Lost { reason } => ("lost", Some(reason.clone())),
    };
    let in_hand = worker.in_hand.iter().map(|hand| InHand {
        video: state.name(hand.video).to_owned(),
        clips: hand.clips,
        seconds: hand.begun.map_or(0.0, |begun| state.paused.unwrap_or(now).saturating_sub(begun) as f64 / 1000.0),
    });
    DeviceState {
        device: worker.device.clone(),
        status: status.into(),
        detail,
        batch: worker.batch,
        done: worker.done,
        clips: worker.all_clips(),
        in_hand: in_hand.collect(),
        clips_per_s: rate.clips_per_s_of(id),
        restarts: worker.restarts,
        gauges: Default::default(),
    }
}

/// The event of the protocol for a notice.
pub fn event(state: &State, news: News) -> Event {
    let device = |id: WorkerId| state.workers.get(id).map(|w| w.device.clone()).unwrap_or_default();
    let video = |id: VideoId| state.name(id).to_owned();
    let attempts = |id: VideoId| state.videos.get(id).map_or(0, |v| v.attempts);
    match news {
        News::WorkerReady(worker, load_ms) => {
            let detail = state.workers.get(worker).and_then(|w| w.detail.clone()).unwrap_or_default();
            Event::WorkerReady { worker, device: device(worker), detail, load_ms }
        }
        News::WorkerRestarts(worker, reason) => Event::WorkerRestarted { worker, device: device(worker), reason },
        News::WorkerLost(worker, reason) => Event::WorkerLost { worker, device: device(worker), reason },
        News::Smaller(worker, batch) => Event::BatchReduced { worker, device: device(worker), batch },
        News::Started(worker, id) => {
            let alone = state.workers.get(worker).is_some_and(Worker::is_isolated);
            Event::VideoStarted { video: video(id), worker, device: device(worker), attempt: attempts(id) + 1, alone }
        }
        News::Done(worker, id, report) => Event::VideoDone {
            video: video(id),
            worker,
            device: device(worker),
            degraded: report.frames.is_damaged(),
            report,
        },
        News::Failed(worker, id, failure, again) => Event::VideoFailed {
            video: video(id),
            worker,
            device: device(worker),
            attempt: attempts(id),
            kind: failure.kind,
            error: failure.line(),
            retry_in_s: again.map(|ms| ms as f64 / 1000.0),
        },
        News::Returned(id, reason) => Event::VideoReturned { video: video(id), reason },
        News::Paused => Event::Paused,
        News::Resumed => Event::Resumed,
        News::Held(reason) => Event::Held { reason },
        News::OutputBack(lost) => Event::OutputBack { lost },
        News::Requeued(videos) => Event::Requeued { videos },
        News::Finishing => Event::Stopping,
        News::Aborting => Event::StoppingNow,
        News::Blocked(reason) => Event::Blocked { reason },
    }
}
