//! The size and modification time of a video file, which tell whether it has changed.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Size and modification time of a video file. A file with another stamp counts as changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceStamp {
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970, negative before.
    pub mtime_ns: i64,
}

impl SourceStamp {
    /// The stamp of the file at `path`.
    ///
    /// # Errors
    /// When its metadata cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&fs::metadata(path)?))
    }

    /// The stamp of a file with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { size: metadata.len(), mtime_ns }
    }
}
