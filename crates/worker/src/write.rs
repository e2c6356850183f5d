//! Writes feature files and reports results to the engine, on a separate thread. Only this thread waits for the device and the
//! disk.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::{Feature, Matrix, Provenance};
use reeldeck_common::pinned::LIBTORCH;
use reeldeck_common::protocol::{FromWorker, Init, Report};
use reeldeck_common::recipe::Output;
use reeldeck_common::source::SourceStamp;
use reeldeck_model::clips::{Computed, Outputs};
use reeldeck_model::tch::Device;
use reeldeck_model::{ModelError, device};
use reeldeck_video::frames::Extraction;
use reeldeck_video::sampling::ClipPlan;

use crate::jobs::Job;
use crate::memory;
use crate::process;
use crate::report::Reporter;
use crate::threads;

/// How many videos may wait to be written. Each takes a megabyte on the device. A larger number would only delay the effect of
/// a slow disk on the model.
const MAX_WAITING: usize = 1;

/// Times that a video took.
#[derive(Default)]
pub(crate) struct Timings {
    /// Time that the model waited for frames.
    pub(crate) wait: Duration,
    /// Time in the model. On a GPU, the time to submit its work.
    pub(crate) model: Duration,
    /// CPU time of the decode thread in nanoseconds.
    pub(crate) decode_ns: u64,
}

/// A video that the model has processed.
pub(crate) struct Extracted {
    /// The job.
    pub(crate) job: Job,
    /// The video file before the extraction; `None` when its metadata could not be read.
    pub(crate) source: Option<SourceStamp>,
    /// The result.
    pub(crate) result: Result<(ClipPlan, Computed, Extraction, Timings), Failure>,
}

/// The thread that writes features.
pub(crate) struct Writer {
    videos: SyncSender<Extracted>,
    thread: JoinHandle<Result<()>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(init: &Init, device: Device, reporter: Reporter) -> Result<Self, Failure> {
        let (videos, waiting) = mpsc::sync_channel(MAX_WAITING);
        let state = WriterThread { init: init.clone(), reporter };
        let thread = threads::spawn("write", move || {
            device::make_current(device)?;
            state.run(waiting)
        })?;
        Ok(Self { videos, thread })
    }

    /// Sends a video to the thread; blocks while another one waits. False when the engine has ended.
    pub(crate) fn send(&self, extracted: Extracted) -> bool {
        self.videos.send(extracted).is_ok()
    }

    /// Waits until all videos are written and reported.
    ///
    /// # Errors
    /// When the engine has ended.
    pub(crate) fn finish(self) -> Result<()> {
        drop(self.videos);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the thread that writes panicked; this is a fault of reeldeck")))
    }
}

/// The state of the thread.
struct WriterThread {
    init: Init,
    reporter: Reporter,
}

impl WriterThread {
    fn run(&self, waiting: Receiver<Extracted>) -> Result<()> {
        for Extracted { job, source, result } in waiting {
            let message = match result.and_then(|extracted| self.write(&job, extracted)) {
                Ok(report) => FromWorker::Done { job: job.id, report },
                Err(mut failure) => {
                    if failure.kind == ErrorKind::OutOfMemory {
                        device::release_memory();
                        failure.chain.extend(memory::hint(&self.init));
                    }
                    FromWorker::Failed { job: job.id, failure, source }
                }
            };
            self.reporter.send(&message)?;
        }
        Ok(())
    }

    fn write(&self, job: &Job, extracted: (ClipPlan, Computed, Extraction, Timings)) -> Result<Report, Failure> {
        let (plan, computed, extraction, mut timings) = extracted;
        let model_failed = |error: ModelError| Failure::from_error(error.kind(), &error);
        let started = Instant::now();
        let outputs = computed.fetch().map_err(model_failed)?;
        timings.model += started.elapsed();
        let feature = self.feature(job, &plan, &outputs, extraction).map_err(model_failed)?;
        let started = Instant::now();
        let guard = process::prevent_exit();
        feature.write(&job.feature, &self.init.owner).map_err(|error| {
            let mut failure = Failure::from_error(ErrorKind::of_write(&error), &error);
            failure.chain.insert(0, format!("failed to write {}", job.feature.display()));
            failure
        })?;
        drop(guard);
        let ms = |duration: Duration| duration.as_millis() as u64;
        Ok(Report {
            frames: extraction.counts,
            expected_from: Some(extraction.expected_from),
            clips: plan.clip_of.len(),
            clips_computed: outputs.clips,
            plain_pass: extraction.plain_pass,
            nvdec: extraction.nvdec,
            decode_ms: timings.decode_ns / 1_000_000,
            model_ms: ms(timings.model),
            wait_ms: ms(timings.wait),
            write_ms: ms(started.elapsed()),
        })
    }

    fn feature(
        &self,
        job: &Job,
        plan: &ClipPlan,
        outputs: &Outputs,
        extraction: Extraction,
    ) -> Result<Feature, ModelError> {
        // Copies the rows of distinct clips to all clips.
        let expand = |rows: &[f32], columns: usize| {
            let row = |clip: &usize| rows.get(clip * columns..(clip + 1) * columns);
            let data = plan.clip_of.iter().map(row).collect::<Option<Vec<_>>>()?.concat();
            Some(Matrix { shape: [plan.clip_of.len(), columns], data })
        };
        let lost = || ModelError::Internal("the model gave fewer rows than there are clips".into());
        let mut tensors = BTreeMap::new();
        for output in &self.init.recipe.outputs {
            let columns = self.init.recipe.columns(*output);
            let matrix = match output {
                Output::Logits => expand(&outputs.logits, columns),
                Output::Pooled => expand(&outputs.pooled, columns),
            };
            tensors.insert(output.name().to_owned(), matrix.ok_or_else(lost)?);
        }
        let provenance = Provenance {
            format: Provenance::FORMAT,
            tool: concat!("reeldeck ", env!("CARGO_PKG_VERSION")).into(),
            set: self.init.set.clone(),
            recipe: self.init.recipe.clone(),
            checkpoint: self.init.checkpoint_id.clone(),
            video: job.video.clone(),
            source: extraction.stamp,
            frames: extraction.counts,
            fps: extraction.fps,
            size: extraction.size,
            precision: self.init.recipe.precision,
            device: if self.init.device == "cpu" { "cpu".into() } else { "cuda".into() },
            libtorch: LIBTORCH.into(),
            nvdec: extraction.nvdec,
            expected_from: Some(extraction.expected_from),
        };
        Ok(Feature { provenance, tensors })
    }
}
