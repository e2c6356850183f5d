//! The queue of videos that wait for a decode thread.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reeldeck_common::limits::Limits;
use reeldeck_model::upload::Places;
use reeldeck_video::peek::{CostClass, peek};

use crate::decode::{DecodeProgress, Decoded};
use crate::decoder_choice::{DecodeCosts, DecoderKind};

/// How often other videos may be preferred to a video. Then it is the next one.
const MAX_PASSED: usize = 16;

/// A video to decode.
pub(crate) struct DecodeTask {
    /// The file.
    pub(crate) path: PathBuf,
    /// Receives its frames.
    pub(crate) sender: SyncSender<Decoded>,
    /// Where its crops are written, for a GPU.
    pub(crate) places: Option<Places>,
    /// Shared with the thread that receives the frames.
    pub(crate) progress: Arc<DecodeProgress>,
}

/// The sending end of the queue. Dropping it closes the queue.
pub(crate) struct QueueSender(Arc<DecodeQueue>);

/// The receiving end of the queue, shared by the decode threads.
pub(crate) struct DecodeQueue {
    /// Whether CPU cores and NVDEC share the queue, so that the order depends on their costs.
    is_shared: bool,
    limits: Limits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// The number of videos so far.
    count: u64,
    is_closed: bool,
    costs: DecodeCosts,
}

struct Waiting {
    number: u64,
    task: DecodeTask,
    class: Class,
    passed: usize,
}

/// What is known about the cost of decoding a video.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// The file must still be opened.
    NotRead,
    /// A thread is reading the file, or the file is unreadable.
    Unknown,
    Known(CostClass),
}

impl Class {
    fn known(self) -> Option<CostClass> {
        if let Self::Known(class) = self { Some(class) } else { None }
    }
}

impl QueueSender {
    /// An empty queue.
    pub(crate) fn new(is_shared: bool, limits: Limits) -> (Self, Arc<DecodeQueue>) {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let queue = Arc::new(DecodeQueue { is_shared, limits, state, changed });
        (Self(Arc::clone(&queue)), queue)
    }

    /// Adds a video.
    pub(crate) fn push(&self, task: DecodeTask) {
        let mut state = self.0.lock();
        let class = if self.0.is_shared { Class::NotRead } else { Class::Unknown };
        state.count += 1;
        let number = state.count;
        state.waiting.push_back(Waiting { number, task, class, passed: 0 });
        self.0.changed.notify_one();
    }
}

impl Drop for QueueSender {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl DecodeQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next video for this decoder, with its class if the queue is shared. Blocks while the queue is empty; `None`
    /// when it is empty and closed.
    pub(crate) fn take(&self, decoder: DecoderKind) -> Option<(DecodeTask, Option<CostClass>)> {
        let mut state = self.lock();
        loop {
            if let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.class == Class::NotRead) {
                waiting.class = Class::Unknown;
                let (number, path) = (waiting.number, waiting.task.path.clone());
                // Other threads must not wait for the disk.
                drop(state);
                let class = peek(&path, &self.limits);
                state = self.lock();
                let same = state.waiting.iter_mut().find(|waiting| waiting.number == number);
                if let (Some(waiting), Some(class)) = (same, class) {
                    waiting.class = Class::Known(class);
                }
                continue;
            }
            let position = match state.waiting.front() {
                Some(first) if self.is_shared && first.passed < MAX_PASSED => {
                    state.costs.choose(decoder, state.waiting.iter().map(|waiting| waiting.class.known()))
                }
                _ => 0,
            };
            if let Some(Waiting { task, class, .. }) = state.waiting.remove(position) {
                state.waiting.iter_mut().take(position).for_each(|waiting| waiting.passed += 1);
                return Some((task, class.known()));
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records the cost of a decoded video.
    pub(crate) fn record(&self, decoder: DecoderKind, class: CostClass, frames: u64, busy: Duration) {
        self.lock().costs.record(decoder, class, frames, busy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_video::synth::{self, Synth};
    use std::path::Path;
    use std::sync::mpsc;

    fn task(path: &Path) -> DecodeTask {
        DecodeTask { path: path.to_owned(), sender: mpsc::sync_channel(1).0, places: None, progress: Arc::default() }
    }

    fn names(queue: &DecodeQueue, decoder: DecoderKind, count: usize) -> Vec<String> {
        let name = |(task, _): (DecodeTask, _)| task.path.file_name().unwrap().to_str().unwrap().to_owned();
        (0..count).filter_map(|_| queue.take(decoder).map(name)).collect()
    }

    #[test]
    fn a_queue_of_one_decoder_keeps_the_order_and_ends_when_closed() {
        let (sender, queue) = QueueSender::new(false, Limits::default());
        ["a", "b", "c"].iter().for_each(|name| sender.push(task(Path::new(name))));
        assert_eq!(names(&queue, DecoderKind::Cpu, 2), ["a", "b"]);
        let waits = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || names(&queue, DecoderKind::Cpu, 10))
        };
        sender.push(task(Path::new("d")));
        drop(sender);
        assert_eq!(waits.join().unwrap(), ["c", "d"]);
    }

    #[test]
    fn a_shared_queue_prefers_suitable_videos_without_starving_others() {
        let folder = tempfile::tempdir().unwrap();
        let video = |name: &str, width, height| {
            let path = folder.path().join(name);
            synth::write(&path, &Synth { width, height, frames: 2, ..Synth::default() }).unwrap();
            path
        };
        let (small, large) = (video("small.mp4", 96, 80), video("large.mp4", 640, 360));
        let (sender, queue) = QueueSender::new(true, Limits::default());
        let none = folder.path().join("none.mp4");
        [&large, &small, &none].iter().for_each(|path| sender.push(task(path)));
        // No cost is known yet.
        let (_, class) = queue.take(DecoderKind::Cpu).unwrap();
        let large_class = class.unwrap();
        let (_, class) = queue.take(DecoderKind::Cpu).unwrap();
        let small_class = class.unwrap();
        assert!(queue.take(DecoderKind::Cpu).unwrap().1.is_none());
        for (class, cpu, nvdec) in [(large_class, 9, 1), (small_class, 1, 1)] {
            queue.record(DecoderKind::Cpu, class, 10, Duration::from_secs(cpu));
            queue.record(DecoderKind::Nvdec, class, 10, Duration::from_secs(nvdec));
        }
        for _ in 0..3 {
            [&large, &small].iter().for_each(|path| sender.push(task(path)));
        }
        assert_eq!(names(&queue, DecoderKind::Cpu, 2), ["small.mp4", "small.mp4"]);
        assert_eq!(names(&queue, DecoderKind::Nvdec, 2), ["large.mp4", "large.mp4"]);
        // A large video and a small one are left. The large one is passed MAX_PASSED times.
        for _ in 0..MAX_PASSED * 2 {
            sender.push(task(&small));
        }
        let taken = names(&queue, DecoderKind::Cpu, MAX_PASSED + 1);
        assert_eq!(taken.iter().position(|name| name == "large.mp4"), Some(MAX_PASSED), "{taken:?}");
    }
}
