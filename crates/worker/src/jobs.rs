//! Receives jobs on standard input and gives each one to a decode thread at once.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver};

use anyhow::{Context, Result};
use reeldeck_common::error::Failure;
use reeldeck_common::protocol::{Init, JobId, MAX_LINE, Nvdec, ToWorker, VERSION};
use reeldeck_common::video::VideoName;
use reeldeck_model::backbone::gpu_group_size;
use reeldeck_model::device;
use reeldeck_model::tch::Device;
use reeldeck_model::upload::Slabs;
use reeldeck_process::LineReader;
use reeldeck_video::frames::Request;
use serde_json::Value;
use tracing::warn;

use crate::decode::{self, DecodeProgress, Decoded};
use crate::decode_queue::{DecodeTask, QueueSender};
use crate::decoder_choice::DecoderKind;
use crate::gpu::Gpu;
use crate::process;
use crate::threads;

/// A video to extract.
pub(crate) struct Job {
    /// The attempt.
    pub(crate) id: JobId,
    /// The video.
    pub(crate) video: VideoName,
    /// The video file.
    pub(crate) path: PathBuf,
    /// The feature file to write.
    pub(crate) feature: PathBuf,
    /// Clips per forward pass.
    pub(crate) batch: usize,
    /// The frames, from the decode thread.
    pub(crate) decoded: Receiver<Decoded>,
    /// The progress of the decode thread.
    pub(crate) progress: Arc<DecodeProgress>,
}

/// Where the frames go.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The device of the model.
    pub(crate) device: Device,
    /// Memory for frames from which it copies; `None` for a CPU.
    pub(crate) slabs: Option<Slabs>,
    /// The number of its video decoders, if it is known.
    pub(crate) video_decoders: Option<usize>,
}

/// The jobs in flight, in the order in which the model should take them.
pub(crate) struct JobQueue {
    incoming: Receiver<Job>,
    waiting: VecDeque<Job>,
}

impl JobQueue {
    fn new(incoming: Receiver<Job>) -> Self {
        Self { incoming, waiting: VecDeque::new() }
    }
}

impl Iterator for JobQueue {
    type Item = Job;

    /// The first job whose decode thread is done or blocked, or else the first job. So a fast model does not wait for a slow
    /// video, and does not keep decode threads blocked, while other videos are ready. `None` when there are no more jobs.
    fn next(&mut self) -> Option<Job> {
        if self.waiting.is_empty() {
            self.waiting.push_back(self.incoming.recv().ok()?);
        }
        self.waiting.extend(self.incoming.try_iter());
        let ready = self.waiting.iter().position(|job| job.progress.is_ready.load(Ordering::Acquire));
        self.waiting.remove(ready.unwrap_or(0))
    }
}

/// The engine is of another release.
#[derive(Debug, thiserror::Error)]
#[error("engine speaks protocol {0}, worker {VERSION}: install both from one release")]
pub(crate) struct OtherVersion(pub(crate) u32);

/// The messages of the engine, until it closes the pipe. The error of a message may be [`OtherVersion`].
pub(crate) fn messages() -> impl Iterator<Item = Result<ToWorker>> + Send + use<> {
    let mut input = LineReader::new(io::BufReader::new(io::stdin()), MAX_LINE);
    std::iter::from_fn(move || match input.next_line() {
        Ok(line) => line.map(message),
        Err(error) => Some(Err(error).context("failed to read a message from the engine")),
    })
}

fn message(line: &[u8]) -> Result<ToWorker> {
    serde_json::from_slice(line).map_err(|error| {
        // The first message of another release may have other fields.
        let version = serde_json::from_slice::<Value>(line).ok().and_then(|message| message["version"].as_u64());
        match version.and_then(|version| u32::try_from(version).ok()).filter(|version| *version != VERSION) {
            Some(version) => OtherVersion(version).into(),
            None => anyhow::Error::from(error).context("failed to read a message from the engine"),
        }
    })
}

/// The number of videos that NVDEC decodes at a time. Each of its decoders is idle while a video begins and ends, so that two
/// streams keep it busy; more would only wait.
fn streams(nvdec: Nvdec, video_decoders: Option<usize>) -> usize {
    let most = video_decoders.filter(|_| nvdec.is_default).map_or(usize::MAX, |decoders| decoders * 2);
    nvdec.streams.min(most)
}

/// Starts the decode threads and the thread that receives jobs. The jobs come in the order of their messages, and end after
/// [`ToWorker::Finish`].
///
/// # Errors
/// When a thread cannot be started.
pub(crate) fn start(
    messages: impl Iterator<Item = Result<ToWorker>> + Send + 'static,
    init: &Init,
    target: Target,
) -> Result<JobQueue, Failure> {
    let recipe = &init.recipe;
    let request =
        Request { sampling: recipe.sampling, transform: recipe.transform, damage: recipe.damage, limits: init.limits };
    let asked = init.nvdec.map_or(0, |nvdec| nvdec.streams);
    let streams = init.nvdec.map_or(0, |nvdec| streams(nvdec, target.video_decoders));
    let gpu = init.nvdec.and_then(Gpu::find);
    let decoders = (init.decoders - (asked - streams).min(init.decoders)).max(1);
    let (sender, queue) = QueueSender::new(gpu.is_some() && streams < decoders, init.limits);
    for thread in 0..decoders {
        let queue = Arc::clone(&queue);
        let gpu = gpu.clone().filter(|_| thread < streams);
        threads::spawn("decode", move || {
            if target.device != Device::Cpu {
                threads::yield_to_model();
            }
            if let Err(error) = device::make_current(target.device) {
                // Its crops are copied once more.
                warn!("a decode thread cannot use the device: {error}");
            }
            let gpu = gpu.as_ref().and_then(Gpu::decoder);
            let decoder = if gpu.is_some() { DecoderKind::Nvdec } else { DecoderKind::Cpu };
            while let Some((task, class)) = queue.take(decoder) {
                let cost = decode::run(&task.path, &request, gpu.as_ref(), task.sender, task.places, &task.progress);
                if let (Some(class), Some((frames, busy))) = (class, cost) {
                    queue.record(decoder, class, frames, busy);
                }
            }
        })?;
    }
    let (jobs, incoming) = mpsc::channel();
    // Frames, plus the plan and the end.
    let capacity = init.prefetch_frames.max(1) + 2;
    // A slab has the frames of a group, whether or not all of them may wait.
    let (slabs, prefetch) = (target.slabs, init.prefetch_frames);
    let places = move |batch: usize| {
        let group_size = gpu_group_size(batch);
        slabs.filter(|_| group_size <= prefetch).map(|slabs| slabs.places(group_size))
    };
    threads::spawn("jobs", move || {
        for message in messages {
            match message {
                Ok(ToWorker::Extract { job, video, path, feature, batch }) => {
                    let (frames, decoded) = mpsc::sync_channel(capacity);
                    let progress = Arc::new(DecodeProgress::default());
                    let (path_to_decode, shared) = (path.clone(), Arc::clone(&progress));
                    sender.push(DecodeTask {
                        path: path_to_decode,
                        sender: frames,
                        places: places(batch),
                        progress: shared,
                    });
                    let job = Job { id: job, video, path, feature, batch, decoded, progress };
                    if jobs.send(job).is_err() {
                        return;
                    }
                }
                Ok(ToWorker::Finish) => return,
                Ok(ToWorker::Init(_)) => exit_with_error("a second init message"),
                Err(error) => exit_with_error(&format!("{error:#}")),
            }
        }
        // The engine has closed the pipe without `Finish`: it has ended, or wants this process to end. The videos in flight
        // will be extracted again, and feature files are written atomically.
        process::exit(0);
    })?;
    Ok(JobQueue::new(incoming))
}

fn exit_with_error(message: &str) -> ! {
    eprintln!("error: {message}");
    process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, is_ready: bool) -> Job {
        let progress = Arc::new(DecodeProgress::default());
        progress.is_ready.store(is_ready, Ordering::Relaxed);
        let video = VideoName::new("A/v.mp4").unwrap();
        let (path, feature, decoded) = (PathBuf::new(), PathBuf::new(), mpsc::channel().1);
        Job { id, video, path, feature, batch: 1, decoded, progress }
    }

    #[test]
    fn a_card_with_few_video_decoders_gets_few_streams_unless_a_number_is_configured() {
        let default = Nvdec { gpu: 0, streams: 8, is_default: true };
        assert_eq!([None, Some(1), Some(3), Some(7)].map(|decoders| streams(default, decoders)), [8, 2, 6, 8]);
        assert_eq!(streams(Nvdec { is_default: false, ..default }, Some(1)), 8);
    }

    #[test]
    fn the_first_ready_job_or_else_the_first_job_is_next() {
        let (sender, incoming) = mpsc::channel();
        let mut queue = JobQueue::new(incoming);
        let send = |id, is_ready| {
            let job = job(id, is_ready);
            let progress = Arc::clone(&job.progress);
            sender.send(job).unwrap();
            progress
        };
        let _slow = send(1, false);
        let late = send(2, false);
        send(3, true);
        send(4, true);
        let mut next = || queue.next().map(|job| job.id);
        assert_eq!(next(), Some(3));
        late.is_ready.store(true, Ordering::Release);
        assert_eq!(next(), Some(2));
        assert_eq!(next(), Some(4));
        assert_eq!(next(), Some(1), "none is ready");
        send(5, false);
        assert_eq!(next(), Some(5));
        drop(sender);
        assert_eq!(next(), None);
    }
}
