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
        // Times that nanoseconds cannot count (before 1677, after 2262) wrap around, so that they still differ from each other.
        let mtime_ns = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
        Self { size: metadata.len(), mtime_ns }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn times_that_nanoseconds_cannot_count_still_differ() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.mp4");
        let file = File::create(&path).unwrap();
        let stamp = |years: u64| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(years * 365 * 86_400);
            file.set_times(FileTimes::new().set_modified(time)).unwrap();
            SourceStamp::read(&path).unwrap()
        };
        assert_ne!(stamp(300), stamp(301), "after 2262");
        assert_eq!(stamp(30).mtime_ns, 30 * 365 * 86_400 * 1_000_000_000);
    }
}
