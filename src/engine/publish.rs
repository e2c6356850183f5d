//! Translates notices into events of the protocol, and the state into snapshots.

use std::sync::Arc;

use super::event::Notice;
use super::other_files::OtherFiles;
use super::rate::Rate;
use super::state::{Millis, Phase, State, VideoId, Worker, WorkerId, WorkerStatus};
use crate::protocol::event::{Event, Line};
use crate::protocol::snapshot::{DeviceState, InFlight, Phase as PublishedPhase, Snapshot};

/// Follows a run.
pub(crate) trait RunObserver: Send {
    /// An event, and its text as one line of JSON.
    fn event(&mut self, line: &Line, text: &Arc<str>);
    /// The state of the run, four times a second.
    fn snapshot(&mut self, snapshot: &Snapshot);
    /// The status of these videos has changed.
    fn changed(&mut self, _state: &State, _videos: &[VideoId]) {}
    /// The files of the dataset folder that are no videos.
    fn others(&mut self, _others: &Arc<OtherFiles>) {}
}

/// A snapshot of the state and its rates.
pub(crate) fn snapshot(state: &State, rate: &Rate, elapsed: Millis, now: Millis) -> Snapshot {
    let counts = state.counts();
    let clips_per_s = rate.clips_per_s();
    let (phase, reason) = phase(state);
    Snapshot {
        revision: state.revision,
        phase,
        reason,
        ended: None,
        exporting: false,
        elapsed_s: elapsed as f64 / 1000.0,
        counts,
        clips_per_video: state.rules.clips.unwrap_or(0),
        clips_done: state.clips_done(),
        clips_per_s,
        eta_s: rate.eta_s().filter(|_| counts.unfinished() > 0).map(|seconds| seconds.ceil() as u64),
        eta_guess_s: rate.guess_s().filter(|_| counts.unfinished() > 0).map(|seconds| seconds.ceil() as u64),
        devices: state.workers.iter_enumerated().map(|(id, worker)| device(state, rate, id, worker, now)).collect(),
        held_by: state.hold.as_ref().filter(|_| phase == PublishedPhase::Held).map(|hold| hold.folder),
        states: Default::default(),
        findings: Default::default(),
        needs: None,
        last_run: None,
        scan: None,
        watch: None,
        machine: Default::default(),
        stages: rate.stages(),
        videos_per_s: rate.videos_per_s(),
    }
}

fn phase(state: &State) -> (PublishedPhase, Option<String>) {
    match &state.phase {
        Phase::Waiting => (PublishedPhase::Waiting, None),
        _ if state.is_over() => (PublishedPhase::Idle, state.blocked().map(str::to_owned)),
        Phase::Aborting => (PublishedPhase::Stopping, None),
        Phase::Finishing { because } => (PublishedPhase::Finishing, because.clone()),
        Phase::Running if state.paused.is_some() => (PublishedPhase::Paused, None),
        Phase::Running => match &state.hold {
            Some(hold) => (PublishedPhase::Held, Some(hold.reason.clone())),
            None => (PublishedPhase::Running, None),
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
    let in_flight = worker.in_flight.iter().map(|assignment| InFlight {
        video: state.name(assignment.video).to_owned(),
        clips: assignment.progress.clips,
        of: assignment.progress.of,
        frames: assignment.progress.frames,
        seconds: assignment
            .begun
            .map_or(0.0, |begun| state.paused.unwrap_or(now).saturating_sub(begun) as f64 / 1000.0),
    });
    DeviceState {
        device: worker.device.clone(),
        status: status.into(),
        detail,
        batch: worker.batch,
        done: worker.done,
        clips: worker.all_clips(),
        in_flight: in_flight.collect(),
        clips_per_s: rate.clips_per_s_of(id.0),
        restarts: worker.restarts,
        gauges: Default::default(),
    }
}

/// The event of the protocol for a notice.
pub(crate) fn event(state: &State, notice: Notice) -> Event {
    let device = |id: WorkerId| state.workers.get(id).map(|w| w.device.clone()).unwrap_or_default();
    let video = |id: VideoId| state.name(id).to_owned();
    let alone = |id: WorkerId| state.workers.get(id).is_some_and(Worker::is_isolated);
    let attempts = |id: VideoId| state.videos.get(id).map_or(0, |v| v.attempts);
    match notice {
        Notice::WorkerReady(worker, load_ms) => {
            let detail = state.workers.get(worker).and_then(|w| w.detail.clone()).unwrap_or_default();
            Event::WorkerReady { worker: worker.0, device: device(worker), detail, load_ms }
        }
        Notice::WorkerWarns(worker, text) => Event::WorkerWarning { worker: worker.0, device: device(worker), text },
        Notice::WorkerRestarts(worker, reason) => {
            Event::WorkerRestarted { worker: worker.0, device: device(worker), reason }
        }
        Notice::WorkerLost(worker, reason) => Event::WorkerLost { worker: worker.0, device: device(worker), reason },
        Notice::BatchHalved(worker, batch) => Event::BatchReduced { worker: worker.0, device: device(worker), batch },
        Notice::Assigned(worker, id) => {
            Event::VideoAssigned { video: video(id), worker: worker.0, device: device(worker), alone: alone(worker) }
        }
        Notice::Started(worker, id) => Event::VideoStarted {
            video: video(id),
            worker: worker.0,
            device: device(worker),
            attempt: attempts(id) + 1,
            alone: alone(worker),
        },
        Notice::Done(worker, id, report) => Event::VideoDone {
            video: video(id),
            worker: worker.0,
            device: device(worker),
            degraded: report.frames.is_damaged(),
            report,
        },
        Notice::Failed(worker, id, failure, again) => Event::VideoFailed {
            video: video(id),
            worker: worker.0,
            device: device(worker),
            attempt: attempts(id),
            kind: failure.kind,
            error: failure.line(),
            retry_in_s: again.map(|ms| ms as f64 / 1000.0),
        },
        Notice::Returned(id, reason) => Event::VideoReturned { video: video(id), reason },
        Notice::Paused => Event::Paused,
        Notice::Resumed => Event::Resumed,
        Notice::Held(folder, reason) => Event::Held { folder, reason },
        Notice::DatasetBack => Event::DatasetBack,
        Notice::OutputBack(lost) => Event::OutputBack { lost },
        Notice::Requeued(videos) => Event::Requeued { videos },
        Notice::Finishing => Event::Stopping,
        Notice::Aborting => Event::StoppingNow,
        Notice::Blocked(reason) => Event::Blocked { reason },
    }
}
