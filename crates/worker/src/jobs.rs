//! The worker's side of the protocol's way in: jobs from standard input, each handed to a decode thread at once.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use reeldeck_contract::protocol::{Init, JobId, MAX_LINE, ToWorker};
use reeldeck_contract::video::VideoName;
use reeldeck_video::frames::Request;

use crate::decode::{self, Decoded, Gpu};
use crate::process;

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
    /// Goes up as long as the decode thread gets anywhere.
    pub alive: Arc<AtomicU64>,
}

struct Task {
    path: PathBuf,
    sender: SyncSender<Decoded>,
    alive: Arc<AtomicU64>,
}

/// Messages from the engine, until it closes the pipe.
pub fn lines() -> impl Iterator<Item = Result<ToWorker>> + Send + use<> {
    let mut input = io::BufReader::new(io::stdin());
    std::iter::from_fn(move || {
        let mut line = vec![];
        let read = input
            .by_ref()
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut line)
            .context("failed to read the next message");
        match read {
            Ok(0) => None,
            Ok(_) => Some((|| {
                ensure!(line.ends_with(b"\n"), "a message was cut off or is too long");
                serde_json::from_slice(&line).context("failed to read a message")
            })()),
            Err(error) => Some(Err(error)),
        }
    })
}

/// Starts the reader and the decode threads. The jobs come out in the order in which they were given, each decoding ahead
/// as far as its channel allows. The channel closes after `Finish`.
///
/// # Errors
/// When there is no room for a thread.
pub fn start(lines: impl Iterator<Item = Result<ToWorker>> + Send + 'static, init: &Init) -> io::Result<Receiver<Job>> {
    let (tasks, waiting) = mpsc::channel::<Task>();
    let waiting = Arc::new(Mutex::new(waiting));
    let recipe = &init.recipe;
    let request =
        Request { sampling: recipe.sampling, transform: recipe.transform, damage: recipe.damage, limits: init.limits };
    let gpu = Arc::new(init.nvdec.and_then(Gpu::open));
    for _ in 0..init.decoders.max(1) {
        let (waiting, gpu) = (Arc::clone(&waiting), Arc::clone(&gpu));
        thread::Builder::new().name("decode".into()).spawn(move || {
            loop {
                // The lock is held while waiting: whoever has it takes the next task, the others queue behind.
                let task = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(task) = task else { return };
                decode::run(&task.path, &request, gpu.as_ref().as_ref(), task.sender, &task.alive);
            }
        })?;
    }
    let (jobs, taken) = mpsc::channel();
    let depth = init.prefetch_frames.max(1);
    thread::Builder::new().name("jobs".into()).spawn(move || {
        for message in lines {
            match message {
                Ok(ToWorker::Extract { job, video, path, feature, batch }) => {
                    let (sender, decoded) = mpsc::sync_channel(depth);
                    let alive = Arc::new(AtomicU64::new(0));
                    let task = Task { path: path.clone(), sender, alive: Arc::clone(&alive) };
                    let job = Job { id: job, video, path, feature, batch, decoded, alive };
                    if tasks.send(task).is_err() || jobs.send(job).is_err() {
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
    Ok(taken)
}

fn leave(why: &str) -> ! {
    eprintln!("error: {why}");
    process::leave(1);
}
