//! A worker process for benchmarks.

use std::fs;
use std::path::Path;
use std::time::Instant;

use reeldeck_common::digest;
use reeldeck_common::feature::CheckpointId;
use reeldeck_common::protocol::{CheckpointSource, Init, Report};
use reeldeck_common::recipe::Recipe;
use reeldeck_common::video::VideoName;
use reeldeck_model::{checkpoint, family, seeded};
use reeldeck_process::{self as process, Program, WaitLimits};
use tempfile::TempDir;

use crate::decode;

/// The source and identity of a worker's weights.
pub type Weights = (CheckpointSource, CheckpointId);

/// The seeded weights, which the worker generates.
pub fn seeded_weights() -> Weights {
    (CheckpointSource::Seeded, CheckpointId::seeded())
}

/// The same weights in a file.
pub fn weights_from_file(recipe: &Recipe) -> Weights {
    let path = decode::cached("seeded.pth", |path| {
        let family = family(&recipe.model).unwrap();
        let file = fs::File::create(path).unwrap();
        checkpoint::write(std::io::BufWriter::new(file), &*family, &seeded::weights(&*family)).unwrap();
    });
    let digest = digest::sha256_of_file(&path, &mut |_| {}).unwrap();
    (CheckpointSource::File(path), CheckpointId { name: "seeded.pth".into(), digest, synthetic_weights: true })
}

/// A running worker.
pub struct Worker {
    worker: process::Worker,
    folder: TempDir,
    started: Instant,
}

impl Worker {
    /// Starts a worker on the CPU.
    pub fn start(recipe: &Recipe, (checkpoint, id): Weights, threads: usize) -> Self {
        let algorithms = Some(decode::cache().join("convolutions.json"));
        let init = Init { algorithms, ..Init::on_cpu(recipe.clone(), checkpoint, id, threads) };
        let started = Instant::now();
        let program = Program::new(Path::new(env!("CARGO_BIN_EXE_reeldeck-worker")));
        let worker = process::Worker::start(&program, init).unwrap();
        Self { worker, folder: tempfile::tempdir().unwrap(), started }
    }

    /// Extracts a video with `batch` clips per forward pass.
    pub fn run(&mut self, path: &Path, batch: usize) -> Report {
        let video = VideoName::new("Class/v.mp4").unwrap();
        self.worker.begin(&video, path, &self.folder.path().join("v.safetensors"), batch).unwrap();
        self.worker.finish(&WaitLimits::UNLIMITED).unwrap()
    }

    /// Waits until the model is loaded.
    pub fn ready(&mut self) {
        self.worker.wait_ready(&WaitLimits::UNLIMITED).unwrap();
    }

    /// The time since the start, and the worker's CPU time, in seconds.
    pub fn clocks(&self) -> (f64, f64) {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.worker.pid())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
        // SAFETY: the call takes a number and returns one.
        (self.started.elapsed().as_secs_f64(), ticks / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64)
    }

    fn memory(&self, what: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.worker.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// The peak resident memory in MiB.
    pub fn peak_mib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The resident memory in MiB.
    pub fn resident_mib(&self) -> u64 {
        self.memory("VmRSS:")
    }
}
