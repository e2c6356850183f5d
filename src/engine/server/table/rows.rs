//! Rows by number and by name, and everything else that the table knows about a video.

use std::sync::Arc;

use super::{MISSING, Table};
use crate::dataset::scan::VideoFile;
use crate::dataset::state::State as Dataset;
use crate::engine::listing::{Listing, NONE};
use crate::engine::state::VideoId;
use crate::protocol::row::{Row, RowState};

/// Everything that the table knows about one video.
pub(crate) struct Entry {
    /// Its row.
    pub row: Row,
    /// Its file; none if it is missing.
    pub file: Option<VideoFile>,
    /// Its container.
    pub container: Option<String>,
    /// The frame rate in frames per second.
    pub fps: Option<f64>,
    /// The manifest and its position there.
    pub listed: Option<(Arc<Listing>, u32)>,
    /// Whether its last attempt failed.
    pub failed: bool,
}

impl Table {
    /// `Class/file` of a row.
    pub(super) fn name(&self, id: u32) -> Option<String> {
        match id & MISSING {
            0 => Some(self.files.get(VideoId(id as usize))?.name.as_str().to_owned()),
            _ => {
                let matched = self.matched.as_ref()?;
                let class = self.classes.get_index(self.class_of(id)? as usize)?.0;
                Some(format!("{class}/{}", matched.listing.file(id & !MISSING)))
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        if let Some(id) = self.files.find(name) {
            return u32::try_from(id.0).ok().filter(|id| self.state_of(*id).is_some());
        }
        // The name of a missing video has no extension.
        let (_, file) = name.split_once('/')?;
        let listing = &self.matched.as_ref()?.listing;
        let id = file.strip_prefix(listing.manifest().prefix.as_str())?;
        let id = MISSING | u32::try_from(listing.manifest().position(id)?).ok()?;
        (self.state_of(id).is_some() && self.name(id).as_deref() == Some(name)).then_some(id)
    }

    /// The reason for the state of a row, where the state alone does not explain it.
    pub(super) fn reason(&self, id: u32, state: RowState) -> Option<String> {
        match state {
            RowState::Missing => Some(Dataset::Missing.reason()),
            RowState::Damaged => Some("its feature does not match its checksum".into()),
            RowState::Duplicate => {
                let matched = self.matched.as_ref()?;
                let files = matched.files(matched.position(id)).filter_map(|id| self.files.get(VideoId(id as usize)));
                let mut files: Vec<_> = files.map(|file| file.name.clone()).collect();
                files.sort_unstable();
                Some(Dataset::Duplicate { files }.reason())
            }
            _ => self.reasons.get(&id).or_else(|| self.dataset_reason(id, state)).cloned(),
        }
    }

    pub(super) fn dataset_reason(&self, id: u32, state: RowState) -> Option<&String> {
        // A queued video is tried even if a check found a fault, which is then the likely result.
        let of_the_dataset =
            matches!(state, RowState::Corrupt | RowState::WrongDuration | RowState::Degraded | RowState::Queued);
        self.dataset_reasons.get(&id).filter(|_| of_the_dataset)
    }

    pub(super) fn row(&self, id: u32) -> Option<Row> {
        let state = self.state_of(id)?;
        let (video, reason) = (self.name(id)?, self.reason(id, state));
        if id & MISSING != 0 {
            return Some(Row { video, state, has_feature: false, size: 0, attempts: 0, reason, facts: None });
        }
        let (file, summary) = (self.files.get(VideoId(id as usize))?, self.cells.get(id as usize)?.summary);
        Some(Row {
            video,
            state,
            has_feature: summary.feature,
            size: file.stamp.size,
            attempts: summary.attempts.into(),
            reason,
            facts: self.facts.row(id),
        })
    }

    /// Looks up a video by name, for its details.
    pub(crate) fn look_up(&self, name: &str) -> Option<Entry> {
        let id = self.find(name)?;
        let row = self.row(id)?;
        let listed = self.matched.as_ref().and_then(|matched| {
            let position = if id & MISSING == 0 { matched.position(id) } else { id & !MISSING };
            (position != NONE).then(|| (Arc::clone(&matched.listing), position))
        });
        let failed = self.cells.get(id as usize).is_some_and(|cell| cell.summary.row_status.has_failed());
        Some(Entry {
            row,
            file: if id & MISSING == 0 { self.files.get(VideoId(id as usize)).cloned() } else { None },
            container: self.facts.container(id).map(str::to_owned),
            fps: self.facts.fps(id),
            listed,
            failed,
        })
    }
}
