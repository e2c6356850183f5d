//! The number of a row.

use crate::engine::state::VideoId;

/// Marks the row of a missing video.
const MISSING: u32 = 1 << 31;

/// Marks the row of a refused or ignored file.
const OTHER: u32 = 1 << 30;

/// The number of a row in four bytes, because views have a million of them. A table has fewer than 2^30 rows of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowId(u32);

/// What a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    /// A video on disk, even if its file is gone now.
    Video(VideoId),
    /// The video at this position in the manifest, which has no file.
    Missing(u32),
    /// The file at this position among the refused and ignored files.
    Other(u32),
}

impl RowId {
    /// The row of a missing video of the manifest.
    pub(super) fn missing(position: u32) -> Self {
        Self(MISSING | position)
    }

    /// The row of a refused or ignored file.
    pub(super) fn other(position: u32) -> Self {
        Self(OTHER | position)
    }

    /// What the row shows.
    pub(super) fn kind(self) -> RowKind {
        match self.0 & (MISSING | OTHER) {
            0 => RowKind::Video(VideoId(self.0 as usize)),
            OTHER => RowKind::Other(self.0 & !OTHER),
            _ => RowKind::Missing(self.0 & !MISSING),
        }
    }

    /// The video on disk that the row shows, if it does.
    pub(super) fn video(self) -> Option<VideoId> {
        match self.kind() {
            RowKind::Video(id) => Some(id),
            _ => None,
        }
    }
}

impl From<VideoId> for RowId {
    fn from(VideoId(id): VideoId) -> Self {
        Self(id as u32)
    }
}
