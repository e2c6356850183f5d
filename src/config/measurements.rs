//! What `reeldeck tune` has measured on this machine: how many workers, threads and clips per pass make a recipe's model
//! fastest on the CPU. Kept in the user's cache folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded;
use reeldeck_common::error::is_absent;
use reeldeck_common::machine::processor;
use reeldeck_common::recipe::Recipe;
use serde::{Deserialize, Serialize};

use super::file::{MAX_BATCH, MAX_THREADS, within};
use crate::dataset::shown;
use crate::fetch;
use crate::out::errln;

const MAX_BYTES: u64 = 16 << 20;

/// The speed of one way to use the machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measurement {
    /// Workers on the CPU.
    pub workers: usize,
    /// Threads of each.
    pub threads: usize,
    /// Clips per forward pass.
    pub batch: usize,
    /// Distinct clips per second, of all workers together.
    pub clips_per_s: f64,
}

/// All measurements, by [`key`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Measurements(BTreeMap<String, Vec<Measurement>>);

/// What a measurement depends on: the build, the processor, the number of cores, and of the recipe the network, the size of
/// frames, the length of clips and the precision.
pub(crate) fn key(recipe: &Recipe, processor: &str, cores: usize) -> String {
    let model =
        serde_json::to_string(&(&recipe.model, recipe.precision, recipe.transform.output(), recipe.sampling.length));
    format!("{} | {processor} | {cores} cores | {}", env!("CARGO_PKG_VERSION"), model.unwrap_or_default())
}

/// The file, in the user's cache folder. `None` without one.
pub(crate) fn file() -> Option<PathBuf> {
    Some(fetch::user_folder()?.join("tune.json"))
}

/// The file beside it in which workers keep the faster algorithm of each convolution.
pub(crate) fn algorithms() -> Option<PathBuf> {
    Some(fetch::user_folder()?.join("convolutions.json"))
}

impl Measurements {
    /// Reads the file. A file that does not exist counts as empty, and also, with a note, one that has another form or numbers
    /// that a configuration may not have.
    ///
    /// # Errors
    /// When it exists and cannot be read. Taken as empty, it would be overwritten.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        match bounded::read(file, MAX_BYTES) {
            Ok(bytes) => Ok(Self::parse(&bytes).unwrap_or_else(|why| {
                // A run reads it more than once.
                static NOTED: Once = Once::new();
                NOTED.call_once(|| errln!("note: {} is ignored: {why}; `reeldeck tune` writes it again", shown(file)));
                Self::default()
            })),
            Err(error) if is_absent(&error) => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        for one in read.0.values().flatten() {
            within("threads", one.threads as f64, 1.0, MAX_THREADS)?;
            within("batch", one.batch as f64, 1.0, MAX_BATCH)?;
        }
        Ok(read)
    }

    /// Writes the file, and creates its folder.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_vec_pretty(self)?;
        atomic::write(file, &Owner::this_process(), |out| io::Write::write_all(out, &text))
    }

    /// Replaces the measurements of this key.
    pub(crate) fn insert(&mut self, key: String, measurements: Vec<Measurement>) {
        self.0.insert(key, measurements);
    }

    /// The fastest measurement with this number of workers.
    pub(crate) fn fastest(&self, key: &str, workers: usize) -> Option<Measurement> {
        self.0
            .get(key)?
            .iter()
            .filter(|one| one.workers == workers)
            .copied()
            .max_by(|a, b| a.clips_per_s.total_cmp(&b.clips_per_s))
    }
}

/// The fastest measurement on this machine with this recipe and number of workers.
pub(crate) fn fastest(recipe: &Recipe, workers: usize, cores: usize) -> Option<Measurement> {
    let file = file()?;
    let measurements = Measurements::read(&file)
        .inspect_err(|error| tracing::warn!("failed to read {}: {error}; the defaults apply", file.display()));
    measurements.ok()?.fastest(&key(recipe, &processor(), cores), workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(workers: usize, threads: usize, batch: usize, clips_per_s: f64) -> Measurement {
        Measurement { workers, threads, batch, clips_per_s }
    }

    #[test]
    fn measurements_are_written_and_the_fastest_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cache/reeldeck/tune.json");
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let key = key(&recipe, "a processor", 2);
        let mut measurements = Measurements::read(&file).unwrap();
        assert_eq!(measurements, Measurements::default());
        measurements.insert(key.clone(), vec![measured(1, 2, 2, 3.0), measured(1, 2, 4, 3.5), measured(2, 1, 2, 4.0)]);
        measurements.write(&file).unwrap();
        let read = Measurements::read(&file).unwrap();
        assert_eq!(read, measurements);
        assert_eq!(read.fastest(&key, 1), Some(measured(1, 2, 4, 3.5)));
        assert_eq!(read.fastest(&key, 2), Some(measured(2, 1, 2, 4.0)));
        assert_eq!(read.fastest(&key, 3), None);
        fs::write(&file, "{\"k\": 1}").unwrap();
        assert_eq!(Measurements::read(&file).unwrap(), Measurements::default());
        for (threads, batch) in [(1025, 2), (0, 2), (2, 1025), (2, 0)] {
            measurements.insert(key.clone(), vec![measured(1, threads, batch, 3.0)]);
            measurements.write(&file).unwrap();
            assert_eq!(Measurements::read(&file).unwrap(), Measurements::default(), "{threads} threads, batch {batch}");
        }
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&file, &file).unwrap();
        assert!(Measurements::read(&file).is_err(), "a link to itself cannot be read");
    }

    #[test]
    fn what_changes_the_speed_changes_the_key() {
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let mut short = recipe.clone();
        short.precision = reeldeck_common::recipe::Precision::Bf16;
        let keys = [key(&recipe, "a", 2), key(&short, "a", 2), key(&recipe, "b", 2), key(&recipe, "a", 4)];
        assert!(keys.iter().enumerate().all(|(i, key)| !keys[..i].contains(key)), "{keys:?}");
        // The number of clips does not change the speed.
        let mut sparse = recipe.clone();
        sparse.sampling.placement = reeldeck_common::recipe::Placement::Spread { clips: 3 };
        assert_eq!(key(&sparse, "a", 2), keys[0]);
    }
}
