//! Extracts a few videos anew, by a worker of its own, and sets the result against what is stored.
//!
//! A small client of the worker's protocol that does one thing after the other: nothing here may touch the features, the
//! failures or the journal of a run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::Feature;
use reeldeck_common::protocol::Init;
use reeldeck_common::recipe::Recipe;
use reeldeck_common::video::VideoName;
use reeldeck_process::{Patience, Program, Worker, WorkerError};

use super::compare::{Tolerance, compare};
use super::{Compared, Finding, Kind};
use crate::error::line_of;
use crate::progress::Progress;

/// What is needed to extract.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The worker's program.
    pub program: Program,
    /// The first message.
    pub init: Init,
    /// Clips a forward pass.
    pub batch: usize,
    /// Longest time without a sign of life.
    pub stall: Duration,
    /// A folder of its own to extract into; it is made, and removed at the end.
    pub folder: PathBuf,
}

/// What became of extracting anew.
#[derive(Debug)]
pub enum Reextracted {
    /// It was compared; a finding where it is not the same.
    Compared(Compared, Option<Finding>),
    /// There is nothing to compare.
    Failed(Finding),
}

/// A worker that extracts one video at a time into a folder of its own.
#[derive(Debug)]
pub struct Extractor {
    setup: Setup,
    worker: Option<Worker>,
}

impl Extractor {
    /// Makes the folder. The worker is started with the first video.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(setup: Setup) -> io::Result<Self> {
        fs::create_dir_all(&setup.folder)?;
        Ok(Self { setup, worker: None })
    }

    /// Extracts a video and sets it against its stored feature. A worker that fails is replaced for the next one.
    ///
    /// # Errors
    /// Where no worker can work at all, or the user wants to stop: nothing was learned about this video.
    pub fn compare(
        &mut self,
        video: &VideoName,
        source: &Path,
        stored: &Path,
        recipe: &Recipe,
        tolerance: Tolerance,
        progress: &dyn Progress,
    ) -> Result<Reextracted, Failure> {
        let finding = |text: String| Finding { video: video.clone(), kind: Kind::Again, text };
        let path = self.setup.folder.join(video.class()).join(format!("{}.safetensors", video.file()));
        let extracted = match self.extract(video, source, &path, progress)? {
            Ok(()) => Feature::read(&path).map_err(|error| line_of(&error)),
            Err(failure) => Err(failure.line()),
        };
        // One at a time: the folder holds no more than one feature.
        let _ = fs::remove_file(&path);
        let (anew, stored) = match (extracted, Feature::read(stored)) {
            (Ok(anew), Ok(stored)) => (anew, stored),
            (Err(why), _) => return Ok(Reextracted::Failed(finding(format!("it cannot be extracted anew: {why}")))),
            (_, Err(error)) => return Ok(Reextracted::Failed(finding(line_of(&error)))),
        };
        let mut worst: Option<Compared> = None;
        let mut wrong = None;
        for output in &recipe.outputs {
            let name = output.name();
            let (Some(own), Some(new)) = (stored.tensors.get(name), anew.tensors.get(name)) else {
                return Ok(Reextracted::Failed(finding(format!("there are no {name} to compare"))));
            };
            let difference = match compare(own, new) {
                Ok(difference) => difference,
                Err(why) => return Ok(Reextracted::Failed(finding(format!("its {name} cannot be compared: {why}")))),
            };
            if !tolerance.allows(&difference) {
                wrong.get_or_insert_with(|| finding(format!("extracted anew, its {name} are others: {difference}")));
            }
            if worst.as_ref().is_none_or(|worst| difference.max_abs > worst.difference.max_abs) {
                worst = Some(Compared { video: video.clone(), difference });
            }
        }
        let nothing = || Reextracted::Failed(finding("the recipe stores nothing".into()));
        Ok(worst.map_or_else(nothing, |compared| Reextracted::Compared(compared, wrong)))
    }

    /// The outer error ends everything, the inner one is this video's.
    fn extract(
        &mut self,
        video: &VideoName,
        source: &Path,
        feature: &Path,
        progress: &dyn Progress,
    ) -> Result<Result<(), Failure>, Failure> {
        let is_cancelled = || progress.is_cancelled();
        let Setup { program, init, stall, .. } = &self.setup;
        let patience =
            Patience { stall: *stall, total: Duration::from_secs(init.limits.wall_s), is_cancelled: &is_cancelled };
        let not_started = |error: io::Error| {
            Failure::new(ErrorKind::Device, format!("failed to start {}: {error}", program.path.display()))
        };
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => {
                let mut worker = Worker::start(program, init.clone()).map_err(not_started)?;
                match worker.wait_ready(&Patience { total: *stall, ..patience }) {
                    Ok(()) => worker,
                    Err(WorkerError::Cancelled) => return Err(interrupted()),
                    Err(WorkerError::Fatal(failure) | WorkerError::Failed(failure) | WorkerError::Lost(failure)) => {
                        return Err(failure);
                    }
                }
            }
        };
        worker.begin(video, source, feature, self.setup.batch).map_err(not_started)?;
        let extracted = match worker.finish(&patience) {
            Ok(_) => Ok(()),
            Err(WorkerError::Failed(failure)) => Err(failure),
            // The next video gets another worker.
            Err(WorkerError::Lost(failure)) => return Ok(Err(failure)),
            Err(WorkerError::Fatal(failure)) => return Err(failure),
            Err(WorkerError::Cancelled) => return Err(interrupted()),
        };
        self.worker = Some(worker);
        Ok(extracted)
    }
}

fn interrupted() -> Failure {
    Failure::new(ErrorKind::Interrupted, "interrupted; run the same command again")
}

impl Drop for Extractor {
    fn drop(&mut self) {
        // First the worker, then what it may still be writing to.
        self.worker = None;
        let _ = fs::remove_dir_all(&self.setup.folder);
    }
}
