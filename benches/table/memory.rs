//! The memory that a worker needs at most, with the whole network and a large picture.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use reeldeck_contract::atomic::Owner;
use reeldeck_contract::feature::CheckpointId;
use reeldeck_contract::limits::Limits;
use reeldeck_contract::pinned::SEEDED_WEIGHTS;
use reeldeck_contract::protocol::{self, CheckpointSource, FromWorker, Init, ToWorker, VERSION};
use reeldeck_contract::recipe::{Precision, Recipe};
use reeldeck_contract::video::VideoName;
use reeldeck_video::synth::Synth;

use crate::{Options, decode};

/// What the design allows.
const MOST_MIB: u64 = 1536;

/// The most resident memory a process has had so far, MiB.
fn peak_mib(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Ends the worker whatever happens to the bench.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs one video through a worker set up as the engine does it for a CPU; its clips, seconds and MiB.
fn run(precision: Precision, threads: usize) -> (usize, f64, u64) {
    let synth = Synth { width: 1920, height: 1080, frames: 120, ..Synth::default() };
    let path = decode::media("1080p-120.mp4", &synth);
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    recipe.precision = precision;
    let digest = SEEDED_WEIGHTS.to_owned();
    let init = Init {
        version: VERSION,
        set: recipe.set_name(&digest),
        recipe,
        checkpoint: CheckpointSource::Seeded,
        checkpoint_id: CheckpointId { name: "seeded".into(), digest, meaningless: true },
        device: "cpu".into(),
        threads,
        decoders: 1,
        prefetch_frames: 64,
        limits: Limits::default(),
        owner: Owner::this_process(),
    };
    let piped = Stdio::piped;
    let program = env!("CARGO_BIN_EXE_reeldeck-worker");
    let mut worker = Guard(Command::new(program).stdin(piped()).stdout(piped()).spawn().unwrap());
    let mut stdin = worker.0.stdin.take().unwrap();
    let video = VideoName::new("Class/v.mp4").unwrap();
    let feature = folder.path().join("v.safetensors");
    let job = ToWorker::Extract { job: 1, video, path, feature, batch: 2 };
    let messages = [protocol::line(&ToWorker::Init(Box::new(init))).unwrap(), protocol::line(&job).unwrap()];
    stdin.write_all(messages.concat().as_bytes()).unwrap();
    for line in BufReader::new(worker.0.stdout.take().unwrap()).lines() {
        match serde_json::from_str(&line.unwrap()).unwrap() {
            FromWorker::Done { report, .. } => {
                let peak = peak_mib(worker.0.id());
                return (report.clips_computed, report.model_ms as f64 / 1e3, peak);
            }
            FromWorker::Ready { .. } | FromWorker::Progress { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the worker ended without a word");
}

/// Prints the table of memory, and says whether all is within bounds.
pub fn table(options: &Options) -> bool {
    println!("A worker on one 1080p video of 120 frames, the whole network:\n");
    println!("| | distinct clips | seconds in the model | peak memory, MiB (allowed: {MOST_MIB}) |\n|---|---|---|---|");
    let precisions = [("fp32", Precision::Fp32), ("bf16", Precision::Bf16)];
    let mut good = true;
    for (name, precision) in precisions.into_iter().take(if options.short { 1 } else { 2 }) {
        let (clips, seconds, peak) = run(precision, options.threads as usize);
        println!("| {name} | {clips} | {seconds:.1} | {peak} |");
        good &= peak < MOST_MIB;
    }
    println!();
    good
}
