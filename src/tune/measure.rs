//! Measures workers: runs them on a small video and counts clips.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reeldeck_common::feature::CheckpointId;
use reeldeck_common::protocol::{CheckpointSource, Init};
use reeldeck_common::recipe::{Placement, Recipe};
use reeldeck_common::video::VideoName;
use reeldeck_process::{Program, WaitLimits, Worker};
use tempfile::TempDir;

use crate::config::measurements::{self, Measurement};
use crate::discovery::synthesize;

/// The frames of the video and the clips sampled from it. No two clips are equal, and a CPU computes them in seconds.
const FRAMES: u64 = 113;
const CLIPS: usize = 8;

const FAILED: &str = "a worker failed during the measurement";

/// A video to measure with, in a temporary folder that is removed with this value.
pub(super) struct Video {
    folder: TempDir,
}

impl Video {
    /// Generates it with `reeldeck-probe`.
    ///
    /// # Errors
    /// When the probe fails.
    pub(super) fn make(probe: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("reeldeck-tune-").tempdir();
        let folder = folder.context("failed to create a temporary folder; set TMPDIR to another folder")?;
        let video = Self { folder };
        let size = serde_json::json!({"width": 340, "height": 256, "frames": FRAMES});
        synthesize(probe, &[serde_json::json!({"file": video.path(), "video": size})])?;
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
}

impl Bench<'_> {
    /// Measures the total speed of `workers` with `threads` each.
    ///
    /// # Errors
    /// When a worker fails.
    pub(super) fn measure(&self, workers: usize, threads: usize, batch: usize) -> Result<Measurement> {
        let mut all = (0..workers).map(|_| self.start(threads)).collect::<Result<Vec<_>>>()?;
        for worker in &mut all {
            worker.wait_ready(&WaitLimits::UNLIMITED).context(FAILED)?;
        }
        // The first video is slower: the network is compiled for its shapes.
        self.round(&mut all, batch)?;
        let (started, mut clips) = (Instant::now(), 0);
        while clips == 0 || started.elapsed() < self.time {
            clips += self.round(&mut all, batch)?;
        }
        Ok(Measurement { workers, threads, batch, clips_per_s: clips as f64 / started.elapsed().as_secs_f64() })
    }

    /// Sends one video through all workers in parallel. Returns the number of clips computed.
    fn round(&self, all: &mut [Worker], batch: usize) -> Result<usize> {
        let name = VideoName::new("Class/v.mp4")?;
        for (number, worker) in all.iter_mut().enumerate() {
            let feature = self.video.folder.path().join(format!("{number}.safetensors"));
            worker.begin(&name, &self.video.path(), &feature, batch).context(FAILED)?;
        }
        let mut clips = 0;
        for worker in all {
            clips += worker.finish(&WaitLimits::UNLIMITED).context(FAILED)?.clips_computed;
        }
        Ok(clips)
    }

    fn start(&self, threads: usize) -> Result<Worker> {
        let mut recipe = self.recipe.clone();
        recipe.sampling.placement = Placement::Spread { clips: CLIPS };
        let init = Init::on_cpu(recipe, CheckpointSource::Seeded, CheckpointId::seeded(), threads);
        let init = Init { algorithms: measurements::algorithms(), ..init };
        Worker::start(&Program::new(self.worker), init)
            .with_context(|| format!("failed to start {}", self.worker.display()))
    }
}
