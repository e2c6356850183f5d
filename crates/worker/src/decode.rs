//! A decode thread's work on one video: its frames into a bounded channel.

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

use crate::gpu::{Hand, Made, Maker, Stored};
use crate::process;

/// What comes of a video, in order: a plan, its frames, perhaps a new plan that voids all before, and the end.
pub enum Decoded {
    /// The frames to come.
    Plan(ClipPlan),
    /// One frame's crop.
    Frame(u64, Vec<u8>),
    /// Crops of several frames, on the device.
    Frames(Vec<u64>, Stored),
    /// No more.
    End {
        /// What was found out, or why there are no more frames.
        result: Result<Extraction, Failure>,
        /// CPU time of the decode thread, nanoseconds.
        cpu_ns: u64,
    },
}

/// What a decode thread lets others see of it.
#[derive(Default)]
pub struct Pulse {
    /// Goes up as long as it gets anywhere.
    pub alive: AtomicU64,
    /// All that comes of the video is there to be taken, or as much as may wait.
    pub ready: AtomicBool,
}

struct Channel<'a> {
    sender: &'a SyncSender<Decoded>,
    pulse: &'a Pulse,
    maker: Option<&'a mut Maker>,
    /// Time spent waiting for room.
    waited: Duration,
}

impl Channel<'_> {
    /// Sends, and waits where there is no room.
    fn send(&mut self, decoded: Decoded) -> Result<(), VideoError> {
        let sent = self.sender.try_send(decoded).or_else(|refused| match refused {
            TrySendError::Full(decoded) => {
                self.pulse.ready.store(true, Ordering::Release);
                let started = Instant::now();
                let sent = self.sender.send(decoded);
                self.waited += started.elapsed();
                sent
            }
            TrySendError::Disconnected(decoded) => Err(SendError(decoded)),
        });
        sent.map_err(|_| VideoError::Stopped)
    }

    /// Sends what is at hand on the GPU.
    fn flush(&mut self) -> Result<(), VideoError> {
        match self.maker.as_mut().map_or(Ok(None), |maker| maker.make()).map_err(on_gpu)? {
            None => Ok(()),
            Some((indices, Made::There(stored))) => self.send(Decoded::Frames(indices, stored)),
            Some((indices, Made::Here(crops))) => {
                let mut crops = indices.into_iter().zip(crops);
                crops.try_for_each(|(index, pixels)| self.send(Decoded::Frame(index, pixels)))
            }
        }
    }
}

/// The CPU decodes a video for which this went wrong.
fn on_gpu(error: ModelError) -> VideoError {
    VideoError::NoGpu(Failure::from_error(error.kind(), &error).line())
}

impl Sink for Channel<'_> {
    fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError> {
        self.maker.iter_mut().for_each(|maker| maker.clear());
        self.send(Decoded::Plan(plan))
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        self.flush()?;
        self.send(Decoded::Frame(index, pixels))
    }

    fn surface(&mut self, index: u64, surface: &Surface) -> Result<bool, VideoError> {
        if self.maker.as_ref().is_some_and(|maker| maker.is_due(surface)) {
            self.flush()?;
        }
        let Some(maker) = &mut self.maker else { return Ok(false) };
        maker.take(index, surface).map_err(on_gpu)?;
        Ok(true)
    }

    fn complete(&mut self) -> Result<(), VideoError> {
        self.flush()
    }

    fn heartbeat(&mut self) -> Result<(), VideoError> {
        self.pulse.alive.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Decodes one video into the channel. Does not return before the receiver has made room for its frames. How many frames the
/// video has, and the time that it took without that; `None` where it gave none.
pub fn run(
    path: &Path,
    request: &Request,
    mut hand: Option<&mut Hand>,
    sender: SyncSender<Decoded>,
    pulse: &Pulse,
) -> Option<(u64, Duration)> {
    let (before, started) = (process::thread_cpu_ns(), Instant::now());
    let (nvdec, maker) = hand.as_mut().map(|hand| hand.parts()).unzip();
    let mut channel = Channel { sender: &sender, pulse, maker: maker.flatten(), waited: Duration::ZERO };
    let extract = || frames::extract_with(path, request, Pass::Best, nvdec, &mut channel);
    let result = match panic::catch_unwind(AssertUnwindSafe(extract)) {
        Ok(Ok(facts)) => Ok(facts),
        Ok(Err(error)) => Err(Failure::from_error(error.kind(), &error)),
        Err(_) => Err(Failure::new(ErrorKind::Internal, "the decode thread panicked; this is a fault of reeldeck")),
    };
    channel.maker.iter_mut().for_each(|maker| maker.clear());
    let refused = result.as_ref().is_ok_and(|facts| !facts.nvdec);
    let frames = result.as_ref().ok().map(|facts| facts.counts.output);
    let busy = started.elapsed().saturating_sub(channel.waited);
    // A receiver that is gone has already reported another failure.
    let _ = channel.send(Decoded::End { result, cpu_ns: process::thread_cpu_ns() - before });
    pulse.ready.store(true, Ordering::Release);
    hand.filter(|_| refused).into_iter().for_each(|hand| hand.tell_of(path));
    frames.map(|frames| (frames, busy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::mpsc;

    use reeldeck_common::limits::Limits;
    use reeldeck_common::recipe::{Damage, Sampling, Transform};
    use reeldeck_video::synth::{self, Synth};

    use crate::gpu::{TOGETHER, rows};

    /// The crops of the last plan, how many of them came from the device, and what was said at the end.
    fn all(path: &Path, hand: Option<&mut Hand>) -> (BTreeMap<u64, Vec<u8>>, usize, Extraction) {
        let request = Request {
            sampling: Sampling { clips: 6, length: 8, interval: 2 },
            transform: Transform { short_side: 64, crop: 56, mean: [0.0; 3], std: [1.0; 3] },
            damage: Damage { max_lost: 0.05 },
            limits: Limits::default(),
        };
        let (sender, decoded) = mpsc::sync_channel(1000);
        let pulse = Pulse::default();
        run(path, &request, hand, sender, &pulse);
        assert!(pulse.ready.load(Ordering::Relaxed) && pulse.alive.load(Ordering::Relaxed) > 0);
        let (mut crops, mut there) = (BTreeMap::new(), 0);
        let add = |index: u64, pixels: Vec<u8>, crops: &mut BTreeMap<u64, Vec<u8>>| {
            assert!(crops.last_key_value().is_none_or(|(last, _)| *last < index), "{index}: in order, and none twice");
            crops.insert(index, pixels);
        };
        for decoded in decoded {
            match decoded {
                Decoded::Plan(_) => (crops, there) = (BTreeMap::new(), 0),
                Decoded::Frame(index, pixels) => add(index, pixels, &mut crops),
                Decoded::Frames(indices, stored) => {
                    let pixels = rows(&stored.pixels).unwrap();
                    assert!(indices.len() <= TOGETHER && pixels.len() == indices.len());
                    there += indices.len();
                    indices.into_iter().zip(pixels).for_each(|(index, pixels)| add(index, pixels, &mut crops));
                }
                Decoded::End { result, .. } => return (crops, there, result.unwrap()),
            }
        }
        panic!("there was no end");
    }

    /// Everything but the GPU: the decoder is the CPU's, and its pictures are handed over where they lie.
    #[test]
    fn pictures_that_stay_give_the_crops_of_those_that_come_down() {
        let folder = tempfile::tempdir().unwrap();
        let base = || Synth {
            frames: 150,
            options: [("bf".to_owned(), "2".to_owned()), ("g".to_owned(), "30".to_owned())].into(),
            ..Synth::default()
        };
        let mut hand = Hand::in_memory();
        for (number, (synth, stay)) in [
            (Synth { width: 96, height: 80, ..base() }, true),
            (Synth { width: 128, height: 130, bt709: true, ..base() }, true),
            (Synth { width: 64, height: 64, ..base() }, true),
            (Synth { width: 128, height: 128, pixels: "yuvj420p".into(), ..base() }, true),
            (Synth { width: 90, height: 200, frames: 20, ..base() }, true),
            // These go by the host: turned, and another kind of pixel.
            (Synth { width: 96, height: 80, rotate: 90, ..base() }, false),
            (Synth { width: 96, height: 80, pixels: "yuv444p".into(), ..base() }, false),
        ]
        .into_iter()
        .enumerate()
        {
            let path = folder.path().join(format!("{number}.mp4"));
            synth::write(&path, &synth).unwrap();
            let (plain, none, facts) = all(&path, None);
            let (crops, there, by_gpu) = all(&path, Some(&mut hand));
            assert!(crops == plain, "{synth:?}: the crops differ");
            assert_eq!((none, there), (0, if stay { plain.len() } else { 0 }), "{synth:?}");
            assert_eq!((facts.counts, facts.size), (by_gpu.counts, by_gpu.size), "{synth:?}");
            assert!(!facts.nvdec && by_gpu.nvdec != by_gpu.plain_pass, "{by_gpu:?}");
        }
    }

    /// Whoever waits takes room; what finds none goes to the host, and is the same.
    #[test]
    fn crops_for_which_there_is_no_room_come_down() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.mp4");
        synth::write(&path, &Synth { width: 96, height: 80, frames: 150, ..Synth::default() }).unwrap();
        let (plain, _, _) = all(&path, None);
        let crop = 56 * 56 * 3;
        // All of them wait until the end.
        for (room, expected) in
            [(TOGETHER * crop - 1, 0), (TOGETHER * crop, TOGETHER), (5 * TOGETHER * crop / 2, 2 * TOGETHER)]
        {
            let mut hand = Hand::with_room_for(room);
            for _ in 0..2 {
                let (crops, there, facts) = all(&path, Some(&mut hand));
                assert!(crops == plain && facts.nvdec && crops.len() >= 3 * TOGETHER, "{room}");
                assert_eq!(there, expected, "{room}: and what was taken makes room");
            }
        }
    }
}
