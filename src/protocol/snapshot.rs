//! Where a run stands, in a size that does not depend on the number of videos.

use serde::{Deserialize, Serialize};

use super::row::StateCounts;

/// Videos by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub videos: usize,
    /// With a feature, now or before; degraded ones included.
    pub done: usize,
    /// Among them those that were there before this run.
    pub resumed: usize,
    /// Among them those with lost or concealed frames.
    pub degraded: usize,
    /// With a feature of an older version of the file.
    pub stale: usize,
    /// Without, and not to be tried again in this run.
    pub failed: usize,
    /// Among them those that had failed before this run.
    pub failed_before: usize,
    /// Waiting for a worker.
    pub queued: usize,
    /// In a worker's hands.
    pub running: usize,
    /// Unfinished, and not part of this run: beyond its limit, or of another shard.
    pub left_out: usize,
    /// Left alone because the user wants it, with a feature or without.
    #[serde(default)]
    pub excluded: usize,
}

impl Counts {
    /// Waiting or in hand.
    pub fn unfinished(&self) -> usize {
        self.queued + self.running
    }

    /// What this run had or has to do.
    pub fn of_this_run(&self) -> usize {
        self.videos - self.resumed - self.failed_before - self.stale - self.left_out - self.excluded
    }
}

/// What the run is up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The engine prepares its first run; `reason` names the current step. Only `stop` is accepted.
    #[default]
    Starting,
    /// Has been looked through and waits to be told to begin.
    Waiting,
    /// Hands out videos.
    Running,
    /// Its workers are stopped where they were, as asked.
    Paused,
    /// Waits until the output folder can be written to again.
    Held,
    /// Finishes what is in hand.
    Finishing,
    /// Drops what is in hand.
    Stopping,
    /// Over; the engine waits for a client that wants more.
    Idle,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Goes up with every change of a video.
    pub revision: u64,
    /// What the run is up to.
    pub phase: Phase,
    /// Why the run is held or ending without a request, or what a starting engine is doing.
    pub reason: Option<String>,
    /// The exit code of the run, when it and its export are over.
    pub ended: Option<u8>,
    /// What trainers read is being written.
    #[serde(default)]
    pub exporting: bool,
    /// Seconds since the run began.
    pub elapsed_s: f64,
    /// Videos.
    pub counts: Counts,
    /// Clips of each video.
    pub clips_per_video: usize,
    /// Clips done in this run, those of videos in hand included.
    pub clips_done: usize,
    /// Clips a second over the last minute; none before there is anything to measure. Work done in earlier runs does
    /// not count.
    pub clips_per_s: Option<f64>,
    /// Seconds until all is done at that rate.
    pub eta_s: Option<u64>,
    /// The workers.
    pub devices: Vec<DeviceState>,
    /// Videos by the state of their rows.
    #[serde(default)]
    pub states: StateCounts,
    /// The look through the dataset folder, while it is going on.
    #[serde(default)]
    pub scan: Option<ScanState>,
    /// How the folder is watched, in words, or why it is not.
    #[serde(default)]
    pub watch: Option<String>,
    /// The machine.
    #[serde(default)]
    pub machine: Machine,
    /// Where the time goes; none before a video was done in this run.
    #[serde(default)]
    pub stages: Option<Stages>,
    /// Videos a second over the last minutes.
    #[serde(default)]
    pub videos_per_s: Option<f64>,
}

impl Snapshot {
    /// The snapshot of an engine that prepares its first run; `step` is what it is doing.
    pub fn starting(step: &str) -> Self {
        Self { phase: Phase::Starting, reason: Some(step.to_owned()), ..Self::default() }
    }
}

/// How far a check of the dataset's files is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanState {
    /// Also decodes.
    pub deep: bool,
    /// Files looked into.
    pub done: usize,
    /// Files to look into.
    pub all: usize,
}

/// What is measured of the machine every second or two; `None` is what it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Cores.
    pub cores: usize,
    /// How busy they are, all together, percent.
    pub cpu_percent: Option<f32>,
    /// Bytes of memory in use and in all.
    pub memory: Option<[u64; 2]>,
    /// Bytes free and in all where the output folder lies.
    pub disk: Option<[u64; 2]>,
    /// Bytes that the features still to be made will take.
    pub disk_needed: Option<u64>,
}

/// Where the time of the last videos went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// Share of the time in which frames were decoded, 0 to 1.
    pub decode: f32,
    /// Share of the time in which the model computed, 0 to 1.
    pub model: f32,
    /// Share of the time in which features were written, 0 to 1.
    pub write: f32,
    /// `decode`, `model` or `disk`: what holds the others up.
    pub bound: Bound,
}

/// What a run waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Frames.
    Decode,
    /// The network.
    #[default]
    Model,
    /// Files being written.
    Disk,
}

/// What a GPU tells of itself, by NVML, and what a worker on a CPU uses; `None` is what it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gauges {
    /// Bytes of memory in use and in all: of the GPU, or of the worker's process and the machine.
    pub memory: Option<[u64; 2]>,
    /// How busy it is, percent; of a CPU worker, of all cores.
    pub busy_percent: Option<f32>,
    /// How busy its video decoders are, percent.
    pub decoder_percent: Option<f32>,
    /// Degrees Celsius.
    pub temperature_c: Option<f32>,
    /// Watts.
    pub power_w: Option<f32>,
}

/// What a throughput chart shows, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Seconds between two samples.
    pub every_s: f32,
    /// Clips a second; `None` while nothing could be done.
    pub clips_per_s: Vec<Option<f32>>,
}

/// Where a worker stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceState {
    /// As `--devices` names it.
    pub device: String,
    /// `starting`, `ready`, `leaving`, `left` or `lost`.
    pub status: String,
    /// The device in its own words, or why it was given up.
    pub detail: Option<String>,
    /// Clips in one pass of the model.
    pub batch: usize,
    /// Videos done by it in this run.
    pub done: usize,
    /// Clips done by it in this run, those in hand included.
    pub clips: usize,
    /// What it has in hand, in order.
    pub in_hand: Vec<InHand>,
    /// Clips a second over the last minute.
    #[serde(default)]
    pub clips_per_s: Option<f64>,
    /// How often it was begun anew in this run.
    #[serde(default)]
    pub restarts: u32,
    /// What is measured of it.
    #[serde(default)]
    pub gauges: Gauges,
}

/// A video in a worker's hands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InHand {
    /// `Class/file`.
    pub video: String,
    /// Clips done.
    pub clips: usize,
    /// Seconds since it was the worker's turn to work on it; 0 while it waits behind another.
    pub seconds: f64,
}
