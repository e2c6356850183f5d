//! Messages of workers as events, and features that a worker did not report before it exited.

use std::time::Duration;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::{FromWorker, JobId, Report, VERSION};
use reeldeck_common::video::VideoName;

use super::{Engine, Event, Heard, Incoming, WorkerProcess};
use crate::engine::assess;

/// How long the search for unreported features may take: the output folder may not respond.
const PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// Looks for the features of videos that were in flight in a process that has exited. A worker that exits after writing a
    /// feature and before reporting it has finished that video.
    pub(super) fn look_for_untold(&self, process: WorkerProcess, how: String) {
        // The jobs now belong to the process that was started after it.
        if !self.state.is_current(process) {
            return;
        }
        let worker = process.worker;
        let clips = self.state.rules.clips;
        let hands = self.state.workers.get(worker).map(|w| w.in_hand.as_slice()).unwrap_or_default();
        let in_hand: Vec<_> = hands
            .iter()
            .filter(|hand| hand.released.is_some())
            .filter_map(|hand| Some((hand.job, self.name(hand.video)?)))
            .collect();
        let (root, layout) = (self.plan.root.clone(), self.plan.layout.clone());
        let recipe = self.plan.inits.get(worker).map(|init| init.recipe.clone());
        let look = tokio::task::spawn_blocking(move || {
            let untold = |(job, video): (JobId, VideoName)| {
                let frames = assess::frames_of(&layout, recipe.as_ref()?, &video, &video.under(&root))?;
                // The durations are unknown.
                Some((job, Report { frames, clips, ..Report::default() }))
            };
            in_hand.into_iter().filter_map(untold).collect()
        });
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let untold = tokio::time::timeout(PATIENCE, look).await;
            // Without an answer, the videos are extracted again.
            let untold = untold.ok().and_then(Result::ok).unwrap_or_default();
            let _ = sender.send(Incoming::Ended(process, how, untold));
        });
    }
}

/// The event that a message stands for, if any.
pub(super) fn translate(process: WorkerProcess, heard: Heard) -> Option<Event> {
    Some(match heard {
        Heard::Gone(how) => Event::Gone(process, how),
        Heard::Message(FromWorker::Ready { version, .. }) if version != VERSION => {
            let text =
                format!("the worker speaks protocol {version}, the engine {VERSION}: install both from one release");
            Event::Fatal(process, Failure::new(ErrorKind::Internal, text))
        }
        Heard::Message(FromWorker::Ready { device, load_ms, .. }) => Event::Ready(process, device, load_ms),
        Heard::Message(FromWorker::Fatal { failure }) => Event::Fatal(process, failure),
        Heard::Message(FromWorker::Progress { job, clips }) => Event::Progress(process, job, clips),
        Heard::Message(FromWorker::Done { job, report }) => Event::Done(process, job, report),
        Heard::Message(FromWorker::Failed { job, failure, source }) => Event::Failed(process, job, failure, source),
    })
}
