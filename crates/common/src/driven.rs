//! A worker that is driven by hand, one video at a time, by somebody who waits for it: measurements and benchmarks.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::atomic::Owner;
use crate::feature::CheckpointId;
use crate::limits::Limits;
use crate::protocol::{CheckpointSource, FromWorker, Init, JobId, Report, ToWorker, VERSION, line};
use crate::recipe::Recipe;
use crate::video::VideoName;

impl Init {
    /// One video after the other on a CPU, within the usual bounds.
    pub fn on_cpu(recipe: Recipe, checkpoint: CheckpointSource, checkpoint_id: CheckpointId, threads: usize) -> Self {
        Self {
            version: VERSION,
            set: recipe.set_name(&checkpoint_id.digest),
            recipe,
            checkpoint,
            checkpoint_id,
            device: "cpu".into(),
            threads,
            decoders: 1,
            prefetch_frames: 64,
            nvdec: None,
            limits: Limits::default(),
            owner: Owner::this_process(),
        }
    }
}

/// A worker's process. Dropping it ends the process.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    jobs: JobId,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    /// Starts it by this command; it begins to load its model.
    ///
    /// # Errors
    /// When it cannot be started or does not listen.
    pub fn start(command: &mut Command, init: Init) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no standard input or output"));
        };
        let mut worker = Self { child, stdin, lines: BufReader::new(stdout).lines(), jobs: 0 };
        worker.say(&ToWorker::Init(Box::new(init)))?;
        Ok(worker)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn say(&mut self, message: &ToWorker) -> io::Result<()> {
        self.stdin.write_all(line(message)?.as_bytes())
    }

    /// The next message that is none of progress.
    fn hear(&mut self) -> io::Result<FromWorker> {
        loop {
            let line = self.lines.next().ok_or_else(|| io::Error::other("it ended without a word"))??;
            match serde_json::from_str(&line)? {
                FromWorker::Progress { .. } => {}
                FromWorker::Fatal { failure } | FromWorker::Failed { failure, .. } => {
                    return Err(io::Error::other(failure.line()));
                }
                message => return Ok(message),
            }
        }
    }

    /// Waits until its model is loaded.
    ///
    /// # Errors
    /// When it cannot work, or ends.
    pub fn ready(&mut self) -> io::Result<()> {
        match self.hear()? {
            FromWorker::Ready { .. } => Ok(()),
            other => Err(io::Error::other(format!("it began with {other:?}"))),
        }
    }

    /// Hands it the video at `path`, for [`Worker::finish`] to wait for. `batch` clips a forward pass.
    ///
    /// # Errors
    /// When it has left.
    pub fn begin(&mut self, path: &Path, feature: &Path, batch: usize) -> io::Result<()> {
        self.jobs += 1;
        let video = VideoName::new("Class/v.mp4").map_err(io::Error::other)?;
        self.say(&ToWorker::Extract { job: self.jobs, video, path: path.into(), feature: feature.into(), batch })
    }

    /// Waits for the feature of the video that it was handed.
    ///
    /// # Errors
    /// When no feature comes of it.
    pub fn finish(&mut self) -> io::Result<Report> {
        loop {
            match self.hear()? {
                FromWorker::Done { job, report } if job == self.jobs => return Ok(report),
                // Nobody has waited for its model.
                FromWorker::Ready { .. } => {}
                other => return Err(io::Error::other(format!("it said what was not asked: {other:?}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::error::{ErrorKind, Failure};

    /// A worker that says these lines, each but the first after it was told something.
    fn saying(said: &[&[FromWorker]]) -> Worker {
        let quoted = |message: &FromWorker| format!("echo '{}'\n", line(message).unwrap().trim_end());
        let steps = said.iter().map(|step| format!("read told\n{}", step.iter().map(quoted).collect::<String>()));
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let init = Init::on_cpu(recipe, CheckpointSource::Seeded, CheckpointId::seeded(), 1);
        Worker::start(Command::new("sh").arg("-c").arg(steps.collect::<String>()), init).unwrap()
    }

    #[test]
    fn it_is_driven_from_video_to_video_and_its_failures_are_told() {
        let ready = FromWorker::Ready { version: VERSION, device: "sh".into(), load_ms: 0 };
        let progress = FromWorker::Progress { job: 1, clips: 1 };
        let done = |job, clips| FromWorker::Done { job, report: Report { clips, ..Report::default() } };
        let failure = Failure::new(ErrorKind::Corrupt, "no frames");
        let failed = FromWorker::Failed { job: 2, failure: failure.clone(), source: None };
        let begin = |worker: &mut Worker| worker.begin(Path::new("v.mp4"), Path::new("v.safetensors"), 2);

        let mut worker = saying(&[slice::from_ref(&ready), &[progress, done(1, 7)], &[failed], &[done(9, 1)], &[]]);
        worker.ready().unwrap();
        begin(&mut worker).unwrap();
        assert_eq!(worker.finish().unwrap().clips, 7);
        begin(&mut worker).unwrap();
        assert_eq!(worker.finish().unwrap_err().to_string(), failure.line());
        begin(&mut worker).unwrap();
        assert!(worker.finish().unwrap_err().to_string().contains("not asked"), "that is another video's");
        begin(&mut worker).unwrap();
        assert!(worker.finish().unwrap_err().to_string().contains("without a word"));

        // Who is not interested in when the model is loaded need not wait for it.
        let mut worker = saying(&[&[ready], &[done(1, 3)]]);
        begin(&mut worker).unwrap();
        assert_eq!(worker.finish().unwrap().clips, 3);
        let mut worker = saying(&[&[FromWorker::Fatal { failure: failure.clone() }]]);
        assert_eq!(worker.ready().unwrap_err().to_string(), failure.line());
    }
}
