//! A worker process as the engine starts it, driven by a benchmark: what it costs to start, and what memory it takes.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use reeldeck_contract::atomic::Owner;
use reeldeck_contract::digest;
use reeldeck_contract::feature::CheckpointId;
use reeldeck_contract::limits::Limits;
use reeldeck_contract::pinned::SEEDED_WEIGHTS;
use reeldeck_contract::protocol::{self, CheckpointSource, FromWorker, Init, Report, ToWorker, VERSION};
use reeldeck_contract::recipe::Recipe;
use reeldeck_contract::video::VideoName;
use reeldeck_model::network::Network;
use reeldeck_model::{checkpoint, seeded};
use tempfile::TempDir;

use crate::decode;

/// Where a worker's weights come from.
pub type Weights = (CheckpointSource, CheckpointId);

/// Weights that are made, not read.
pub fn made() -> Weights {
    let id = CheckpointId { name: "seeded".into(), digest: SEEDED_WEIGHTS.into(), meaningless: true };
    (CheckpointSource::Seeded, id)
}

/// The same weights in a file, as people have them.
pub fn read(recipe: &Recipe) -> Weights {
    let path = decode::kept("seeded.pth", |path| {
        let network = Network::new(&recipe.model);
        let file = fs::File::create(path).unwrap();
        checkpoint::write(std::io::BufWriter::new(file), &network, &seeded::weights(&network)).unwrap();
    });
    let digest = digest::sha256_of_file(&path).unwrap();
    (CheckpointSource::File(path), CheckpointId { name: "seeded.pth".into(), digest, meaningless: true })
}

/// A running worker; ended whatever happens to the bench.
pub struct Worker {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
    started: Instant,
    jobs: u64,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    /// Starts one with the settings that the engine gives to one on a CPU.
    pub fn start(recipe: &Recipe, (checkpoint, checkpoint_id): Weights, threads: usize) -> Self {
        let init = Init {
            version: VERSION,
            set: recipe.set_name(&checkpoint_id.digest),
            recipe: recipe.clone(),
            checkpoint,
            checkpoint_id,
            device: "cpu".into(),
            threads,
            decoders: 1,
            prefetch_frames: 64,
            nvdec: None,
            limits: Limits::default(),
            owner: Owner::this_process(),
        };
        let started = Instant::now();
        let program = env!("CARGO_BIN_EXE_reeldeck-worker");
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let lines = BufReader::new(stdout).lines();
        let mut worker = Self { child, stdin, lines, folder: tempfile::tempdir().unwrap(), started, jobs: 0 };
        worker.send(&ToWorker::Init(Box::new(init)));
        worker
    }

    fn send(&mut self, message: &ToWorker) {
        self.stdin.write_all(protocol::line(message).unwrap().as_bytes()).unwrap();
    }

    fn receive(&mut self) -> FromWorker {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// Hands it a video and waits for the feature. `batch` clips a forward pass.
    pub fn run(&mut self, path: &Path, batch: usize) -> Report {
        self.jobs += 1;
        let video = VideoName::new("Class/v.mp4").unwrap();
        let feature = self.folder.path().join("v.safetensors");
        let path: PathBuf = path.to_owned();
        self.send(&ToWorker::Extract { job: self.jobs, video, path, feature, batch });
        loop {
            match self.receive() {
                FromWorker::Done { report, .. } => return report,
                FromWorker::Ready { .. } | FromWorker::Progress { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until the model is loaded.
    pub fn ready(&mut self) {
        let message = self.receive();
        assert!(matches!(message, FromWorker::Ready { .. }), "{message:?}");
    }

    /// Seconds since it was started, and CPU seconds it has used.
    pub fn clocks(&self) -> (f64, f64) {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
        // SAFETY: the call takes a number and returns one.
        (self.started.elapsed().as_secs_f64(), ticks / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64)
    }

    fn memory(&self, what: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// The most resident memory it has had so far, MiB.
    pub fn peak_mib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Its resident memory now, MiB.
    pub fn resident_mib(&self) -> u64 {
        self.memory("VmRSS:")
    }
}
