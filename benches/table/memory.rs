//! The peak memory of a worker, its growth over many videos, and the time to start a worker.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use reeldeck_common::recipe::{Precision, Recipe};
use reeldeck_video::synth::Synth;

use crate::worker::{self, Worker};
use crate::{Options, decode};

/// The largest peak memory by design, in MiB.
const MAX_MIB: u64 = 1229;

/// The built-in recipe.
fn recipe(precision: Precision) -> Recipe {
    let mut recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    recipe.precision = precision;
    recipe
}

fn video(name: &str, width: u32, height: u32, frames: u64) -> PathBuf {
    let options = [("preset".to_owned(), "ultrafast".to_owned())].into();
    decode::media(name, &Synth { width, height, frames, options, ..Synth::default() })
}

/// Prints the table of peak memory. False if a worker exceeds the limit.
pub fn table(options: &Options) -> bool {
    // 8192 × 4320 are 35.4 million pixels, just below the default limit.
    let videos = [
        ("1080p, 120 frames", video("1080p-120.mp4", 1920, 1080, 120)),
        ("8192×4320, 60 frames", { video("8192x4320-60.mp4", 8192, 4320, 60) }),
    ];
    println!("One worker per video, the whole network, two clips per forward pass:\n");
    println!("| | video | distinct clips | seconds in the model | peak memory, MiB (allowed: {MAX_MIB}) |");
    println!("|---|---|---|---|---|");
    let mut good = true;
    for (name, precision) in [("fp32", Precision::Fp32), ("bf16", Precision::Bf16)] {
        for (label, path) in &videos {
            let mut worker = Worker::start(&recipe(precision), worker::seeded_weights(), options.threads as usize);
            let report = worker.run(path, 2);
            let (clips, seconds, peak) = (report.clips_computed, report.model_ms as f64 / 1e3, worker.peak_mib());
            println!("| {name} | {label} | {clips} | {seconds:.1} | {peak} |");
            good &= peak <= MAX_MIB;
        }
    }
    println!();
    good
}

/// Prints the memory of a worker over many videos with a small network, which reveals leaks.
pub fn soak(options: &Options) {
    let recipe = Recipe::find(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/program/support/tiny.toml")).unwrap();
    let sizes = [(320, 240), (96, 64), (640, 360), (64, 128)];
    let videos: Vec<PathBuf> = sizes
        .iter()
        .enumerate()
        .map(|(i, (width, height))| video(&format!("soak-{i}.mp4"), *width, *height, 57 + 10 * i as u64))
        .collect();
    let mut worker = Worker::start(&recipe, worker::seeded_weights(), options.threads as usize);
    println!("One worker, a small network, videos of four sizes in turn:\n");
    println!("| videos so far | resident memory, MiB |\n|---|---|");
    let mut done = 0;
    for checked in [10, 100, 300, 1000] {
        while done < checked {
            worker.run(&videos[done % videos.len()], 2);
            done += 1;
        }
        println!("| {checked} | {} |", worker.resident_mib());
    }
    println!();
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Prints the time to start a worker, and the main program.
pub fn start(options: &Options) {
    let path = video("256p-57.mp4", 340, 256, 57);
    println!("Start of a worker, with the weights in the page cache, medians of five, seconds:\n");
    println!("| | ready | of it CPU | first clip done | of it CPU |\n|---|---|---|---|---|");
    for (name, precision) in [("fp32", Precision::Fp32), ("bf16", Precision::Bf16)] {
        let recipe = recipe(precision);
        let weights = worker::weights_from_file(&recipe);
        let mut columns = [vec![], vec![], vec![], vec![]];
        for _ in 0..5 {
            let mut worker = Worker::start(&recipe, weights.clone(), options.threads as usize);
            worker.ready();
            let ready = worker.clocks();
            assert_eq!(worker.run(&path, 2).clips_computed, 1);
            let first = worker.clocks();
            for (column, value) in columns.iter_mut().zip([ready.0, ready.1, first.0, first.1]) {
                column.push(value);
            }
        }
        let shown = columns.map(|column| format!("{:.2}", median(column)));
        println!("| {name} | {} |", shown.join(" | "));
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_reeldeck-worker")).with_file_name("reeldeck");
    if program.exists() {
        let one = |_| {
            let started = Instant::now();
            assert!(Command::new(&program).arg("--version").stdout(Stdio::null()).status().unwrap().success());
            started.elapsed().as_secs_f64() * 1e3
        };
        println!("\n`reeldeck --version`: {:.1} ms, the median of 51.", median((0..51).map(one).collect()));
    }
    println!();
}
