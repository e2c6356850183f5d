//! Runs the model on the frames of each video. Another thread ([`crate::write`]) fetches the outputs and writes them, so that
//! the device continues meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Result;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::{CheckpointSource, FromWorker, Init};
use reeldeck_common::source::SourceStamp;
use reeldeck_model::clips::ClipRunner;
use reeldeck_model::graphs::with_graphs;
use reeldeck_model::{Backbone, Choice, ModelError, device, driver};
use reeldeck_video::frames::Extraction;
use reeldeck_video::sampling::ClipPlan;
use tracing::debug;

use crate::decode::Decoded;
use crate::jobs::{Job, JobQueue, Target};
use crate::report::Reporter;
use crate::write::{Extracted, Timings, Writer};

/// How long to wait for a frame before checking whether the decode thread makes progress.
const DECODE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How often progress is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// A loaded model that turns videos into features.
pub(crate) struct Extractor {
    init: Init,
    model: Box<dyn Backbone>,
    /// The number of the GPU's video decoders, if it is known.
    video_decoders: Option<usize>,
    reporter: Reporter,
}

fn model_failure(error: ModelError) -> Failure {
    Failure::from_error(error.kind(), &error)
}

impl Extractor {
    /// Loads the weights onto the device.
    ///
    /// # Errors
    /// When the device or the checkpoint is unusable.
    pub(crate) fn new(init: &Init, reporter: Reporter) -> Result<Self, ModelError> {
        if init.device != "cpu" {
            let folder = std::env::var_os("REELDECK_TORCH_LIB").map(PathBuf::from);
            let missing = || ModelError::Device("no CUDA build of libtorch was named; set `torch` under [cuda]".into());
            device::load_cuda(&folder.ok_or_else(missing)?)?;
        }
        let device = device::find(&init.device)?;
        device::make_current(device)?;
        let gpu = driver::ask(device);
        if let Some(gpu) = &gpu {
            gpu.check(init.recipe.precision)?;
            let _ = reporter.send(&FromWorker::Gpu(gpu.found.clone()));
        }
        let checkpoint = match &init.checkpoint {
            CheckpointSource::Seeded => None,
            CheckpointSource::Url(url) => {
                let reason = "this is an address; the engine gets the file and names it to its workers".into();
                return Err(ModelError::Misfit { path: url.into(), reason });
            }
            CheckpointSource::File(path) => Some((path.as_path(), init.checkpoint_id.digest.as_str())),
        };
        let choice = init.algorithms.as_deref().map_or(Choice::Direct, Choice::Fastest);
        let model = reeldeck_model::load(&init.recipe, checkpoint, device, choice)?;
        let model = if init.graphs { with_graphs(model, init.recipe.sampling.length) } else { model };
        let video_decoders = gpu.map(|gpu| gpu.video_decoders());
        Ok(Self { init: init.clone(), model, video_decoders, reporter })
    }

    /// Extracts all jobs with this writer.
    ///
    /// # Errors
    /// When the engine has ended.
    pub(crate) fn run(&self, jobs: JobQueue, writer: Writer) -> Result<()> {
        for job in jobs {
            debug!(job = job.id, video = %job.video, "started");
            self.report_progress(&job, None);
            let source = SourceStamp::read(&job.path).ok();
            let result = self.extract(&job, &writer);
            if writer.end(Extracted { result, source, job }).is_err() {
                break;
            }
        }
        writer.finish()
    }

    /// Starts the thread that writes features.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start_writer(&self) -> Result<Writer, Failure> {
        let convolutions = self.model.convolutions().map(str::to_owned);
        Writer::start(&self.init, self.model.input().device(), convolutions, self.reporter.clone())
    }

    /// The device and the memory for the decode threads.
    pub(crate) fn target(&self) -> Target {
        let input = self.model.input();
        Target { device: input.device(), slabs: input.slabs(), video_decoders: self.video_decoders }
    }

    /// Receives the frames from the decode thread, runs clips as their frames arrive, and hands their rows to the writer.
    fn extract(&self, job: &Job, writer: &Writer) -> Result<(Extraction, Timings), Failure> {
        let ended = || Failure::new(ErrorKind::Internal, "the decode thread ended without reporting a result");
        let in_vain = |_| Failure::new(ErrorKind::Internal, "the thread that writes has ended");
        let mut timings = Timings::default();
        let mut work: Option<(Arc<ClipPlan>, ClipRunner<'_>)> = None;
        let mut reported = Instant::now();
        let mut last_steps = 0;
        loop {
            let waited = Instant::now();
            let decoded = match job.decoded.recv_timeout(DECODE_CHECK_INTERVAL) {
                Ok(decoded) => decoded,
                Err(RecvTimeoutError::Timeout) => {
                    // A message is a sign of life for the engine. Send it only if the decode thread makes progress.
                    let steps = job.progress.steps.load(Ordering::Relaxed);
                    if std::mem::replace(&mut last_steps, steps) != steps {
                        self.report_progress(job, work.as_ref());
                    }
                    timings.wait += waited.elapsed();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            };
            timings.wait += waited.elapsed();
            let started = Instant::now();
            match decoded {
                Decoded::Plan(plan) => {
                    let plan = Arc::new(plan);
                    writer.begin(job, Arc::clone(&plan)).map_err(in_vain)?;
                    let runner = ClipRunner::new(&*self.model, ClipPlan::clone(&plan).into_clips(), job.batch);
                    work = Some((plan, runner));
                    self.report_progress(job, work.as_ref());
                }
                Decoded::Frame(index, pixels) => {
                    let Some((_, runner)) = &mut work else { return Err(ended()) };
                    let before = runner.done();
                    if runner.push_pixels(index, pixels).map_err(model_failure)? > before {
                        writer.rows(runner.take()).map_err(in_vain)?;
                        if writer.has_failed(job) {
                            return Err(Failure::new(ErrorKind::Internal, "the rows cannot be written"));
                        }
                    }
                }
                Decoded::End { result, cpu_ns } => {
                    timings.decode_ns = cpu_ns;
                    let extraction = result?;
                    let (_, runner) = work.ok_or_else(ended)?;
                    writer.rows(runner.finish().map_err(model_failure)?).map_err(in_vain)?;
                    timings.model += started.elapsed();
                    return Ok((extraction, timings));
                }
            }
            timings.model += started.elapsed();
            if reported.elapsed() >= PROGRESS_INTERVAL {
                reported = Instant::now();
                self.report_progress(job, work.as_ref());
            }
        }
    }

    fn report_progress(&self, job: &Job, work: Option<&(Arc<ClipPlan>, ClipRunner<'_>)>) {
        let clips = work.map_or(0, |(plan, runner)| plan.rows_of(runner.done()));
        let of = work.map(|(plan, _)| plan.rows());
        let frames = job.progress.steps.load(Ordering::Relaxed);
        // If the engine has ended, sending the result will fail too.
        let _ = self.reporter.send(&FromWorker::Progress { job: job.id, clips, of, frames });
    }
}
