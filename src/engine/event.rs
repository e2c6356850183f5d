//! What happens to a run, what is to be done about it, and what is told of it: the alphabet of `update`.

use reeldeck_common::error::Failure;
use reeldeck_common::protocol::{JobId, Report};
use reeldeck_common::source::SourceStamp;

use reeldeck_common::video::VideoName;

use super::state::{Millis, Status, VideoId, WorkerId, WorkerProcess};
use crate::dataset::scan::VideoFile;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The run begins.
    Begin,
    /// A worker has loaded its model; its device in words, and how long it took.
    Ready(WorkerProcess, String, u64),
    /// A worker cannot work, and leaves.
    Fatal(WorkerProcess, Failure),
    /// Clips done.
    Progress(WorkerProcess, JobId, usize),
    /// A feature is on disk.
    Done(WorkerProcess, JobId, Report),
    /// No feature came of it.
    Failed(WorkerProcess, JobId, Failure, Option<SourceStamp>),
    /// A feature is on disk, but its worker ended before it could say so. `Gone` follows.
    Untold(WorkerProcess, JobId, Report),
    /// A worker process has ended; how, in words.
    Gone(WorkerProcess, String),
    /// The journal names a video that was handed out, and its process is sent the order.
    Released(WorkerProcess, JobId),
    /// The output folder cannot be written to; why.
    CannotWrite(String),
    /// Somebody has looked at the output folder while it was held: still the same, or something else by now.
    StillHeld(String),
    /// The output folder can be written to again. What was written there of these videos is gone.
    OutputBack(Vec<VideoId>),
    /// The user wants the workers to stand still.
    Pause,
    /// The user wants them to go on.
    Resume,
    /// The user wants the run to end. A second time: at once.
    Interrupt,
    /// The user wants the run to end at once.
    Abort,
    /// The user wants these tried again. Those that have not failed are left as they are.
    Retry(Vec<VideoId>),
    /// The user wants these done again, whatever came of them. Those in hand, waiting or left alone are left as they are.
    Redo(Vec<VideoId>),
    /// The user wants these left alone, or where the second says so no longer.
    Exclude(Vec<VideoId>, bool),
    /// The user wants a run over what is unfinished. Nothing happens while there is one.
    Start,
    /// The run is over: whatever turns up from now on waits until it is asked for.
    Rest,
    /// A file that is new, or another version of one that is known; where it stands by the output folder, and whether the
    /// user wants it left alone.
    Seen(VideoFile, Status, bool),
    /// A file that is there no more.
    Vanished(VideoName),
    /// Time has passed.
    Tick,
}

impl Event {
    /// The worker process that an event comes from.
    pub fn process(&self) -> Option<WorkerProcess> {
        match self {
            Self::Ready(process, ..)
            | Self::Fatal(process, _)
            | Self::Progress(process, ..)
            | Self::Done(process, ..)
            | Self::Failed(process, ..)
            | Self::Untold(process, ..)
            | Self::Gone(process, _) => Some(*process),
            _ => None,
        }
    }
}

/// Something to be done about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start this process of a worker.
    Spawn(WorkerProcess),
    /// Hand a video to a worker.
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
    /// Tell a worker to leave when it is done.
    Finish(WorkerId),
    /// End a worker now.
    Kill(WorkerId),
    /// Stop a worker where it is.
    Freeze(WorkerId),
    /// Let it go on.
    Thaw(WorkerId),
    /// Write an attempt to the video's failure file.
    Record {
        /// The video.
        video: VideoId,
        /// Who tried.
        worker: WorkerId,
        /// When it was handed out.
        since: Millis,
        /// What went wrong.
        failure: Failure,
        /// The file as it was.
        source: Option<SourceStamp>,
    },
    /// Remove the video's failure file: it has a feature now.
    Forget(VideoId),
    /// Look at the file, which was another version for a while, and at what the output folder says of it; `Seen` or
    /// `Vanished` follows.
    LookAt(VideoId),
    /// Find out whether the output folder can be written to.
    LookAtOutput,
    /// Tell the front ends.
    Tell(News),
}

/// What front ends are told, besides the state itself.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// A worker has loaded its model, in so many milliseconds.
    WorkerReady(WorkerId, u64),
    /// A worker has ended unasked and is started again.
    WorkerRestarts(WorkerId, String),
    /// A worker will not be started again.
    WorkerLost(WorkerId, String),
    /// A device has run out of memory and gets fewer clips at a time.
    Smaller(WorkerId, usize),
    /// A video was handed out.
    Started(WorkerId, VideoId),
    /// A feature is on disk.
    Done(WorkerId, VideoId, Report),
    /// An attempt failed; when there will be another, if there will.
    Failed(WorkerId, VideoId, Failure, Option<Millis>),
    /// A video is queued again and was charged nothing; why.
    Returned(VideoId, String),
    /// The workers stand still.
    Paused,
    /// They go on.
    Resumed,
    /// The output folder cannot be written to; what to do about it.
    Held(String),
    /// It can be again; what came of so many videos is gone.
    OutputBack(usize),
    /// So many videos are tried again because the user wants it.
    Requeued(usize),
    /// The user asked to end: what is in hand is finished.
    Finishing,
    /// The user asked twice: all is dropped.
    Aborting,
    /// The run cannot go on.
    Blocked(String),
}
