//! Messages of workers as events, and features that a worker did not report before it exited.

use std::sync::Arc;
use std::time::Duration;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::{FoundGpu, FromWorker, JobId, Report, VERSION};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::{Engine, Event, Incoming, ReadFailure, WorkerMessage, WorkerProcess};
use crate::engine::assess;
use crate::engine::dataset_folder::LOOK_TIMEOUT;
use crate::engine::same_content;
use crate::engine::state::Progress;
use crate::engine::worker::End;
use crate::monitor::gpu::{PciAddress, parse_uuid};

/// How long the search for unreported features may take: the output folder may not respond.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);

impl Engine {
    /// Before a video is charged: for a file that cannot be read, finds out whether the dataset folder is gone; for a corrupt one,
    /// whether another download with the same content has failed before.
    pub(super) fn look_for_cause(
        &self,
        process: WorkerProcess,
        job: JobId,
        failure: Failure,
        source: Option<SourceStamp>,
    ) {
        let assignments = self.state.workers.get(process.worker).map(|w| w.in_flight.as_slice()).unwrap_or_default();
        let assignment = assignments.iter().find(|assignment| assignment.job == job);
        // A late report of an earlier process has no effect.
        let Some(video) = assignment.and_then(|assignment| self.name(assignment.video)) else { return };
        let (dataset, sender) = (Arc::clone(&self.plan.task_context.dataset), self.sender.clone());
        let (layout, path) = (self.plan.layout.clone(), video.under(&self.plan.root));
        tokio::spawn(async move {
            let (folder, known) = (Arc::clone(&dataset), failure.clone());
            let look = tokio::task::spawn_blocking(move || match known.kind {
                ErrorKind::Corrupt => (same_content::recognise(&layout, &video, &path, source, known), None),
                kind => (known, folder.look_at(&video, kind)),
            });
            let (failure, cause) = match tokio::time::timeout(LOOK_TIMEOUT, look).await {
                Ok(looked) => looked.unwrap_or((failure, None)),
                Err(_) if failure.kind == ErrorKind::Corrupt => (failure, None),
                Err(_) => (failure, Some(ReadFailure::DatasetGone(dataset.silent()))),
            };
            let _ = sender.send(Incoming::LookedInto(process, job, failure, source, cause));
        });
    }

    /// Looks for the features of videos that were in flight in a process that has exited. A worker that exits after writing a
    /// feature and before reporting it has finished that video.
    pub(super) fn look_for_unreported(&self, process: WorkerProcess, end: End) {
        // The jobs now belong to the process that was started after it.
        if !self.state.is_current(process) {
            return;
        }
        let worker = process.worker;
        let assignments = self.state.workers.get(worker).map(|w| w.in_flight.as_slice()).unwrap_or_default();
        let in_flight: Vec<_> = assignments
            .iter()
            .filter(|assignment| assignment.released.is_some())
            .filter_map(|assignment| Some((assignment.job, self.name(assignment.video)?)))
            .collect();
        let (root, layout) = (self.plan.root.clone(), self.plan.layout.clone());
        let recipe = self.plan.inits.get(worker.0).map(|init| init.recipe.clone());
        let look = tokio::task::spawn_blocking(move || {
            let unreported = |(job, video): (JobId, VideoName)| {
                let (frames, clips) = assess::counts_of(&layout, recipe.as_ref()?, &video, &video.under(&root))?;
                // The durations are unknown.
                Some((job, Report { frames, clips, ..Report::default() }))
            };
            in_flight.into_iter().filter_map(unreported).collect()
        });
        let sender = self.sender.clone();
        let dataset = Arc::clone(&self.plan.task_context.dataset);
        tokio::spawn(async move {
            // A process that hangs or crashes may have lost its video.
            let folder = Arc::clone(&dataset);
            let seen = tokio::task::spawn_blocking(move || folder.look(&[]));
            let gone = match tokio::time::timeout(LOOK_TIMEOUT, seen).await {
                Ok(seen) => seen.ok().and_then(Result::err),
                Err(_) => Some(dataset.silent()),
            };
            if let Some(why) = gone {
                let _ = sender.send(Incoming::DatasetGone(why));
            }
            let unreported = tokio::time::timeout(SEARCH_TIMEOUT, look).await;
            // Without an answer, the videos are extracted again.
            let unreported = unreported.ok().and_then(Result::ok).unwrap_or_default();
            let _ = sender.send(Incoming::Ended(process, end, unreported));
        });
    }
}

/// A GPU with less free memory than this has room for [`SMALL_BATCH`] clips only. A worker with the default of 20 clips takes some
/// 6 GB.
const SMALL_MEMORY: u64 = 10 << 30;
const SMALL_BATCH: usize = 5;

impl Engine {
    /// Reacts to what the driver reports about a worker's GPU.
    pub(super) fn found_gpu(&mut self, process: WorkerProcess, gpu: &FoundGpu) {
        if !self.state.is_current(process) {
            return;
        }
        if let Some(monitor) = &self.monitor {
            let (pci, uuid) =
                (gpu.pci.as_deref().and_then(PciAddress::parse), gpu.uuid.as_deref().and_then(parse_uuid));
            monitor.set_gpu(process.worker.0, pci, uuid);
        }
        let free = gpu.free.filter(|free| self.plan.default_batch && *free < SMALL_MEMORY);
        if let Some(free) = free {
            self.handle(Event::LittleMemory(process, free, SMALL_BATCH));
        }
    }
}

/// The event that a message stands for, if any.
pub(super) fn translate(process: WorkerProcess, heard: WorkerMessage) -> Option<Event> {
    Some(match heard {
        WorkerMessage::Gone(end) => Event::Gone(process, end.how),
        WorkerMessage::Message(FromWorker::Ready { version, .. }) if version != VERSION => {
            let text =
                format!("the worker speaks protocol {version}, the engine {VERSION}: install both from one release");
            Event::Fatal(process, Failure::new(ErrorKind::Internal, text))
        }
        WorkerMessage::Message(FromWorker::Ready { device, load_ms, .. }) => Event::Ready(process, device, load_ms),
        WorkerMessage::Message(FromWorker::Gpu(_)) => return None,
        WorkerMessage::Message(FromWorker::Warning { text }) => Event::Warning(process, text),
        WorkerMessage::Message(FromWorker::Fatal { failure }) => Event::Fatal(process, failure),
        WorkerMessage::Message(FromWorker::Progress { job, clips, of, frames }) => {
            Event::Progress(process, job, Progress { clips, of, frames })
        }
        WorkerMessage::Message(FromWorker::Done { job, report }) => Event::Done(process, job, report),
        WorkerMessage::Message(FromWorker::Failed { job, failure, source }) => {
            Event::Failed(process, job, failure, source)
        }
    })
}
