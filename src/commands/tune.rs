//! `reeldeck tune`: measures how this machine runs the recipe's model fastest, and remembers it.

use std::time::Duration;

use anyhow::Context;

use crate::cli::TuneArgs;
use crate::config::Settings;
use crate::dataset::shown;
use crate::error::Exit;
use crate::process;
use crate::tune::{self, Bench, Remembered, Video, Way};
use crate::{errln, outln};

/// Clips a pass that are tried, the usual number first.
const BATCHES: [usize; 3] = [2, 1, 4];

/// Measures the ways to share the cores, then for each number of workers the clips a pass.
///
/// # Errors
/// When a worker or the probe fails, or the result cannot be kept.
pub fn run_tune(settings: &Settings, args: &TuneArgs) -> anyhow::Result<Exit> {
    let file = tune::file().context("there is no folder to remember it in; set HOME or XDG_CACHE_HOME")?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let worker = process::worker()?;
    let video = Video::make(&process::probe()?)?;
    let time = Duration::from_secs(args.seconds);
    let bench = Bench { worker: &worker, recipe: &settings.recipe, video: &video, time };
    let mut ways: Vec<Way> = vec![];
    for (workers, threads) in tune::shares(cores) {
        for batch in BATCHES {
            let way = bench.measure(workers, threads, batch).context("failed to measure a worker")?;
            outln!("{}: {:.2} clips/s", told(&way), way.clips_per_s);
            ways.push(way);
        }
    }
    let key = tune::key(&settings.recipe, &tune::processor(), cores);
    let mut remembered = Remembered::read(&file);
    remembered.insert(key, ways.clone());
    remembered.write(&file).with_context(|| format!("failed to write {}", shown(&file)))?;
    if let Some(best) = ways.iter().max_by(|a, b| a.clips_per_s.total_cmp(&b.clips_per_s)) {
        let devices = if best.workers == 1 { "cpu".into() } else { format!("cpu*{}", best.workers) };
        outln!("fastest: --devices '{devices}', {}", told(best));
    }
    errln!("kept in {}: threads and batch are taken from there where the configuration leaves them at 0", shown(&file));
    Ok(Exit::Done)
}

fn told(way: &Way) -> String {
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let (workers, threads) = (plural(way.workers, "worker"), plural(way.threads, "thread"));
    format!("{workers} of {threads}, {} a pass", plural(way.batch, "clip"))
}
