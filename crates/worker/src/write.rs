//! What the model has computed becomes a feature file and a word to the engine, in the order of the videos: on a thread of its
//! own, which alone waits for the device and for the disk.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::{Feature, Matrix, Provenance};
use reeldeck_common::pinned::LIBTORCH;
use reeldeck_common::protocol::{FromWorker, Init, Report};
use reeldeck_common::recipe::Output;
use reeldeck_common::source::SourceStamp;
use reeldeck_model::clips::{Computed, Outputs};
use reeldeck_model::network::Network;
use reeldeck_model::{ModelError, device};
use reeldeck_video::frames::Extraction;
use reeldeck_video::sampling::ClipPlan;

use crate::jobs::Job;
use crate::memory;
use crate::process;
use crate::report::Reporter;

/// Videos that may wait here. Each is a megabyte on the device; more would let a fast model run away from a slow disk.
const WAITING: usize = 1;

/// What a video cost so far.
#[derive(Default)]
pub struct Costs {
    /// The model waited for frames.
    pub wait: Duration,
    /// In the model; on a GPU the time it took to give it the work.
    pub model: Duration,
    /// CPU time of the decode thread, nanoseconds.
    pub decode_ns: u64,
}

/// A video that the model has done with.
pub struct Extracted {
    /// The video.
    pub job: Job,
    /// The file as it was before; `None` when it could not be looked at.
    pub source: Option<SourceStamp>,
    /// What came of it.
    pub result: Result<(ClipPlan, Computed, Extraction, Costs), Failure>,
}

/// The thread, and the way to it.
pub struct Writer {
    to: SyncSender<Extracted>,
    thread: JoinHandle<Result<()>>,
}

impl Writer {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no room for a thread.
    pub fn start(init: &Init, network: &Network, reporter: Reporter) -> Result<Self> {
        let (to, waiting) = mpsc::sync_channel(WAITING);
        let (classes, features) = (network.classes, network.features);
        let desk = Desk { init: init.clone(), classes, features, reporter };
        let thread = thread::Builder::new().name("write".into()).spawn(move || desk.run(waiting));
        Ok(Self { to, thread: thread.context("failed to start the thread that writes")? })
    }

    /// Hands over a video, and waits while others wait. False when the engine is gone.
    pub fn send(&self, extracted: Extracted) -> bool {
        self.to.send(extracted).is_ok()
    }

    /// Waits until all is written and told.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn end(self) -> Result<()> {
        drop(self.to);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the thread that writes panicked; this is a fault of reeldeck")))
    }
}

/// What the thread has.
struct Desk {
    init: Init,
    classes: usize,
    features: usize,
    reporter: Reporter,
}

impl Desk {
    fn run(&self, waiting: Receiver<Extracted>) -> Result<()> {
        for Extracted { job, source, result } in waiting {
            let message = match result.and_then(|extracted| self.write(&job, extracted)) {
                Ok(report) => FromWorker::Done { job: job.id, report },
                Err(mut failure) => {
                    if failure.kind == ErrorKind::OutOfMemory {
                        device::give_back_memory();
                        failure.chain.extend(memory::hint(&self.init));
                    }
                    FromWorker::Failed { job: job.id, failure, source }
                }
            };
            self.reporter.send(&message)?;
        }
        Ok(())
    }

    fn write(&self, job: &Job, extracted: (ClipPlan, Computed, Extraction, Costs)) -> Result<Report, Failure> {
        let (plan, computed, facts, mut costs) = extracted;
        let model_failed = |error: ModelError| Failure::from_error(error.kind(), &error);
        let started = Instant::now();
        let outputs = computed.fetch().map_err(model_failed)?;
        costs.model += started.elapsed();
        let feature = self.feature(job, &plan, &outputs, facts).map_err(model_failed)?;
        let started = Instant::now();
        let whole = process::writing();
        feature.write(&job.feature, &self.init.owner).map_err(|error| {
            let mut failure = Failure::from_error(ErrorKind::of_write(&error), &error);
            failure.chain.insert(0, format!("failed to write {}", job.feature.display()));
            failure
        })?;
        drop(whole);
        let ms = |duration: Duration| duration.as_millis() as u64;
        Ok(Report {
            frames: facts.counts,
            expected_from: Some(facts.expected_from),
            clips: plan.clip_of.len(),
            clips_computed: outputs.clips,
            plain_pass: facts.plain_pass,
            nvdec: facts.nvdec,
            decode_ms: costs.decode_ns / 1_000_000,
            model_ms: ms(costs.model),
            wait_ms: ms(costs.wait),
            write_ms: ms(started.elapsed()),
        })
    }

    fn feature(&self, job: &Job, plan: &ClipPlan, outputs: &Outputs, facts: Extraction) -> Result<Feature, ModelError> {
        let expand = |rows: &[f32], columns: usize| {
            let row = |clip: &usize| rows.get(clip * columns..(clip + 1) * columns);
            let data = plan.clip_of.iter().map(row).collect::<Option<Vec<_>>>()?.concat();
            Some(Matrix { shape: [plan.clip_of.len(), columns], data })
        };
        let lost = || ModelError::Internal("the model gave fewer rows than there are clips".into());
        let mut tensors = BTreeMap::new();
        for output in &self.init.recipe.outputs {
            let matrix = match output {
                Output::Logits => expand(&outputs.logits, self.classes),
                Output::Pooled => expand(&outputs.pooled, self.features),
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
            source: facts.stamp,
            frames: facts.counts,
            fps: facts.fps,
            size: facts.size,
            precision: self.init.recipe.precision,
            device: if self.init.device == "cpu" { "cpu".into() } else { "cuda".into() },
            libtorch: LIBTORCH.into(),
            nvdec: facts.nvdec,
            expected_from: Some(facts.expected_from),
        };
        Ok(Feature { provenance, tensors })
    }
}
