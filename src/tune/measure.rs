//! Measures workers: runs them on a small video and counts clips.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reeldeck_common::atomic::{Owner, TemporaryFolder};
use reeldeck_common::feature::CheckpointId;
use reeldeck_common::protocol::{CheckpointSource, Init};
use reeldeck_common::recipe::{Placement, Recipe};
use reeldeck_common::video::VideoName;
use reeldeck_process::{Program, WaitLimits, Worker};

use crate::config::measurements::{self, Measurement};
use crate::discovery::synthesize;

/// The frames of the video and the clips sampled from it. No two clips are equal, and a CPU computes them in seconds.
const FRAMES: u64 = 113;
const CLIPS: usize = 8;

const FAILED: &str = "a worker failed during the measurement";

/// A video to measure with, in a temporary folder that is removed with this value.
pub(super) struct Video {
    folder: TemporaryFolder,
}

impl Video {
    /// Generates it with `reeldeck-probe`.
    ///
    /// # Errors
    /// When the probe fails, and when `cancelled` is set.
    pub(super) fn make(probe: &Path, cancelled: &AtomicBool) -> Result<Self> {
        let folder = TemporaryFolder::create(&reeldeck_common::machine::temporary_folder(), &Owner::this_process());
        let folder = folder.context("failed to create a temporary folder; set TMPDIR to another folder")?;
        let video = Self { folder };
        let size = serde_json::json!({"width": 340, "height": 256, "frames": FRAMES});
        synthesize(probe, &[serde_json::json!({"file": video.path(), "video": size})], cancelled)?;
        Ok(video)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("v.mp4")
    }
}

/// A measurement setup.
pub(super) struct Bench<'a> {
    /// `reeldeck-worker`.
    pub worker: &'a Path,
    /// The recipe whose model is measured.
    pub recipe: &'a Recipe,
    pub video: &'a Video,
    /// The duration of each measurement.
    pub time: Duration,
    /// Ends a measurement early.
    pub cancelled: &'a AtomicBool,
}

impl Bench<'_> {
    /// Measures the total speed of `workers` with `threads` each.
    ///
    /// # Errors
    /// When a worker fails, and when cancelled.
    pub(super) fn measure(&self, workers: usize, threads: usize, batch: usize) -> Result<Measurement> {
        let mut all = (0..workers).map(|_| self.start(threads)).collect::<Result<Vec<_>>>()?;
        let is_cancelled = || self.cancelled.load(Ordering::Relaxed);
        let limits = WaitLimits { is_cancelled: &is_cancelled, ..WaitLimits::UNLIMITED };
        for worker in &mut all {
            worker.wait_ready(&limits).context(FAILED)?;
        }
        // The first video is slower: the network is compiled for its shapes.
        self.round(&mut all, batch, &limits)?;
        let (started, mut clips) = (Instant::now(), 0);
        while clips == 0 || started.elapsed() < self.time {
            clips += self.round(&mut all, batch, &limits)?;
        }
        Ok(Measurement { workers, threads, batch, clips_per_s: clips as f64 / started.elapsed().as_secs_f64() })
    }

    /// Sends one video through all workers in parallel. Returns the number of clips computed.
    fn round(&self, all: &mut [Worker], batch: usize, limits: &WaitLimits<'_>) -> Result<usize> {
        let name = VideoName::new("Class/v.mp4")?;
        for (number, worker) in all.iter_mut().enumerate() {
            let feature = self.video.folder.path().join(format!("{number}.safetensors"));
            worker.begin(&name, &self.video.path(), &feature, batch).context(FAILED)?;
        }
        let mut clips = 0;
        for worker in all {
            clips += worker.finish(limits).context(FAILED)?.clips_computed;
        }
        Ok(clips)
    }

    fn start(&self, threads: usize) -> Result<Worker> {
        Worker::start(&Program::new(self.worker), self.init(threads))
            .with_context(|| format!("failed to start {}", self.worker.display()))
    }

    fn init(&self, threads: usize) -> Init {
        // Other weights take the same time, but a module has no other ones.
        let module = self.recipe.model.module().map(|(path, _)| CheckpointSource::File(path.to_owned()));
        let mut recipe = self.recipe.clone();
        recipe.sampling.placement = Placement::Spread { clips: CLIPS };
        let checkpoint = module.unwrap_or(CheckpointSource::Seeded);
        let init = Init::on_cpu(recipe, checkpoint, CheckpointId::seeded(), threads);
        Init { algorithms: measurements::algorithms(), ..init }
    }
}

#[cfg(test)]
mod tests {
    use reeldeck_common::recipe::{Model, TorchScript};

    use super::*;

    #[test]
    fn a_module_is_loaded_from_its_file_and_other_networks_need_none() {
        let dir = tempfile::tempdir().unwrap();
        let video = Video { folder: TemporaryFolder::create(dir.path(), &Owner::this_process()).unwrap() };
        let source = |recipe: &Recipe| {
            let (worker, time, cancelled) = (Path::new("/worker"), Duration::ZERO, &AtomicBool::new(false));
            Bench { worker, recipe, video: &video, time, cancelled }.init(2).checkpoint
        };
        let slowonly = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        assert_eq!(source(&slowonly), CheckpointSource::Seeded);
        let module = TorchScript { module: "/models/m.pt".into(), sha256: "0a".repeat(32), width: 3 };
        let recipe = Recipe { model: Model::Torchscript(module), ..slowonly };
        assert_eq!(source(&recipe), CheckpointSource::File("/models/m.pt".into()));
    }
}
