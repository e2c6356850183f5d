//! What was measured about this machine: how many workers, threads and clips a pass make a recipe's model fastest on its CPU.
//! Remembered in the user's cache folder, for settings that are left to reeldeck.

mod measure;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use measure::{Bench, Video};

/// One way to use the machine, and how fast it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// Workers on the CPU.
    pub workers: usize,
    /// Threads of each.
    pub threads: usize,
    /// Clips a pass.
    pub batch: usize,
    /// Distinct clips a second of all workers together.
    pub clips_per_s: f64,
}

/// All that was measured, by [`key`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Remembered(BTreeMap<String, Vec<Way>>);

/// What a measurement holds for: this build, processor, number of cores, network, size of pictures, length of clips, precision.
pub fn key(recipe: &Recipe, processor: &str, cores: usize) -> String {
    let model =
        serde_json::to_string(&(&recipe.model, recipe.precision, recipe.transform.crop, recipe.sampling.length));
    format!("{} | {processor} | {cores} cores | {}", env!("CARGO_PKG_VERSION"), model.unwrap_or_default())
}

/// The processor by its own name.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "unknown".into(), |(_, name)| name.to_owned())
}

/// Where it is remembered: in `$XDG_CACHE_HOME`, or `.cache` in the user's folder. `None` where there is neither.
pub fn file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("reeldeck/tune.json"))
}

/// The ways to try first for so many cores: all of them in one worker, or shared evenly among several.
pub fn shares(cores: usize) -> Vec<(usize, usize)> {
    let cores = cores.max(1);
    // One worker more costs a network's memory more; more than eight have never been faster.
    (1..=cores.min(8))
        .filter(|workers| cores.is_multiple_of(*workers))
        .map(|workers| (workers, cores / workers))
        .collect()
}

impl Remembered {
    /// What is in the file; nothing where there is none, or where another program wrote something else there.
    pub fn read(file: &Path) -> Self {
        fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Writes the file, and its folder.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_vec_pretty(self)?;
        atomic::write(file, &Owner::this_process(), |out| io::Write::write_all(out, &text))
    }

    /// Takes the place of what was measured for this key before.
    pub fn insert(&mut self, key: String, ways: Vec<Way>) {
        self.0.insert(key, ways);
    }

    /// The fastest way with so many workers.
    pub fn fastest(&self, key: &str, workers: usize) -> Option<Way> {
        let ways = self.0.get(key)?.iter().filter(|way| way.workers == workers && way.threads > 0 && way.batch > 0);
        ways.copied().max_by(|a, b| a.clips_per_s.total_cmp(&b.clips_per_s))
    }
}

/// The fastest way with so many workers that was ever measured here for this recipe.
pub fn fastest(recipe: &Recipe, workers: usize, cores: usize) -> Option<Way> {
    Remembered::read(&file()?).fastest(&key(recipe, &processor(), cores), workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(workers: usize, threads: usize, batch: usize, clips_per_s: f64) -> Way {
        Way { workers, threads, batch, clips_per_s }
    }

    #[test]
    fn cores_are_shared_evenly() {
        assert_eq!(shares(1), [(1, 1)]);
        assert_eq!(shares(2), [(1, 2), (2, 1)]);
        assert_eq!(shares(12), [(1, 12), (2, 6), (3, 4), (4, 3), (6, 2)]);
        assert_eq!(shares(0), [(1, 1)]);
    }

    #[test]
    fn the_fastest_way_for_the_workers_there_are_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cache/reeldeck/tune.json");
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let key = key(&recipe, "a processor", 2);
        let mut remembered = Remembered::read(&file);
        assert_eq!(remembered, Remembered::default());
        remembered.insert(key.clone(), vec![way(1, 2, 2, 3.0), way(1, 2, 4, 3.5), way(2, 1, 2, 4.0)]);
        remembered.write(&file).unwrap();
        let read = Remembered::read(&file);
        assert_eq!(read, remembered);
        assert_eq!(read.fastest(&key, 1), Some(way(1, 2, 4, 3.5)));
        assert_eq!(read.fastest(&key, 2), Some(way(2, 1, 2, 4.0)));
        assert_eq!(read.fastest(&key, 3), None);
        fs::write(&file, "{\"k\": 1}").unwrap();
        assert_eq!(Remembered::read(&file), Remembered::default());
    }

    #[test]
    fn what_changes_the_speed_changes_the_key() {
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let mut short = recipe.clone();
        short.precision = reeldeck_common::recipe::Precision::Bf16;
        let keys = [key(&recipe, "a", 2), key(&short, "a", 2), key(&recipe, "b", 2), key(&recipe, "a", 4)];
        assert!(keys.iter().enumerate().all(|(i, key)| !keys[..i].contains(key)), "{keys:?}");
        // Where the clips lie in the video does not.
        let mut sparse = recipe.clone();
        sparse.sampling.clips = 3;
        assert_eq!(key(&sparse, "a", 2), keys[0]);
    }
}
