//! Writes feature files and reports results to the engine. A thread fetches rows from the device and collects them; others complete
//! the files. Only these threads wait for the device and the disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use reeldeck_common::atomic::Owner;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::{FeatureWriter, Provenance};
use reeldeck_common::protocol::{FromWorker, Init, JobId, Report};
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::versions::LIBTORCH;
use reeldeck_common::video::VideoName;
use reeldeck_model::clips::Computed;
use reeldeck_model::tch::Device;
use reeldeck_model::{ModelError, device};
use reeldeck_video::frames::Extraction;
use reeldeck_video::sampling::ClipPlan;

use crate::jobs::Job;
use crate::memory;
use crate::process;
use crate::report::Reporter;
use crate::threads;

/// How many parts may wait to be fetched. Each has the rows of a batch.
const MAX_WAITING: usize = 8;

/// How many features of a GPU are completed at a time. A network file system takes tens of milliseconds for each, in which a GPU
/// extracts the next video. More features wait, and then the model, if the disk stays slower than the model.
const WRITERS: usize = 4;

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

/// The feature of a video, in parts: a plan, its rows, and the end. A second plan replaces the first one with all its rows.
enum Part {
    /// The job, its feature file and the clips of the video.
    Plan { job: JobId, feature: PathBuf, video: VideoName, plan: Arc<ClipPlan> },
    /// The outputs of the next distinct clips.
    Rows(Computed),
    /// The end.
    End(Box<Extracted>),
}

/// A video that the model has processed.
pub(crate) struct Extracted {
    /// The job.
    pub(crate) job: Job,
    /// The video file before the extraction; `None` when its metadata could not be read.
    pub(crate) source: Option<SourceStamp>,
    /// The result.
    pub(crate) result: Result<(Extraction, Timings), Failure>,
}

/// The threads that write features.
pub(crate) struct Writer {
    parts: SyncSender<Part>,
    /// The last job whose rows could not be written; [`NO_JOB`] if there was none.
    failed: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<()>>>,
}

/// The thread has ended because the engine has.
pub(crate) struct WriterEnded;

const NO_JOB: JobId = JobId::MAX;

impl Writer {
    /// Starts the threads.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn start(
        init: &Init,
        device: Device,
        convolutions: Option<String>,
        reporter: Reporter,
    ) -> Result<Self, Failure> {
        let failed = Arc::new(AtomicU64::new(NO_JOB));
        // A CPU takes seconds for a video.
        let writers = if device == Device::Cpu { 1 } else { WRITERS };
        let (complete, collected) = mpsc::sync_channel(0);
        let finisher = Arc::new(Finisher { init: init.clone(), convolutions, reporter });
        let collected = Arc::new(Mutex::new(collected));
        let mut threads = vec![];
        for _ in 0..writers {
            let (finisher, collected) = (Arc::clone(&finisher), Arc::clone(&collected));
            threads.push(threads::spawn("write", move || finisher.run(&collected))?);
        }
        let (parts, waiting) = mpsc::sync_channel(MAX_WAITING);
        let collector = Collector {
            recipe: init.recipe.clone(),
            owner: init.owner.clone(),
            failed: Arc::clone(&failed),
            complete,
            current: None,
        };
        threads.push(threads::spawn("fetch", move || {
            device::make_current(device)?;
            collector.run(waiting)
        })?);
        Ok(Self { parts, failed, threads })
    }

    /// Begins the feature of a video, or begins it again; blocks while other parts wait.
    pub(crate) fn begin(&self, job: &Job, plan: Arc<ClipPlan>) -> Result<(), WriterEnded> {
        self.send(Part::Plan { job: job.id, feature: job.feature.clone(), video: job.video.clone(), plan })
    }

    /// Sends the outputs of the next distinct clips.
    pub(crate) fn rows(&self, computed: Computed) -> Result<(), WriterEnded> {
        self.send(Part::Rows(computed))
    }

    /// Ends the feature of a video.
    pub(crate) fn end(&self, extracted: Extracted) -> Result<(), WriterEnded> {
        self.send(Part::End(Box::new(extracted)))
    }

    /// Whether rows of this job could not be written, so that the rest of them is dropped.
    pub(crate) fn has_failed(&self, job: &Job) -> bool {
        self.failed.load(Ordering::Relaxed) == job.id
    }

    fn send(&self, part: Part) -> Result<(), WriterEnded> {
        self.parts.send(part).map_err(|_| WriterEnded)
    }

    /// Waits until all videos are written and reported.
    ///
    /// # Errors
    /// When the engine has ended.
    pub(crate) fn finish(self) -> Result<()> {
        drop(self.parts);
        let panicked = |_| Err(anyhow!("a thread that writes panicked; this is a fault of reeldeck"));
        self.threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
    }
}

/// The thread that fetches rows.
struct Collector {
    recipe: Recipe,
    owner: Owner,
    failed: Arc<AtomicU64>,
    /// Receives each feature that has all its rows.
    complete: SyncSender<(Option<Current>, Box<Extracted>)>,
    current: Option<Current>,
}

/// What the threads share that complete features.
struct Finisher {
    init: Init,
    /// The algorithms of the model's convolutions.
    convolutions: Option<String>,
    reporter: Reporter,
}

/// The feature that is being written.
struct Current {
    job: JobId,
    feature: PathBuf,
    plan: Arc<ClipPlan>,
    file: FeatureWriter,
    /// Distinct clips whose rows were added.
    done: usize,
    /// Time that the device and the disk took.
    fetch: Duration,
    write: Duration,
    failure: Option<Failure>,
}

fn model_failed(error: ModelError) -> Failure {
    Failure::from_error(error.kind(), &error)
}

fn write_failed(feature: &Path, error: &io::Error) -> Failure {
    let mut failure = Failure::from_error(ErrorKind::of_write(error), error);
    failure.chain.insert(0, format!("failed to write {}", feature.display()));
    failure
}

impl Current {
    /// Adds the rows of the next distinct clips, as often as the feature has them.
    fn add(&mut self, computed: Computed, recipe: &Recipe) -> Result<(), Failure> {
        let started = Instant::now();
        let outputs = computed.fetch().map_err(model_failed)?;
        self.fetch += started.elapsed();
        let started = Instant::now();
        for output in &recipe.outputs {
            let columns = recipe.columns(*output);
            let numbers = match output {
                Output::Logits => &outputs.logits,
                Output::Pooled => &outputs.pooled,
            };
            for (clip, row) in (self.done..).zip(numbers.chunks_exact(columns)) {
                for _ in self.plan.rows_of(clip)..self.plan.rows_of(clip + 1) {
                    let pushed = self.file.push(*output, columns, row);
                    pushed.map_err(|error| write_failed(&self.feature, &error))?;
                }
            }
        }
        self.done += outputs.clips;
        self.write += started.elapsed();
        Ok(())
    }
}

impl Collector {
    fn run(mut self, waiting: Receiver<Part>) -> Result<()> {
        for part in waiting {
            match part {
                Part::Plan { job, feature, video, plan } => {
                    let file = FeatureWriter::new(&feature, &video, &self.owner);
                    let (fetch, write) =
                        self.current.take().map_or_else(Default::default, |old| (old.fetch, old.write));
                    self.current = Some(Current { job, feature, plan, file, done: 0, fetch, write, failure: None });
                }
                Part::Rows(computed) => {
                    let Some(current) = self.current.as_mut().filter(|current| current.failure.is_none()) else {
                        continue;
                    };
                    current.failure = current.add(computed, &self.recipe).err();
                    if current.failure.is_some() {
                        self.failed.store(current.job, Ordering::Relaxed);
                    }
                }
                // If all threads that complete features have ended, one of them says why.
                Part::End(extracted) => {
                    if self.complete.send((self.current.take(), extracted)).is_err() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Finisher {
    fn run(&self, collected: &Mutex<Receiver<(Option<Current>, Box<Extracted>)>>) -> Result<()> {
        loop {
            let next = collected.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((current, extracted)) = next else { return Ok(()) };
            self.reporter.send(&self.end(current, *extracted))?;
        }
    }

    fn end(&self, current: Option<Current>, Extracted { job, source, result }: Extracted) -> FromWorker {
        let written = match current {
            // What kept the rows from being written is the cause, whatever came of it in the model.
            Some(Current { failure: Some(failure), .. }) => Err(failure),
            current => result.and_then(|(extraction, timings)| {
                let lost = || Failure::new(ErrorKind::Internal, "the model gave rows of no video");
                self.write(&job, current.ok_or_else(lost)?, extraction, &timings)
            }),
        };
        match written {
            Ok(report) => FromWorker::Done { job: job.id, report },
            Err(mut failure) => {
                if failure.kind == ErrorKind::OutOfMemory {
                    device::release_memory();
                    failure.chain.extend(memory::hint(&self.init));
                }
                FromWorker::Failed { job: job.id, failure, source }
            }
        }
    }

    fn write(&self, job: &Job, current: Current, extraction: Extraction, timings: &Timings) -> Result<Report, Failure> {
        let Current { plan, file, done, fetch, write, feature, .. } = current;
        if done != plan.distinct() {
            let text = format!("the model gave {done} of {} rows", plan.distinct());
            return Err(Failure::new(ErrorKind::Internal, text));
        }
        let started = Instant::now();
        let guard = process::prevent_exit();
        file.finish(&self.provenance(job, extraction)).map_err(|error| write_failed(&feature, &error))?;
        drop(guard);
        let ms = |duration: Duration| duration.as_millis() as u64;
        Ok(Report {
            frames: extraction.counts,
            expected_from: Some(extraction.expected_from),
            clips: plan.rows(),
            clips_computed: done,
            plain_pass: extraction.plain_pass,
            nvdec: extraction.nvdec,
            convolutions: self.convolutions.as_deref().map(Into::into),
            decode_ms: timings.decode_ns / 1_000_000,
            model_ms: ms(timings.model + fetch),
            wait_ms: ms(timings.wait),
            write_ms: ms(write + started.elapsed()),
        })
    }

    fn provenance(&self, job: &Job, extraction: Extraction) -> Provenance {
        Provenance {
            format: Provenance::FORMAT,
            tool: concat!("reeldeck ", env!("CARGO_PKG_VERSION")).into(),
            set: self.init.set.clone(),
            recipe: self.init.recipe.clone(),
            checkpoint: self.init.checkpoint_id.clone(),
            video: job.video.clone(),
            source: extraction.stamp,
            frames: extraction.counts,
            resampled: extraction.resampled,
            fps: extraction.fps,
            size: extraction.size,
            precision: self.init.recipe.precision,
            device: if self.init.device == "cpu" { "cpu".into() } else { "cuda".into() },
            libtorch: LIBTORCH.into(),
            convolutions: self.convolutions.clone(),
            nvdec: extraction.nvdec,
            expected_from: Some(extraction.expected_from),
        }
    }
}
