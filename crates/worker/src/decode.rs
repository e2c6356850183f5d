//! Decodes a video on a decode thread and sends its frames through a bounded channel.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SendError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_model::ModelError;
use reeldeck_video::VideoError;
use reeldeck_video::frames::{self, Extraction, Pass, Request, Sink};
use reeldeck_video::sampling::ClipPlan;
use reeldeck_video::surface::Surface;

use crate::gpu::{CropBatch, CropBatcher, DeviceCrops, GpuDecoder};
use crate::process;

/// The result of decoding a video, in parts: a plan, its frames, and the end. A second plan replaces the first one with all its
/// frames.
pub(crate) enum Decoded {
    /// The clips and the frames that follow.
    Plan(ClipPlan),
    /// Index and crop of a frame.
    Frame(u64, Vec<u8>),
    /// Indices and crops of several frames, on the device.
    Frames(Vec<u64>, DeviceCrops),
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
    /// Collects frames on the device.
    batcher: Option<&'a mut CropBatcher>,
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

    /// Sends the frames that are pending on the device.
    fn flush(&mut self) -> Result<(), VideoError> {
        match self.batcher.as_mut().map_or(Ok(None), |batcher| batcher.compute()).map_err(gpu_failed)? {
            None => Ok(()),
            Some((indices, CropBatch::Device(crops))) => self.send(Decoded::Frames(indices, crops)),
            Some((indices, CropBatch::Host(crops))) => {
                let mut crops = indices.into_iter().zip(crops);
                crops.try_for_each(|(index, pixels)| self.send(Decoded::Frame(index, pixels)))
            }
        }
    }
}

/// The error after which the CPU decodes the video.
fn gpu_failed(error: ModelError) -> VideoError {
    VideoError::NoGpu(Failure::from_error(error.kind(), &error).line())
}

impl Sink for FrameSender<'_> {
    fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError> {
        self.batcher.iter_mut().for_each(|batcher| batcher.clear());
        self.send(Decoded::Plan(plan))
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        self.flush()?;
        self.send(Decoded::Frame(index, pixels))
    }

    fn surface(&mut self, index: u64, surface: &Surface) -> Result<bool, VideoError> {
        if self.batcher.as_ref().is_some_and(|batcher| batcher.is_full_for(surface)) {
            self.flush()?;
        }
        let Some(batcher) = &mut self.batcher else { return Ok(false) };
        batcher.push(index, surface).map_err(gpu_failed)?;
        Ok(true)
    }

    fn complete(&mut self) -> Result<(), VideoError> {
        self.flush()
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
    mut gpu: Option<&mut GpuDecoder>,
    sender: SyncSender<Decoded>,
    progress: &DecodeProgress,
) -> Option<(u64, Duration)> {
    let (before, started) = (process::thread_cpu_ns(), Instant::now());
    let (nvdec, batcher) = gpu.as_mut().map(|gpu| gpu.parts()).unzip();
    let mut frames = FrameSender { sender: &sender, progress, batcher: batcher.flatten(), waited: Duration::ZERO };
    let extract = || frames::extract_with(path, request, Pass::Best, nvdec, &mut frames);
    let result = match panic::catch_unwind(AssertUnwindSafe(extract)) {
        Ok(Ok(facts)) => Ok(facts),
        Ok(Err(error)) => Err(Failure::from_error(error.kind(), &error)),
        Err(_) => Err(Failure::new(ErrorKind::Internal, "the decode thread panicked; this is a fault of reeldeck")),
    };
    frames.batcher.iter_mut().for_each(|batcher| batcher.clear());
    let is_refused = result.as_ref().is_ok_and(|extraction| !extraction.nvdec);
    let count = result.as_ref().ok().map(|extraction| extraction.counts.output);
    let busy = started.elapsed().saturating_sub(frames.waited);
    // If the receiver is gone, the video has failed for another reason.
    let _ = frames.send(Decoded::End { result, cpu_ns: process::thread_cpu_ns() - before });
    progress.is_ready.store(true, Ordering::Release);
    gpu.filter(|_| is_refused).into_iter().for_each(|gpu| gpu.warn_refused(path));
    count.map(|count| (count, busy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::mpsc;

    use reeldeck_common::limits::Limits;
    use reeldeck_common::recipe::{Damage, Sampling, Transform};
    use reeldeck_video::synth::{self, Synth};

    use crate::gpu::{CROP_BATCH, rows};

    /// The crops of the last plan, how many of them came from the device, and the result.
    fn decode(path: &Path, gpu: Option<&mut GpuDecoder>) -> (BTreeMap<u64, Vec<u8>>, usize, Extraction) {
        let request = Request {
            sampling: Sampling { clips: 6, length: 8, interval: 2 },
            transform: Transform { short_side: 64, crop: 56, mean: [0.0; 3], std: [1.0; 3] },
            damage: Damage { max_lost: 0.05 },
            limits: Limits::default(),
        };
        let (sender, decoded) = mpsc::sync_channel(1000);
        let progress = DecodeProgress::default();
        run(path, &request, gpu, sender, &progress);
        assert!(progress.is_ready.load(Ordering::Relaxed) && progress.steps.load(Ordering::Relaxed) > 0);
        let (mut crops, mut on_device) = (BTreeMap::new(), 0);
        let add = |index: u64, pixels: Vec<u8>, crops: &mut BTreeMap<u64, Vec<u8>>| {
            assert!(crops.last_key_value().is_none_or(|(last, _)| *last < index), "{index}: indices must ascend");
            crops.insert(index, pixels);
        };
        for decoded in decoded {
            match decoded {
                Decoded::Plan(_) => (crops, on_device) = (BTreeMap::new(), 0),
                Decoded::Frame(index, pixels) => add(index, pixels, &mut crops),
                Decoded::Frames(indices, batch) => {
                    let pixels = rows(&batch.pixels).unwrap();
                    assert!(indices.len() <= CROP_BATCH && pixels.len() == indices.len());
                    on_device += indices.len();
                    indices.into_iter().zip(pixels).for_each(|(index, pixels)| add(index, pixels, &mut crops));
                }
                Decoded::End { result, .. } => return (crops, on_device, result.unwrap()),
            }
        }
        panic!("there was no end");
    }

    #[test]
    fn crops_on_the_device_equal_those_of_the_cpu() {
        let folder = tempfile::tempdir().unwrap();
        let base = || Synth {
            frames: 150,
            options: [("bf".to_owned(), "2".to_owned()), ("g".to_owned(), "30".to_owned())].into(),
            ..Synth::default()
        };
        let mut gpu = GpuDecoder::emulated(usize::MAX);
        for (number, (synth, stay)) in [
            (Synth { width: 96, height: 80, ..base() }, true),
            (Synth { width: 128, height: 130, bt709: true, ..base() }, true),
            (Synth { width: 64, height: 64, ..base() }, true),
            (Synth { width: 128, height: 128, pixels: "yuvj420p".into(), ..base() }, true),
            (Synth { width: 90, height: 200, frames: 20, ..base() }, true),
            // Rotated videos and other pixel formats are downloaded.
            (Synth { width: 96, height: 80, rotate: 90, ..base() }, false),
            (Synth { width: 96, height: 80, pixels: "yuv444p".into(), ..base() }, false),
        ]
        .into_iter()
        .enumerate()
        {
            let path = folder.path().join(format!("{number}.mp4"));
            synth::write(&path, &synth).unwrap();
            let (expected, none, by_cpu) = decode(&path, None);
            let (crops, on_device, by_gpu) = decode(&path, Some(&mut gpu));
            assert!(crops == expected, "{synth:?}: the crops differ");
            assert_eq!((none, on_device), (0, if stay { expected.len() } else { 0 }), "{synth:?}");
            assert_eq!((by_cpu.counts, by_cpu.size), (by_gpu.counts, by_gpu.size), "{synth:?}");
            assert!(!by_cpu.nvdec && by_gpu.nvdec != by_gpu.plain_pass, "{by_gpu:?}");
        }
    }

    #[test]
    fn crops_over_the_memory_limit_are_downloaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.mp4");
        synth::write(&path, &Synth { width: 96, height: 80, frames: 150, ..Synth::default() }).unwrap();
        let (expected, _, _) = decode(&path, None);
        let batch = CROP_BATCH * 56 * 56 * 3;
        // All crops wait until the end. Dropping them makes room for the second round.
        for (limit, on_device) in [(batch - 1, 0), (batch, CROP_BATCH), (5 * batch / 2, 2 * CROP_BATCH)] {
            let mut gpu = GpuDecoder::emulated(limit);
            for _ in 0..2 {
                let (crops, found, extraction) = decode(&path, Some(&mut gpu));
                assert!(crops == expected && extraction.nvdec && crops.len() >= 3 * CROP_BATCH, "{limit}");
                assert_eq!(found, on_device, "{limit}");
            }
        }
    }
}
