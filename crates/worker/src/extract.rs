//! The model's side: takes frames as they come and runs the network. What comes of it is fetched and written by another thread
//! (`write`), so that the device goes on with the next video meanwhile.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Result;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::{CheckpointSource, FromWorker, Init, JobId};
use reeldeck_common::source::SourceStamp;
use reeldeck_model::clips::{ClipRunner, Computed};
use reeldeck_model::fast::FastModel;
use reeldeck_model::network::Network;
use reeldeck_model::{ModelError, checkpoint, device, seeded};
use reeldeck_video::frames::Extraction;
use reeldeck_video::sampling::ClipPlan;

use crate::decode::Decoded;
use crate::jobs::{Job, Queue};
use crate::report::Reporter;
use crate::write::{Costs, Extracted, Writer};

/// How long to wait for a frame before looking whether the decode thread still gets anywhere.
const ALIVE_EVERY: Duration = Duration::from_secs(2);

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// A loaded model and all it needs to turn videos into features.
pub struct Extractor {
    init: Init,
    network: Network,
    model: FastModel,
    reporter: Reporter,
}

/// Clips of the feature that are settled when the first `distinct` distinct ones are.
fn settled(plan: &ClipPlan, distinct: usize) -> usize {
    plan.clip_of.iter().filter(|clip| **clip < distinct).count()
}

impl Extractor {
    /// Loads the weights onto the device.
    ///
    /// # Errors
    /// Unusable devices and checkpoints.
    pub fn new(init: &Init, reporter: Reporter) -> Result<Self, ModelError> {
        if init.device != "cpu" {
            let folder = std::env::var_os("REELDECK_TORCH_LIB").map(PathBuf::from);
            let missing = || ModelError::Device("no CUDA build of libtorch was named; set `torch` under [cuda]".into());
            device::load_cuda(&folder.ok_or_else(missing)?)?;
        }
        let device = device::find(&init.device)?;
        let network = Network::new(&init.recipe.model);
        let weights = match &init.checkpoint {
            CheckpointSource::Seeded => seeded::weights(&network),
            CheckpointSource::Url(url) => {
                let reason = "this is an address; the engine gets the file and names it to its workers".into();
                return Err(ModelError::Misfit { path: url.into(), reason });
            }
            CheckpointSource::File(path) => {
                checkpoint::load(path, &init.checkpoint_id.digest, &network, &init.recipe.transform)?
            }
        };
        let (transform, length) = (&init.recipe.transform, init.recipe.sampling.length);
        let model = FastModel::new(&network, &weights, transform, length, init.recipe.precision, device)?;
        Ok(Self { init: init.clone(), network, model, reporter })
    }

    /// Works until there are no more jobs.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn run(&self, jobs: Queue) -> Result<()> {
        let writer = Writer::start(&self.init, &self.network, self.reporter.clone())?;
        for job in jobs {
            self.tell(job.id, 0);
            let source = SourceStamp::read(&job.path).ok();
            if !writer.send(Extracted { result: self.extract(&job), source, job }) {
                break;
            }
        }
        writer.end()
    }

    fn extract(&self, job: &Job) -> Result<(ClipPlan, Computed, Extraction, Costs), Failure> {
        let mut costs = Costs::default();
        let followed = self.follow(job, &mut costs)?;
        let (plan, computed, facts) = followed.map_err(|error| Failure::from_error(error.kind(), &error))?;
        Ok((plan, computed, facts, costs))
    }

    /// Follows the decode thread and runs clips as their frames come. The outer error is the video's, the inner the model's.
    fn follow(
        &self,
        job: &Job,
        costs: &mut Costs,
    ) -> Result<Result<(ClipPlan, Computed, Extraction), ModelError>, Failure> {
        let silent = || Failure::new(ErrorKind::Internal, "the decode thread ended without a word");
        let mut work: Option<(ClipPlan, ClipRunner<'_>)> = None;
        let mut told = Instant::now();
        let mut seen_alive = 0;
        loop {
            let waited = Instant::now();
            let decoded = match job.decoded.recv_timeout(ALIVE_EVERY) {
                Ok(decoded) => decoded,
                Err(RecvTimeoutError::Timeout) => {
                    // No frame for a while, but packets: the engine must not take us for dead. No packets: it must.
                    let now = job.pulse.alive.load(Ordering::Relaxed);
                    if std::mem::replace(&mut seen_alive, now) != now {
                        self.tell(job.id, work.as_ref().map_or(0, |(plan, runner)| settled(plan, runner.done())));
                    }
                    costs.wait += waited.elapsed();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(silent()),
            };
            costs.wait += waited.elapsed();
            let started = Instant::now();
            match decoded {
                Decoded::Plan(plan) => {
                    let runner = ClipRunner::new(&self.model, plan.clips.clone(), job.batch);
                    work = Some((plan, runner));
                }
                Decoded::Frame(index, pixels) => {
                    let Some((_, runner)) = &mut work else { return Err(silent()) };
                    if let Err(error) = runner.push(index, &pixels) {
                        return Ok(Err(error));
                    }
                }
                Decoded::Frames(indices, stored) => {
                    let Some((_, runner)) = &mut work else { return Err(silent()) };
                    if let Err(error) = runner.push_there(&indices, &stored.pixels) {
                        return Ok(Err(error));
                    }
                }
                Decoded::End { result, cpu_ns } => {
                    costs.decode_ns = cpu_ns;
                    let facts = result?;
                    let (plan, runner) = work.ok_or_else(silent)?;
                    let computed = runner.end();
                    costs.model += started.elapsed();
                    return Ok(computed.map(|computed| (plan, computed, facts)));
                }
            }
            costs.model += started.elapsed();
            if let Some((plan, runner)) = work.as_ref().filter(|_| told.elapsed() >= PROGRESS_EVERY) {
                told = Instant::now();
                self.tell(job.id, settled(plan, runner.done()));
            }
        }
    }

    fn tell(&self, job: JobId, clips: usize) {
        // If the engine is gone, the next message that matters will notice.
        let _ = self.reporter.send(&FromWorker::Progress { job, clips });
    }
}
