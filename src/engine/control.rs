//! Orders of clients as they reach the engine: videos are numbers, and each request has a channel for its answer.

use tokio::sync::oneshot;

use super::state::VideoId;
use crate::format::Format;
use crate::out::count;

/// A request of a client with the channel for its answer.
#[derive(Debug)]
pub(crate) struct ClientRequest {
    /// The request.
    pub request: Request,
    /// Receives the result or the reason for a refusal, for people.
    pub reply: oneshot::Sender<Result<String, String>>,
}

impl Request {
    /// The request, for the log.
    pub(crate) fn in_words(&self) -> String {
        let videos = |videos: &[VideoId]| count(videos.len(), "video", "videos");
        match self {
            Self::Pause => "pause".into(),
            Self::Resume => "resume".into(),
            Self::Stop { now: false } => "stop".into(),
            Self::Stop { now: true } => "stop now".into(),
            Self::Retry(ids) => format!("retry {}", videos(ids)),
            Self::Start => "start".into(),
            Self::Redo(ids) => format!("extract {} again", videos(ids)),
            Self::Exclude { videos: ids, undo: false } => format!("exclude {}", videos(ids)),
            Self::Exclude { videos: ids, undo: true } => format!("include {}", videos(ids)),
            Self::Rescan => "rescan".into(),
            Self::Check { deep: false } => "quick check".into(),
            Self::Check { deep: true } => "deep check".into(),
            Self::WriteList => "write the list of videos".into(),
            Self::Export(formats) => {
                format!("export {}", formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(", "))
            }
            Self::WriteMissing => "write the lists of missing videos".into(),
            Self::Leave => "leave".into(),
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Suspend the workers.
    Pause,
    /// Resume the workers.
    Resume,
    /// End the run.
    Stop {
        /// Drop the videos in progress.
        now: bool,
    },
    /// Retry these failed videos.
    Retry(Vec<VideoId>),
    /// Start a run over the unfinished videos.
    Start,
    /// Extract these again, whatever their result.
    Redo(Vec<VideoId>),
    /// Exclude these videos, or include them again.
    Exclude {
        /// The videos.
        videos: Vec<VideoId>,
        /// Include them again instead.
        undo: bool,
    },
    /// Scan the dataset folder now.
    Rescan,
    /// Check all files.
    Check {
        /// Decode some frames of each file.
        deep: bool,
    },
    /// Write the list of videos.
    WriteList,
    /// Export to these formats.
    Export(Vec<Format>),
    /// Write the lists of missing videos.
    WriteMissing,
    /// End the engine if no run is active.
    Leave,
}
