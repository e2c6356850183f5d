//! What workers say, as events, and what they leave unsaid when they end.

use std::time::Duration;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::{FromWorker, JobId, Report, VERSION};
use reeldeck_common::video::VideoName;

use super::{Engine, Event, Heard, Incoming, WorkerProcess};
use crate::engine::assess;

/// How long the output folder may take to say what a worker has left there.
const PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// A worker that ends between writing a feature and saying so has done that video.
    pub(super) fn look_for_untold(&self, process: WorkerProcess, how: String) {
        // The jobs of the process that was started after it are not its own.
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
                // What it has cost is not known any more.
                Some((job, Report { frames, clips, ..Report::default() }))
            };
            in_hand.into_iter().filter_map(untold).collect()
        });
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let untold = tokio::time::timeout(PATIENCE, look).await;
            // Where there is no answer, the video is done again.
            let untold = untold.ok().and_then(Result::ok).unwrap_or_default();
            let _ = sender.send(Incoming::Ended(process, how, untold));
        });
    }
}

/// What it means; nothing where nothing follows.
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
