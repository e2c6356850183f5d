//! The events that `update` takes and the effects that it returns.

use reeldeck_common::error::Failure;
use reeldeck_common::protocol::{JobId, Report};
use reeldeck_common::source::SourceStamp;

use reeldeck_common::video::VideoName;

use super::state::{Millis, Progress, Shortage, Status, VideoId, WorkerId, WorkerProcess};
use crate::dataset::scan::VideoFile;
use crate::protocol::snapshot::Folder;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The run starts.
    EngineStarted,
    /// A worker has loaded its model: a description of its device, and the load time in milliseconds.
    Ready(WorkerProcess, String, u64),
    /// A worker's GPU has so many bytes of free memory that the default is at most so many clips in a pass.
    LittleMemory(WorkerProcess, u64, usize),
    /// Something that users should know about a worker.
    Warning(WorkerProcess, String),
    /// A worker cannot work and exits.
    Fatal(WorkerProcess, Failure),
    /// How far a job has come.
    Progress(WorkerProcess, JobId, Progress),
    /// A feature is on disk.
    Done(WorkerProcess, JobId, Report),
    /// A job failed; with the state of the file, where the worker has read it.
    Failed(WorkerProcess, JobId, Failure, Option<SourceStamp>),
    /// A job failed because the video could not be read, and its own file may not be at fault; with the failure.
    ReadFailed(WorkerProcess, JobId, ReadFailure, Failure),
    /// A feature is on disk, but its worker exited before it could report that. `Gone` follows.
    Unreported(WorkerProcess, JobId, Report),
    /// A worker process was killed with SIGKILL, and not by this engine. `Gone` follows.
    Killed(WorkerProcess, Shortage),
    /// A worker process has exited; with a description of how.
    Gone(WorkerProcess, String),
    /// The journal names a video that was handed out, and its process is sent the assignment.
    Released(WorkerProcess, JobId),
    /// The output folder cannot be written to; with the reason.
    CannotWrite(String),
    /// A check of this folder has failed, for this reason.
    StillHeld(Folder, String),
    /// The dataset folder is gone, for this reason.
    DatasetGone(String),
    /// A check has succeeded: the dataset folder, and the folders that were waited for, can be read.
    DatasetBack,
    /// A check has succeeded: the output folder can be written to. The features and failure files of these videos are lost.
    OutputBack(Vec<VideoId>),
    /// A user pauses the workers.
    Pause,
    /// A user resumes the workers.
    Resume,
    /// A user ends the run after the videos in progress; a second time: at once.
    Interrupt,
    /// A user ends the run at once.
    Abort,
    /// A user retries these videos. Only failed ones are affected.
    Retry(Vec<VideoId>),
    /// Other engines retry these failed videos.
    RetriedElsewhere(Vec<VideoId>),
    /// A user has these videos extracted again. Those in progress, queued or excluded are not affected.
    Redo(Vec<VideoId>),
    /// A user excludes these videos; true: includes them again.
    Exclude(Vec<VideoId>, bool),
    /// A user starts a run over the unfinished videos. Without effect during a run.
    StartRun,
    /// The run is over. New videos wait until a user starts another run.
    RunEnded,
    /// A file is new or has changed; with its status by the output folder, and whether it is excluded.
    Seen(VideoFile, Status, bool),
    /// A file was removed.
    Vanished(VideoName),
    /// An export could not use the feature of a video that was done; with its status by the output folder now, and whether
    /// the feature is damaged.
    ExportMissed(VideoId, Status, bool),
    /// These may be handed out; the second list: those of them that may have crashed another engine.
    Granted(Vec<VideoId>, Vec<VideoId>),
    /// These may not be handed out any more.
    Revoked(Vec<VideoId>),
    /// Another engine has settled a video.
    SettledElsewhere(VideoId, Status),
    /// Ends the run for this reason.
    Block(String),
    /// Time has passed.
    Tick,
}

impl Event {
    /// The worker process that an event comes from.
    pub fn process(&self) -> Option<WorkerProcess> {
        match self {
            Self::Ready(process, ..)
            | Self::Warning(process, _)
            | Self::LittleMemory(process, ..)
            | Self::Fatal(process, _)
            | Self::Progress(process, ..)
            | Self::Done(process, ..)
            | Self::Failed(process, ..)
            | Self::ReadFailed(process, ..)
            | Self::Unreported(process, ..)
            | Self::Killed(process, _)
            | Self::Gone(process, _) => Some(*process),
            _ => None,
        }
    }
}

/// Why a worker could not read a video although its file has no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFailure {
    /// The dataset folder is gone; with the reason and the next step.
    DatasetGone(String),
    /// The folder of the video is gone; with the reason and the next step.
    FolderGone(String),
    /// The file is there again.
    FileBack,
}

/// Something that the engine does after an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start this process of a worker.
    Spawn(WorkerProcess),
    /// Send a video to a worker.
    Extract {
        /// The worker.
        worker: WorkerId,
        /// The attempt.
        job: JobId,
        /// The video.
        video: VideoId,
        /// Clips in one pass of the model.
        batch: usize,
    },
    /// Tell a worker to exit.
    Finish(WorkerId),
    /// Kill a worker process.
    Kill(WorkerId),
    /// Suspend a worker process.
    Freeze(WorkerId),
    /// Resume a worker process.
    Thaw(WorkerId),
    /// Write an attempt to the video's failure file.
    Record {
        /// The video.
        video: VideoId,
        /// The worker that made the attempt.
        worker: WorkerId,
        /// When the worker began with it. It may have received it long before.
        since: Millis,
        /// Why it failed.
        failure: Failure,
        /// The file's size and time of change at the attempt.
        source: Option<SourceStamp>,
        /// Another attempt follows.
        retry: bool,
    },
    /// Remove the video's failure file: it has a feature now.
    Forget(VideoId),
    /// Look at a file again, because it changed while it was in progress. `Seen` or `Vanished` follows.
    LookAt(VideoId),
    /// Check whether the output folder can be written to. `OutputBack` or `StillHeld` follows, unless its disk does not respond.
    LookAtOutput,
    /// Check whether the dataset folder and the folders of these videos can be read. `DatasetBack` or `StillHeld` follows,
    /// unless their disk does not respond.
    LookAtDataset(Vec<VideoId>),
    /// Publish a notice.
    Notify(Notice),
}

/// Something worth an event for users.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A worker has loaded its model, in so many milliseconds.
    WorkerReady(WorkerId, u64),
    /// A worker warns.
    WorkerWarns(WorkerId, String),
    /// A worker has exited unexpectedly and is restarted.
    WorkerRestarts(WorkerId, String),
    /// A worker is given up.
    WorkerLost(WorkerId, String),
    /// A device has run out of memory; with its new batch size.
    BatchHalved(WorkerId, usize),
    /// A video was handed out.
    Assigned(WorkerId, VideoId),
    /// A worker begins to compute a video.
    Started(WorkerId, VideoId),
    /// A feature is on disk.
    Done(WorkerId, VideoId, Report),
    /// An attempt failed; with the delay of the next one in milliseconds, if there is one.
    Failed(WorkerId, VideoId, Failure, Option<Millis>),
    /// A video is queued again without being charged an attempt; with the reason.
    Returned(VideoId, String),
    /// The workers are paused.
    Paused,
    /// The workers are resumed.
    Resumed,
    /// The run is held because of a folder; with the reason and the next step.
    Held(Folder, String),
    /// The dataset folder can be read again, and the hold is over.
    DatasetBack,
    /// The output folder can be written to again; with the number of videos whose results are lost.
    OutputBack(usize),
    /// A user has queued so many videos again.
    Requeued(usize),
    /// A user has stopped the run; videos in progress are finished.
    Finishing,
    /// A user has stopped the run at once.
    Aborting,
    /// The run cannot continue; with the reason.
    Blocked(String),
}
