//! `reeldeck tune`: measures how this machine's CPU runs a recipe's model fastest.

mod measure;

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use reeldeck_common::machine::processor;

use crate::cli::TuneArgs;
use crate::config::Settings;
use crate::config::measurements::{self, Measurement, Measurements};
use crate::dataset::shown;
use crate::discovery;
use crate::error::{Exit, ExitError};
use crate::out::{errln, outln};
use crate::signals::cancel_on_signal;
use measure::{Bench, Video};

/// Numbers of clips per pass to measure, the default first.
const BATCHES: [usize; 3] = [2, 1, 4];

/// Measures each number of workers with each number of clips per pass, and keeps the results.
///
/// # Errors
/// When a worker or the probe fails, a signal interrupts, or the results cannot be written.
pub(crate) fn run_tune(settings: &Settings, args: &TuneArgs) -> anyhow::Result<Exit> {
    let file = measurements::file().context("no folder for the results; set HOME or XDG_CACHE_HOME")?;
    let read = || Measurements::read(&file).with_context(|| format!("failed to read {}; remove it", shown(&file)));
    // Before minutes of measurements.
    read()?;
    let cores = crate::allocation::cores();
    let worker = discovery::worker()?;
    let cancelled = cancel_on_signal(None).context("failed to catch signals")?;
    let video = Video::make(&discovery::probe()?, &cancelled)?;
    let time = Duration::from_secs(args.seconds);
    let bench = Bench { worker: &worker, recipe: &settings.recipe, video: &video, time, cancelled: &cancelled };
    let mut measured: Vec<Measurement> = vec![];
    for (workers, threads) in shares(cores) {
        for batch in BATCHES {
            let one = bench.measure(workers, threads, batch);
            if cancelled.load(Ordering::Relaxed) {
                return Err(ExitError::interrupted().into());
            }
            let one = one.context("failed to measure a worker")?;
            outln!("{}: {:.2} clips/s", describe(&one), one.clips_per_s);
            measured.push(one);
        }
    }
    let key = measurements::key(&settings.recipe, &processor(), cores);
    let mut kept = read()?;
    kept.insert(key, measured.clone());
    kept.write(&file).with_context(|| format!("failed to write {}", shown(&file)))?;
    if let Some(best) = measured.iter().max_by(|a, b| a.clips_per_s.total_cmp(&b.clips_per_s)) {
        let devices = if best.workers == 1 { "cpu".into() } else { format!("cpu*{}", best.workers) };
        outln!("fastest: --devices '{devices}', {}", describe(best));
    }
    errln!("saved to {}: runs use these threads and this batch if the configuration has 0", shown(&file));
    Ok(Exit::Done)
}

fn describe(one: &Measurement) -> String {
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let (workers, threads) = (plural(one.workers, "worker"), plural(one.threads, "thread"));
    format!("{workers} of {threads}, {} a pass", plural(one.batch, "clip"))
}

/// Numbers of workers and threads per worker that share the cores evenly.
fn shares(cores: usize) -> Vec<(usize, usize)> {
    let cores = cores.max(1);
    // Each worker needs memory for a network of its own, and more than eight have never been faster.
    (1..=cores.min(8))
        .filter(|workers| cores.is_multiple_of(*workers))
        .map(|workers| (workers, cores / workers))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_evenly() {
        assert_eq!(shares(1), [(1, 1)]);
        assert_eq!(shares(2), [(1, 2), (2, 1)]);
        assert_eq!(shares(12), [(1, 12), (2, 6), (3, 4), (4, 3), (6, 2)]);
        assert_eq!(shares(0), [(1, 1)]);
    }
}
