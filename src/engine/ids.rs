//! The numbers by which a run knows its videos and workers, and its unit of time.

/// A video's place in the run's list; it stays the video's own for as long as the engine lives.
pub type VideoId = usize;

/// A worker's place in the run's list.
pub type WorkerId = usize;

/// Milliseconds since the engine began.
pub type Millis = u64;
