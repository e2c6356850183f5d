//! Limits on the resources that one video may take.

use serde::{Deserialize, Serialize};

/// Limits on one video.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest frame, in millions of pixels.
    pub megapixels: f64,
    /// Longest video, in frames.
    pub frames: u64,
    /// Longest video, in seconds of playing time.
    pub duration_s: f64,
    /// Longest time to extract one video, in seconds. The engine enforces it.
    pub wall_s: u64,
    /// Address space of a worker on a CPU, in MiB. 0 means automatic in the configuration, and no limit in [`Init`].
    ///
    /// [`Init`]: crate::protocol::Init
    pub memory_mib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // 8192 x 4320 is 35.4 megapixels; two million frames are 18 hours at 30 a second.
        Self { megapixels: 36.0, frames: 2_000_000, duration_s: 86_400.0, wall_s: 21_600, memory_mib: 0 }
    }
}
