//! The messages between the engine and a worker: JSON lines on the worker's standard input and output.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::atomic::Owner;
use crate::error::Failure;
use crate::feature::{CheckpointId, ExpectedFrom, FrameCounts};
use crate::limits::Limits;
use crate::recipe::Recipe;
use crate::source::SourceStamp;
use crate::video::VideoName;

/// The version of the protocol. It changes with every incompatible change of a message.
pub const VERSION: u32 = 9;

/// The longest line that workers and probes send or accept, in bytes without the line break.
pub const MAX_LINE: usize = 1 << 20;

/// The number of an attempt, unique within a run.
pub type JobId = u64;

/// A message from the engine to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToWorker {
    /// The first message, sent once.
    Init(Box<Init>),
    /// Extract a video. Several videos may be in flight, and they may finish in any order.
    Extract {
        /// The attempt.
        job: JobId,
        /// The video's name.
        video: VideoName,
        /// The video file.
        path: PathBuf,
        /// The feature file to write. The worker creates its class folder, but no other folder.
        feature: PathBuf,
        /// Clips per forward pass. The engine lowers it after the device has run out of memory.
        batch: usize,
    },
    /// Finish the videos in flight and exit. At the end of its input a worker exits at once instead.
    Finish,
}

/// The configuration of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// [`VERSION`] of the engine.
    pub version: u32,
    /// The recipe.
    pub recipe: Recipe,
    /// The feature set's name.
    pub set: String,
    /// Where the weights are.
    pub checkpoint: CheckpointSource,
    /// The identity of the weights, which the worker checks.
    pub checkpoint_id: CheckpointId,
    /// `cpu`, or `cuda:N`.
    pub device: String,
    /// Threads of the model on a CPU; 0 means all cores.
    pub threads: usize,
    /// Number of videos that are decoded at the same time.
    pub decoders: usize,
    /// Number of decoded frames that may wait for the model, for each video in flight.
    pub prefetch_frames: usize,
    /// The file that keeps the faster algorithm of each convolution on a CPU; `None` for the direct one everywhere.
    pub algorithms: Option<PathBuf>,
    /// How to use the GPU's decoder; `None` if the CPU decodes all videos.
    pub nvdec: Option<Nvdec>,
    /// Whether a GPU captures its usual passes as CUDA graphs.
    pub graphs: bool,
    /// Limits on each video.
    pub limits: Limits,
    /// The owner of temporary files.
    pub owner: Owner,
}

impl Init {
    /// A worker on a CPU that extracts one video at a time within the default limits.
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
            algorithms: None,
            nvdec: None,
            graphs: false,
            limits: Limits::default(),
            owner: Owner::this_process(),
        }
    }
}

/// How to use a GPU's decoder (NVDEC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nvdec {
    /// The GPU's CUDA index.
    pub gpu: usize,
    /// How many of the [`Init::decoders`] use NVDEC. The others use the CPU.
    pub streams: usize,
    /// `streams` is a default: the worker uses fewer if the card has few decoders.
    pub is_default: bool,
}

/// Where the weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointSource {
    /// Synthetic weights: pseudo-random numbers from a fixed seed.
    Seeded,
    /// A `.pth` file.
    File(PathBuf),
    /// The URL of a `.pth` file. The engine downloads it and gives workers the path.
    Url(String),
}

/// What the driver reports about a worker's GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundGpu {
    /// Its address on the PCI bus, such as `0000:3b:00.0`; that of the whole GPU for a MIG instance. CUDA's numbers are not those of
    /// other programs.
    pub pci: Option<String>,
    /// Its identifier, or that of the MIG instance, such as `01234567-89ab-cdef-0123-456789abcdef`.
    pub uuid: Option<String>,
    /// Its free memory in bytes before the model is loaded.
    pub free: Option<u64>,
}

/// A message from a worker to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromWorker {
    /// The model is loaded.
    Ready {
        /// [`VERSION`] of the worker.
        version: u32,
        /// The device in words, such as `CPU, 2 threads`.
        device: String,
        /// Milliseconds from the start of the process to this message.
        load_ms: u64,
    },
    /// What the driver reports about the worker's GPU, before [`FromWorker::Ready`]. Not sent if it reports nothing.
    Gpu(FoundGpu),
    /// Something that users should know about the worker, which works nevertheless.
    Warning {
        /// The cause and the next step.
        text: String,
    },
    /// The worker cannot extract any video, and exits.
    Fatal {
        /// The reason.
        failure: Failure,
    },
    /// The progress of a video, sent now and then.
    Progress {
        /// The attempt.
        job: JobId,
        /// Clips of the feature that are computed.
        clips: usize,
        /// Clips of the feature; `None` until the video's frames are counted.
        of: Option<usize>,
        /// Packets that the decode thread has read. They show progress while frames are counted.
        frames: u64,
    },
    /// The feature file is complete on disk.
    Done {
        /// The attempt.
        job: JobId,
        /// Counts and timings.
        report: Report,
    },
    /// The attempt failed.
    Failed {
        /// The attempt.
        job: JobId,
        /// The reason.
        failure: Failure,
        /// The video file at the start of the attempt; `None` when its metadata could not be read.
        source: Option<SourceStamp>,
    },
}

/// Counts and timings of a successful attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Frames of the video.
    pub frames: FrameCounts,
    /// Where the number of expected frames comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_from: Option<ExpectedFrom>,
    /// Clips of the feature, including duplicates.
    pub clips: usize,
    /// Clips that the model computed, without duplicates.
    pub clips_computed: usize,
    /// Whether the slower plain pass decoded the video.
    pub plain_pass: bool,
    /// Whether NVDEC decoded the video.
    pub nvdec: bool,
    /// The algorithms of the model's convolutions on a CPU, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convolutions: Option<Box<str>>,
    /// CPU time of decoding and conversion, in milliseconds.
    pub decode_ms: u64,
    /// Time in the model, in milliseconds.
    pub model_ms: u64,
    /// Time that the model waited for frames, in milliseconds.
    pub wait_ms: u64,
    /// Time to write the feature file, in milliseconds.
    pub write_ms: u64,
}

/// A message as one line of JSON, including the line break.
///
/// # Errors
/// When the message has no JSON form: a path in it is not UTF-8.
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
    fn a_message_with_line_breaks_is_one_line() {
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
        fn arbitrary_lines_do_not_panic(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_str::<FromWorker>(&text);
            let _ = serde_json::from_slice::<ToWorker>(&bytes);
        }
    }
}
