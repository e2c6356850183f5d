//! What engine and worker say to each other: one JSON object a line, on the worker's standard input and output.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::atomic::Owner;
use crate::error::Failure;
use crate::feature::{CheckpointId, FrameCounts};
use crate::limits::Limits;
use crate::recipe::Recipe;
use crate::source::SourceStamp;
use crate::video::VideoName;

/// Raised whenever a message changes in a way that an older side would misread.
pub const VERSION: u32 = 4;

/// The longest line that workers and probes send or accept, in bytes without the line break.
pub const MAX_LINE: usize = 1 << 20;

/// A number the engine gives to each attempt; never used twice in a run.
pub type JobId = u64;

/// From the engine to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToWorker {
    /// The first message, once.
    Init(Box<Init>),
    /// Extract this video. Several may be in hand: those that are decoded first may be finished first.
    Extract {
        /// The attempt.
        job: JobId,
        /// The video's name.
        video: VideoName,
        /// The file to read.
        path: PathBuf,
        /// The feature file to write. The folder of its set exists; only the class folder may be missing.
        feature: PathBuf,
        /// Clips a forward pass; smaller after the device has run out of memory.
        batch: usize,
    },
    /// Finish what is in hand and leave. The end of the input means: leave now.
    Finish,
}

/// Everything a worker needs to know before the first video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// [`VERSION`] of the engine.
    pub version: u32,
    /// What to extract.
    pub recipe: Recipe,
    /// The feature set's name.
    pub set: String,
    /// The weights.
    pub checkpoint: CheckpointSource,
    /// What the weights must turn out to be.
    pub checkpoint_id: CheckpointId,
    /// `cpu`, or `cuda:N`.
    pub device: String,
    /// Threads of the model on a CPU; 0 lets the worker take all cores.
    pub threads: usize,
    /// Videos decoded at the same time.
    pub decoders: usize,
    /// Decoded frames that may wait for the model, for each video in hand.
    pub prefetch_frames: usize,
    /// How the device's own decoder is used; `None`: the CPU decodes all.
    pub nvdec: Option<Nvdec>,
    /// Bounds on each video.
    pub limits: Limits,
    /// Named in temporary files.
    pub owner: Owner,
}

impl Init {
    /// One video after the other on a CPU, within the default limits.
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

/// How a GPU's own decoder (NVDEC) is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nvdec {
    /// The GPU, as CUDA counts them.
    pub gpu: usize,
    /// How many of the videos that are decoded at the same time go to it; the cores decode the others.
    pub streams: usize,
    /// Its pictures stay on the GPU: colour and resize happen there.
    pub stay: bool,
}

/// Where the weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointSource {
    /// Deterministic, meaningless weights.
    Seeded,
    /// A `.pth` file.
    File(PathBuf),
    /// The address of one. An engine gets the file and tells its workers where it is.
    Url(String),
}

/// From a worker to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromWorker {
    /// The model is loaded.
    Ready {
        /// [`VERSION`] of the worker.
        version: u32,
        /// The device in words, such as `CPU, 2 threads`.
        device: String,
        /// Milliseconds from start to here.
        load_ms: u64,
    },
    /// The worker cannot work at all, and leaves.
    Fatal {
        /// Why.
        failure: Failure,
    },
    /// The worker is at this video, and so many clips of it are done. May be left out or merged.
    Progress {
        /// The attempt.
        job: JobId,
        /// Clips done.
        clips: usize,
    },
    /// The feature file is complete on disk.
    Done {
        /// The attempt.
        job: JobId,
        /// What was found and what it cost.
        report: Report,
    },
    /// No feature came of it.
    Failed {
        /// The attempt.
        job: JobId,
        /// Why.
        failure: Failure,
        /// The file as it was; `None` when it could not be looked at.
        source: Option<SourceStamp>,
    },
}

/// A finished attempt: what was found and what it cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Frames of the video.
    pub frames: FrameCounts,
    /// Clips, counting duplicates.
    pub clips: usize,
    /// Clips that went through the model; the others were duplicates.
    pub clips_computed: usize,
    /// True when the plain pass was needed.
    pub plain_pass: bool,
    /// True when a GPU's decoder decoded it.
    pub nvdec: bool,
    /// Milliseconds of CPU time spent on decoding and conversion.
    pub decode_ms: u64,
    /// Milliseconds in the model.
    pub model_ms: u64,
    /// Milliseconds that the model waited for frames.
    pub wait_ms: u64,
    /// Milliseconds to write the file.
    pub write_ms: u64,
}

/// One message as a line, newline included.
pub fn line<T: Serialize>(message: &T) -> serde_json::Result<String> {
    let mut text = serde_json::to_string(message)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        let message = ToWorker::Extract {
            job: 7,
            video: VideoName::new("A \"b\"/v's é.mp4").unwrap(),
            path: "/data\nset/A/v.mp4".into(),
            feature: "/out/f".into(),
            batch: 2,
        };
        let text = line(&message).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert_eq!(serde_json::from_str::<ToWorker>(&text).unwrap(), message);
        assert!(text.starts_with(r#"{"type":"extract","job":7,"#), "{text}");
    }

    proptest! {
        #[test]
        fn no_line_panics(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_str::<FromWorker>(&text);
            let _ = serde_json::from_slice::<ToWorker>(&bytes);
        }
    }
}
