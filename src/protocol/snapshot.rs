//! The state of a run, in a size that does not depend on the number of videos.

use serde::{Deserialize, Serialize};

pub use super::counts::Counts;
use super::row::{FindingCounts, StateCounts};
use super::summary::RunSummary;

/// The phase of the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The engine prepares its first run; `reason` names the current step. Only `stop` is accepted.
    #[default]
    Starting,
    /// No run was started yet; the engine waits for an order.
    Waiting,
    /// A run is active.
    Running,
    /// The workers are suspended by an order.
    Paused,
    /// The run waits until a folder can be used again; `held_by` names it.
    Held,
    /// The run finishes the videos in progress and ends.
    Finishing,
    /// The run drops the videos in progress and ends.
    Stopping,
    /// The run is over; the engine waits for orders.
    Idle,
}

/// A folder that a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Folder {
    /// The dataset folder.
    Dataset,
    /// The output folder.
    Output,
}

impl Folder {
    /// The name, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dataset => "dataset folder",
            Self::Output => "output folder",
        }
    }
}

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The revision of the table, which increases with every change of a video.
    pub revision: u64,
    /// The phase of the engine.
    pub phase: Phase,
    /// Why the run is held or ending without a request, what a starting engine is doing, or that a run waits for other engines.
    pub reason: Option<String>,
    /// The exit code of the run, once it and its export are over.
    pub ended: Option<u8>,
    /// An export is in progress.
    #[serde(default)]
    pub exporting: bool,
    /// Seconds since the run began.
    pub elapsed_s: f64,
    /// The videos by status.
    pub counts: Counts,
    /// The number of clips of each video; 0 if it depends on the video's length.
    pub clips_per_video: usize,
    /// Clips done in this run, including those of videos in progress.
    pub clips_done: usize,
    /// Clips per second over the last minute, without the work of earlier runs; none before the first measurement.
    pub clips_per_s: Option<f64>,
    /// Seconds until the end of the run, estimated from the sizes of the videos that are done and left.
    pub eta_s: Option<u64>,
    /// A guess of it from the videos in progress, before it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_guess_s: Option<u64>,
    /// The workers.
    pub devices: Vec<DeviceState>,
    /// The folder that a held run waits for.
    #[serde(default)]
    pub held_by: Option<Folder>,
    /// The rows by their state.
    #[serde(default)]
    pub states: StateCounts,
    /// The rows by their findings.
    #[serde(default)]
    pub findings: FindingCounts,
    /// What an engine without weights needs before it can extract, for people.
    #[serde(default)]
    pub needs: Option<String>,
    /// The last run of this output folder, while none is active.
    #[serde(default)]
    pub last_run: Option<Box<RunSummary>>,
    /// The progress of a check of all files, while there is one.
    #[serde(default)]
    pub scan: Option<ScanState>,
    /// How the dataset folder is watched, or why it is not, for people.
    #[serde(default)]
    pub watch: Option<String>,
    /// Measurements of the machine.
    #[serde(default)]
    pub machine: Machine,
    /// Where the time is spent; none before the first video of this run is done.
    #[serde(default)]
    pub stages: Option<Stages>,
    /// Videos per second over the last minutes.
    #[serde(default)]
    pub videos_per_s: Option<f64>,
}

impl Snapshot {
    /// The snapshot of an engine that prepares its first run; `step` is what it is doing, or what it waits for.
    pub fn starting(step: &str, held_by: Option<Folder>) -> Self {
        Self { phase: Phase::Starting, reason: Some(step.to_owned()), held_by, ..Self::default() }
    }

    /// Whether a run is in progress, be it paused or ending.
    pub fn is_active(&self) -> bool {
        !matches!(self.phase, Phase::Starting | Phase::Waiting | Phase::Idle)
    }

    /// Whether the engine has no run to begin or to end. After the last video, it may wait for others, check and export.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Waiting || self.ended.is_some()
    }
}

/// The progress of a check of all files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanState {
    /// Whether frames are decoded.
    pub deep: bool,
    /// The number of checked files.
    pub done: usize,
    /// The number of files to check.
    pub all: usize,
}

/// Measurements of the machine, every second or two. `None` where the machine does not report a value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The number of cores.
    pub cores: usize,
    /// The use of all cores together, in percent.
    pub cpu_percent: Option<f32>,
    /// Used and total memory in bytes.
    pub memory: Option<[u64; 2]>,
    /// Free and total bytes on the disk of the output folder.
    pub disk: Option<[u64; 2]>,
    /// The bytes that the remaining features will need.
    pub disk_needed: Option<u64>,
}

/// How the time of the last videos was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// The share of the time in which frames were decoded, 0 to 1.
    pub decode: f32,
    /// The share of the time in which the model computed, 0 to 1.
    pub model: f32,
    /// The share of the time in which features were written, 0 to 1.
    pub write: f32,
    /// The bottleneck.
    pub bound: Bound,
}

/// The bottleneck of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Decoding frames.
    Decode,
    /// Computing the network.
    #[default]
    Model,
    /// Writing files.
    Disk,
}

/// Measurements of a GPU, from NVML, or of a worker on a CPU. `None` where a value is not available.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gauges {
    /// Used and total memory in bytes: of the GPU, or of the worker's process and the machine.
    pub memory: Option<[u64; 2]>,
    /// The use of the GPU, or by a CPU worker of all cores, in percent.
    pub busy_percent: Option<f32>,
    /// The use of the video decoders, in percent.
    pub decoder_percent: Option<f32>,
    /// The temperature in degrees Celsius.
    pub temperature_c: Option<f32>,
    /// The power in watts.
    pub power_w: Option<f32>,
}

impl Gauges {
    /// Whether no value is available.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The throughput over time, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Seconds between two samples.
    pub every_s: f32,
    /// Clips per second; `None` while the run could not work.
    pub clips_per_s: Vec<Option<f32>>,
}

/// The state of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceState {
    /// The device, as in `--devices`.
    pub device: String,
    /// `starting`, `ready`, `leaving`, `left` or `lost`.
    pub status: String,
    /// The name of the device, or why it was given up.
    pub detail: Option<String>,
    /// The number of clips in one pass of the model.
    pub batch: usize,
    /// The videos that it has done in this run.
    pub done: usize,
    /// The clips that it has done in this run, including those of videos in progress.
    pub clips: usize,
    /// The videos in progress, in order.
    pub in_flight: Vec<InFlight>,
    /// Clips per second over the last minute.
    #[serde(default)]
    pub clips_per_s: Option<f64>,
    /// The number of its restarts in this run.
    #[serde(default)]
    pub restarts: u32,
    /// Measurements of the device.
    #[serde(default, skip_serializing_if = "Gauges::is_empty")]
    pub gauges: Gauges,
}

/// A video that a worker processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InFlight {
    /// `Class/file`.
    pub video: String,
    /// The number of clips done.
    pub clips: usize,
    /// The number of its clips, once its frames are counted.
    #[serde(default)]
    pub of: Option<usize>,
    /// The number of packets read, which shows progress while its frames are counted.
    #[serde(default)]
    pub frames: u64,
    /// Seconds since the worker began it; 0 while another video is before it.
    pub seconds: f64,
}

impl Snapshot {
    /// The number of videos that wait on their workers for the videos before them.
    pub(crate) fn waiting_on_devices(&self) -> usize {
        let waiting = |device: &DeviceState| device.in_flight.iter().skip(1).filter(|job| job.is_next()).count();
        self.devices.iter().map(waiting).sum()
    }
}

impl InFlight {
    /// The share that is done, 0 to 1; none before its frames are counted.
    pub fn share(&self) -> Option<f64> {
        let of = self.of.filter(|of| *of > 0)?;
        Some((self.clips as f64 / of as f64).min(1.0))
    }

    /// Whether it waits on its worker for the video before it.
    pub fn is_next(&self) -> bool {
        self.seconds <= 0.0 && self.clips == 0
    }

    /// `12/100` clips, or `3000 frames` while they are counted, or `waits` while another video is before it.
    pub fn progress(&self) -> String {
        match self.of {
            Some(of) => format!("{}/{of}", self.clips),
            None if self.is_next() && self.frames == 0 => "waits".into(),
            None => format!("{} frames", self.frames),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_in_progress_counts_frames_until_its_clips_are_known() {
        let video = InFlight { video: "A/v.mp4".into(), clips: 0, of: None, frames: 3000, seconds: 1.0 };
        assert_eq!((video.share(), video.progress().as_str()), (None, "3000 frames"));
        assert_eq!(InFlight { frames: 0, ..video.clone() }.progress(), "0 frames");
        assert_eq!(InFlight { frames: 0, seconds: 0.0, ..video.clone() }.progress(), "waits");
        let video = InFlight { clips: 10, of: Some(40), ..video };
        assert_eq!((video.share(), video.progress().as_str()), (Some(0.25), "10/40"));
    }
}
