//! Decodes a video on a decode thread and sends its frames through a bounded channel.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SendError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_model::upload::{Pixels, Places};
use reeldeck_video::VideoError;
use reeldeck_video::frames::{self, Extraction, Fill, Pass, Request, Sink};
use reeldeck_video::sampling::ClipPlan;

use crate::gpu::GpuDecoder;
use crate::process;

/// The result of decoding a video, in parts: a plan, its frames, and the end. A second plan replaces the first one with all its
/// frames.
pub(crate) enum Decoded {
    /// The clips and the frames that follow.
    Plan(ClipPlan),
    /// Index and crop of a frame.
    Frame(u64, Pixels),
    /// The end.
    End {
        /// What was learned about the video, or why it failed.
        result: Result<Extraction, Failure>,
        /// CPU time of the decode thread in nanoseconds.
        cpu_ns: u64,
    },
}

/// The progress of a decode thread on a video, for other threads.
#[derive(Default)]
pub(crate) struct DecodeProgress {
    /// Increases as long as the thread makes progress.
    pub(crate) steps: AtomicU64,
    /// Whether the channel is full, or contains everything.
    pub(crate) is_ready: AtomicBool,
}

struct FrameSender<'a> {
    sender: &'a SyncSender<Decoded>,
    progress: &'a DecodeProgress,
    /// Where crops for a GPU are written; `None` for a CPU.
    places: Option<Places>,
    /// Time spent waiting while the channel was full.
    waited: Duration,
}

impl FrameSender<'_> {
    /// Sends a part; blocks while the channel is full.
    fn send(&mut self, decoded: Decoded) -> Result<(), VideoError> {
        let sent = self.sender.try_send(decoded).or_else(|refused| match refused {
            TrySendError::Full(decoded) => {
                self.progress.is_ready.store(true, Ordering::Release);
                let started = Instant::now();
                let sent = self.sender.send(decoded);
                self.waited += started.elapsed();
                sent
            }
            TrySendError::Disconnected(decoded) => Err(SendError(decoded)),
        });
        sent.map_err(|_| VideoError::Stopped)
    }
}

impl Sink for FrameSender<'_> {
    fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError> {
        self.places.iter_mut().for_each(Places::restart);
        self.send(Decoded::Plan(plan))
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        self.send(Decoded::Frame(index, Pixels::Bytes(pixels)))
    }

    fn frame_into(&mut self, index: u64, bytes: usize, fill: &mut Fill<'_>) -> Result<(), VideoError> {
        if let Some(mut place) = self.places.as_mut().and_then(Places::next_place) {
            fill(&mut place)?;
            return self.send(Decoded::Frame(index, Pixels::Place(place)));
        }
        self.frame(index, frames::filled(bytes, fill)?)
    }

    fn heartbeat(&mut self) -> Result<(), VideoError> {
        self.progress.steps.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Decodes a video into a channel. Blocks while the channel is full. Returns the number of frames and the time that it took
/// without waiting; `None` if the video failed.
pub(crate) fn run(
    path: &Path,
    request: &Request,
    gpu: Option<&GpuDecoder>,
    sender: SyncSender<Decoded>,
    places: Option<Places>,
    progress: &DecodeProgress,
) -> Option<(u64, Duration)> {
    let (before, started) = (process::thread_cpu_ns(), Instant::now());
    let mut frames = FrameSender { sender: &sender, progress, places, waited: Duration::ZERO };
    let extract = || frames::extract_with(path, request, Pass::Best, gpu.map(GpuDecoder::nvdec), &mut frames);
    let result = match panic::catch_unwind(AssertUnwindSafe(extract)) {
        Ok(Ok(facts)) => Ok(facts),
        Ok(Err(error)) => Err(Failure::from_error(error.kind(), &error)),
        Err(_) => Err(Failure::new(ErrorKind::Internal, "the decode thread panicked; this is a fault of reeldeck")),
    };
    let is_refused = result.as_ref().is_ok_and(|extraction| !extraction.nvdec);
    let count = result.as_ref().ok().map(|extraction| extraction.counts.output);
    let busy = started.elapsed().saturating_sub(frames.waited);
    // The process may end as soon as the last video has, and pinned memory must not be freed then.
    frames.places = None;
    // If the receiver is gone, the video has failed for another reason.
    let _ = frames.send(Decoded::End { result, cpu_ns: process::thread_cpu_ns() - before });
    progress.is_ready.store(true, Ordering::Release);
    gpu.filter(|_| is_refused).iter().for_each(|gpu| gpu.warn_refused(path));
    count.map(|count| (count, busy))
}
