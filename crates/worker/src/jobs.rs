//! The worker's side of the protocol's way in: jobs from standard input, each handed to a decode thread at once.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context, Result};
use reeldeck_common::protocol::{Init, JobId, MAX_LINE, ToWorker};
use reeldeck_common::video::VideoName;
use reeldeck_process::LineReader;
use reeldeck_video::frames::Request;

use crate::board::{Hanger, Task};
use crate::decode::{self, Decoded, Pulse};
use crate::gpu::Gpu;
use crate::process;
use crate::split::By;

/// A video to extract, and where its frames come from.
pub struct Job {
    /// The attempt.
    pub id: JobId,
    /// The video.
    pub video: VideoName,
    /// The file to read.
    pub path: PathBuf,
    /// The feature file to write.
    pub feature: PathBuf,
    /// Clips a forward pass.
    pub batch: usize,
    /// What the decode thread sends.
    pub decoded: Receiver<Decoded>,
    /// How far the decode thread is.
    pub pulse: Arc<Pulse>,
}

/// The jobs in hand, for the model to choose from.
pub struct Queue {
    come: Receiver<Job>,
    waiting: VecDeque<Job>,
}

impl Queue {
    /// Of jobs as they come.
    pub fn new(come: Receiver<Job>) -> Self {
        Self { come, waiting: VecDeque::new() }
    }
}

impl Iterator for Queue {
    type Item = Job;

    /// The first whose decode thread is done or waits, or else the first: a fast model does not wait for a slow video, and keeps
    /// no decode thread waiting, while others are there. `None` when all are taken and no more will come.
    fn next(&mut self) -> Option<Job> {
        if self.waiting.is_empty() {
            self.waiting.push_back(self.come.recv().ok()?);
        }
        self.waiting.extend(self.come.try_iter());
        let ready = self.waiting.iter().position(|job| job.pulse.ready.load(Ordering::Acquire));
        self.waiting.remove(ready.unwrap_or(0))
    }
}

/// Messages from the engine, until it closes the pipe.
pub fn lines() -> impl Iterator<Item = Result<ToWorker>> + Send + use<> {
    let mut input = LineReader::new(io::BufReader::new(io::stdin()), MAX_LINE);
    std::iter::from_fn(move || input.next_message().context("failed to read a message from the engine").transpose())
}

/// Starts the reader and the decode threads. The jobs come in the order in which they were given, each decoding ahead as far as
/// its channel allows, and end after `Finish`.
///
/// # Errors
/// When there is no room for a thread.
pub fn start(lines: impl Iterator<Item = Result<ToWorker>> + Send + 'static, init: &Init) -> io::Result<Queue> {
    let recipe = &init.recipe;
    let request =
        Request { sampling: recipe.sampling, transform: recipe.transform, damage: recipe.damage, limits: init.limits };
    let streams = init.nvdec.map_or(0, |nvdec| nvdec.streams);
    let gpu = init.nvdec.and_then(Gpu::open);
    let decoders = init.decoders.max(1);
    let (hanger, board) = Hanger::new(gpu.is_some() && streams < decoders, init.limits);
    for thread in 0..decoders {
        let board = Arc::clone(&board);
        let gpu = gpu.clone().filter(|_| thread < streams);
        thread::Builder::new().name("decode".into()).spawn(move || {
            let mut hand = gpu.as_ref().map(Gpu::hand);
            let by = if hand.is_some() { By::Nvdec } else { By::Core };
            while let Some((task, kind)) = board.take(by) {
                let work = decode::run(&task.path, &request, hand.as_mut(), task.sender, &task.pulse);
                if let (Some(kind), Some((frames, busy))) = (kind, work) {
                    board.note(by, kind, frames, busy);
                }
            }
        })?;
    }
    let (jobs, taken) = mpsc::channel();
    // With room for the plan and the end.
    let depth = init.prefetch_frames.max(1) + 2;
    thread::Builder::new().name("jobs".into()).spawn(move || {
        for message in lines {
            match message {
                Ok(ToWorker::Extract { job, video, path, feature, batch }) => {
                    let (sender, decoded) = mpsc::sync_channel(depth);
                    let pulse = Arc::new(Pulse::default());
                    let task = Task { path: path.clone(), sender, pulse: Arc::clone(&pulse) };
                    let job = Job { id: job, video, path, feature, batch, decoded, pulse };
                    hanger.push(task);
                    if jobs.send(job).is_err() {
                        return;
                    }
                }
                Ok(ToWorker::Finish) => return,
                Ok(ToWorker::Init(_)) => leave("a second init message"),
                Err(error) => leave(&format!("{error:#}")),
            }
        }
        // The engine closed the pipe without `Finish`: it is gone, or wants us gone. Nothing in hand is worth finishing,
        // and no half-written feature can be mistaken for a whole one.
        process::leave(0);
    })?;
    Ok(Queue::new(taken))
}

fn leave(why: &str) -> ! {
    eprintln!("error: {why}");
    process::leave(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, ready: bool) -> Job {
        let pulse = Arc::new(Pulse::default());
        pulse.ready.store(ready, Ordering::Relaxed);
        let video = VideoName::new("A/v.mp4").unwrap();
        let (path, feature, decoded) = (PathBuf::new(), PathBuf::new(), mpsc::channel().1);
        Job { id, video, path, feature, batch: 1, decoded, pulse }
    }

    #[test]
    fn the_first_that_is_ready_is_taken_or_the_first() {
        let (sender, come) = mpsc::channel();
        let mut queue = Queue::new(come);
        let send = |id, ready| {
            let job = job(id, ready);
            let pulse = Arc::clone(&job.pulse);
            sender.send(job).unwrap();
            pulse
        };
        let _slow = send(1, false);
        let late = send(2, false);
        send(3, true);
        send(4, true);
        let mut next = || queue.next().map(|job| job.id);
        assert_eq!(next(), Some(3));
        late.ready.store(true, Ordering::Release);
        assert_eq!(next(), Some(2));
        assert_eq!(next(), Some(4));
        assert_eq!(next(), Some(1), "none is ready");
        send(5, false);
        assert_eq!(next(), Some(5));
        drop(sender);
        assert_eq!(next(), None);
    }
}
