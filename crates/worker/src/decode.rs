//! A decode thread's work on one video: its frames into a bounded channel.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SendError, SyncSender, TrySendError};

use reeldeck_contract::error::{ErrorKind, Failure};
use reeldeck_video::VideoError;
use reeldeck_video::frames::{self, Facts, Pass, Request, Sink};
use reeldeck_video::nvdec::Nvdec;
use reeldeck_video::sampling::Plan;

use crate::jobs::Pulse;
use crate::process;

/// What comes of a video, in order: a plan, its frames, perhaps a new plan that voids all before, and the end.
pub enum Decoded {
    /// The frames to come.
    Plan(Plan),
    /// One frame's crop.
    Frame(u64, Vec<u8>),
    /// No more.
    End {
        /// What was found out, or why there are no more frames.
        result: Result<Facts, Failure>,
        /// CPU time of the decode thread, nanoseconds.
        cpu_ns: u64,
    },
}

/// The decoder of a GPU, for all decode threads.
pub struct Gpu {
    nvdec: Nvdec,
    /// It was said that it does not take every video.
    told: AtomicBool,
}

impl Gpu {
    /// Opens the decoder of this GPU. Where it cannot be had, the log says so, and the CPU decodes.
    pub fn open(number: usize) -> Option<Self> {
        match Nvdec::open(number) {
            Ok(nvdec) => Some(Self { nvdec, told: AtomicBool::new(false) }),
            Err(error) => {
                let why = Failure::from_error(error.kind(), &error).line();
                eprintln!(
                    "note: no NVDEC on GPU {number}, the CPU decodes instead: {why}; `reeldeck doctor` looks for the driver"
                );
                None
            }
        }
    }

    /// The first video that was not decoded here is worth a line.
    fn tell_of(&self, path: &Path) {
        if !self.told.swap(true, Ordering::Relaxed) {
            eprintln!("note: NVDEC does not take {}; the CPU decodes it, and what else is not taken", path.display());
        }
    }
}

struct Channel<'a> {
    sender: &'a SyncSender<Decoded>,
    pulse: &'a Pulse,
}

impl Channel<'_> {
    /// Sends, and waits where there is no room.
    fn send(&self, decoded: Decoded) -> Result<(), VideoError> {
        let sent = self.sender.try_send(decoded).or_else(|refused| match refused {
            TrySendError::Full(decoded) => {
                self.pulse.ready.store(true, Ordering::Release);
                self.sender.send(decoded)
            }
            TrySendError::Disconnected(decoded) => Err(SendError(decoded)),
        });
        sent.map_err(|_| VideoError::Stopped)
    }
}

impl Sink for Channel<'_> {
    fn plan(&mut self, plan: Plan) -> Result<(), VideoError> {
        self.send(Decoded::Plan(plan))
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        self.send(Decoded::Frame(index, pixels))
    }

    fn alive(&mut self) -> Result<(), VideoError> {
        self.pulse.alive.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Decodes one video into the channel. Does not return before the receiver has made room for its frames.
pub fn run(path: &Path, request: &Request, gpu: Option<&Gpu>, sender: SyncSender<Decoded>, pulse: &Pulse) {
    let before = process::thread_cpu_ns();
    let nvdec = gpu.map(|gpu| &gpu.nvdec);
    let mut channel = Channel { sender: &sender, pulse };
    let extract = || frames::extract_with(path, request, Pass::Best, nvdec, &mut channel);
    let result = match panic::catch_unwind(AssertUnwindSafe(extract)) {
        Ok(Ok(facts)) => {
            gpu.filter(|_| !facts.nvdec).into_iter().for_each(|gpu| gpu.tell_of(path));
            Ok(facts)
        }
        Ok(Err(error)) => Err(Failure::from_error(error.kind(), &error)),
        Err(_) => Err(Failure::new(ErrorKind::Internal, "the decode thread panicked; this is a fault of reeldeck")),
    };
    // A receiver that is gone has already reported another failure.
    let _ = channel.send(Decoded::End { result, cpu_ns: process::thread_cpu_ns() - before });
    pulse.ready.store(true, Ordering::Release);
}
