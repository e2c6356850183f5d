//! What clients may order, as it reaches the engine: names are videos by now, and somebody waits for the answer.

use tokio::sync::oneshot;

use super::state::VideoId;
use crate::format::Format;

/// An order of a client, and where its answer goes.
#[derive(Debug)]
pub struct ClientRequest {
    /// What to do.
    pub order: Order,
    /// What came of it, for people; an error when it was not possible.
    pub reply: oneshot::Sender<Result<String, String>>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop the workers where they are.
    Pause,
    /// Let them go on.
    Resume,
    /// End the run.
    Stop {
        /// Drop what is in hand.
        now: bool,
    },
    /// Try these again.
    Retry(Vec<VideoId>),
    /// Begin a run over what is unfinished.
    Start,
    /// Do these again, whatever came of them.
    Redo(Vec<VideoId>),
    /// Leave these alone.
    Exclude {
        /// Which.
        videos: Vec<VideoId>,
        /// No longer.
        undo: bool,
    },
    /// Look through the dataset folder now.
    Rescan,
    /// Check all files.
    Check {
        /// Decode some frames of each.
        deep: bool,
    },
    /// Write the list of videos.
    WriteList,
    /// Write what trainers read.
    Export(Vec<Format>),
    /// Write the lists of missing videos.
    WriteMissing,
    /// End the engine when no run is active.
    Leave,
}
