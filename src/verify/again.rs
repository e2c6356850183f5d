//! Extracts a few videos again with a separate worker, and compares the result with the stored feature.
//!
//! It uses its own folder: features, failures and journal of a run stay as they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::atomic::TemporaryFolder;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::Feature;
use reeldeck_common::protocol::Init;
use reeldeck_common::recipe::Recipe;
use reeldeck_common::video::VideoName;
use reeldeck_process::{Program, WaitLimits, Worker, WorkerError};

use super::compare::{Tolerance, compare};
use super::{Compared, Kind, Problem};
use crate::error::line_of;
use crate::progress::Progress;

/// What a worker needs.
#[derive(Clone, Debug)]
pub(crate) struct ExtractorOptions {
    /// The worker's program.
    pub program: Program,
    /// The first message to the worker.
    pub init: Init,
    /// Clips per forward pass.
    pub batch: usize,
    /// Longest time without a message from the worker.
    pub stall: Duration,
    /// The folder in which a temporary folder for the extracted features is created. That is removed at the end.
    pub parent: PathBuf,
}

/// The result of extracting a video again.
#[derive(Debug)]
pub(crate) enum Reextracted {
    /// The features were compared; with a finding if they differ.
    Compared(Compared, Option<Problem>),
    /// There is nothing to compare.
    Failed(Problem),
}

/// A worker that extracts one video at a time into its own folder.
#[derive(Debug)]
pub(crate) struct Extractor {
    options: ExtractorOptions,
    /// Ends before its folder is removed.
    worker: Option<Worker>,
    folder: TemporaryFolder,
}

impl Extractor {
    /// Creates the folder, and removes those of killed processes. The worker is started with the first video.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub(crate) fn new(options: ExtractorOptions) -> io::Result<Self> {
        let folder = TemporaryFolder::create(&options.parent, &options.init.owner)?;
        Ok(Self { options, worker: None, folder })
    }

    /// Extracts a video and compares it with its stored feature. A worker that fails is replaced for the next video.
    ///
    /// # Errors
    /// When no worker can be started, and when cancelled.
    pub(crate) fn compare(
        &mut self,
        video: &VideoName,
        source: &Path,
        stored: &Path,
        recipe: &Recipe,
        tolerance: Tolerance,
        progress: &dyn Progress,
    ) -> Result<Reextracted, Failure> {
        let of = |kind: Kind, text: String| Problem { video: video.clone(), kind, text };
        let finding = |text: String| of(Kind::Again, text);
        let path = self.folder.path().join(video.folder()).join(format!("{}.safetensors", video.file()));
        let extracted = match self.extract(video, source, &path, progress)? {
            Ok(()) => Feature::read(&path).map_err(|error| line_of(&error)),
            Err(failure) => Err(failure.line()),
        };
        // Removed at once, so that the folder holds one feature at most.
        let _ = fs::remove_file(&path);
        let (anew, stored) = match (extracted, Feature::read(stored)) {
            (Ok(anew), Ok(stored)) => (anew, stored),
            (Err(why), _) => {
                let text = format!("it cannot be extracted again: {why}; its feature may be right");
                return Ok(Reextracted::Failed(of(Kind::NotExtracted, text)));
            }
            (_, Err(error)) => return Ok(Reextracted::Failed(of(Kind::Unreadable, line_of(&error)))),
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
                wrong.get_or_insert_with(|| finding(format!("its {name} differ after a new extraction: {difference}")));
            }
            if worst.as_ref().is_none_or(|worst| difference.max_abs > worst.difference.max_abs) {
                worst = Some(Compared { video: video.clone(), difference });
            }
        }
        let nothing = || Reextracted::Failed(finding("the recipe stores nothing".into()));
        Ok(worst.map_or_else(nothing, |compared| Reextracted::Compared(compared, wrong)))
    }

    /// The outer error ends the verification. The inner one concerns this video alone.
    fn extract(
        &mut self,
        video: &VideoName,
        source: &Path,
        feature: &Path,
        progress: &dyn Progress,
    ) -> Result<Result<(), Failure>, Failure> {
        let is_cancelled = || progress.is_cancelled();
        let ExtractorOptions { program, init, stall, .. } = &self.options;
        let patience =
            WaitLimits { stall: *stall, total: Duration::from_secs(init.limits.wall_s), is_cancelled: &is_cancelled };
        let not_started = |error: io::Error| {
            Failure::new(ErrorKind::Device, format!("failed to start {}: {error}", program.path.display()))
        };
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => {
                let mut worker = Worker::start(program, init.clone()).map_err(not_started)?;
                match worker.wait_ready(&WaitLimits { total: *stall, ..patience }) {
                    Ok(()) => worker,
                    Err(WorkerError::Cancelled) => return Err(interrupted()),
                    Err(WorkerError::Fatal(failure) | WorkerError::Failed(failure) | WorkerError::Lost(failure)) => {
                        return Err(failure);
                    }
                }
            }
        };
        worker.begin(video, source, feature, self.options.batch).map_err(not_started)?;
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
