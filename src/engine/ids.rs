//! The numbers of videos and workers in a run, and its unit of time.

/// A video's index in the run's list. It stays the same as long as the engine runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VideoId(pub usize);

/// A worker's index in the run's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub usize);

/// Milliseconds since the engine began.
pub(crate) type Millis = u64;

impl From<usize> for VideoId {
    fn from(index: usize) -> Self {
        Self(index)
    }
}

impl From<VideoId> for usize {
    fn from(id: VideoId) -> Self {
        id.0
    }
}

impl From<usize> for WorkerId {
    fn from(index: usize) -> Self {
        Self(index)
    }
}

impl From<WorkerId> for usize {
    fn from(id: WorkerId) -> Self {
        id.0
    }
}
