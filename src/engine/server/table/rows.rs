//! Rows by number and by name, and everything else that the table knows about a video.

use std::sync::Arc;

use super::{MISSING, OTHER, Table};
use crate::dataset::scan::VideoFile;
use crate::dataset::state::State as Dataset;
use crate::engine::listing::{Listing, NONE};
use crate::engine::state::VideoId;
use crate::protocol::row::{Finding, Findings, Row, RowState};

/// Everything that the table knows about one video.
pub(crate) struct Entry {
    /// Its row.
    pub row: Row,
    /// Its file; none if it is missing or no video.
    pub file: Option<VideoFile>,
    /// Its container.
    pub container: Option<String>,
    /// The frame rate in frames per second.
    pub fps: Option<f64>,
    /// The manifest and its position there.
    pub listed: Option<(Arc<Listing>, u32)>,
}

impl Table {
    /// `Class/file` of a row.
    pub(super) fn name(&self, id: u32) -> Option<String> {
        match id & (MISSING | OTHER) {
            0 => Some(self.files.get(VideoId(id as usize))?.name.as_str().to_owned()),
            OTHER => Some(self.others.get(id & !OTHER)?.1.shown.clone()),
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
        if let Some(id) = self.others().find(|id| self.others.get(id & !OTHER).is_some_and(|(_, f)| f.shown == name)) {
            return Some(id);
        }
        // The name of a missing video has no extension.
        let (_, file) = name.split_once('/')?;
        let listing = &self.matched.as_ref()?.listing;
        let id = file.strip_prefix(listing.manifest().prefix.as_str())?;
        let id = MISSING | u32::try_from(listing.manifest().position(id)?).ok()?;
        (self.state_of(id).is_some() && self.name(id).as_deref() == Some(name)).then_some(id)
    }

    /// The reason for the state of a row or for its worst finding, where their names do not explain it.
    pub(super) fn reason(&self, id: u32, state: RowState, findings: Findings) -> Option<String> {
        if let Some(reason) = self.stored_reason(id) {
            return Some(reason.to_owned());
        }
        match state {
            RowState::Missing => Some(Dataset::Missing.reason()),
            _ if findings.has(Finding::Damaged) => Some("its feature does not match its checksum".into()),
            _ if findings.has(Finding::Duplicate) => {
                let matched = self.matched.as_ref()?;
                let files = matched.files(matched.position(id)).filter_map(|id| self.files.get(VideoId(id as usize)));
                let mut files: Vec<_> = files.map(|file| file.name.clone()).collect();
                files.sort_unstable();
                Some(Dataset::Duplicate { files }.reason())
            }
            _ => None,
        }
    }

    /// A reason that is stored with the row: that of its failure, of a check, or of a file that is no video.
    pub(super) fn stored_reason(&self, id: u32) -> Option<&str> {
        match id & (MISSING | OTHER) {
            0 => self.reasons.get(&id).or_else(|| self.dataset_reasons.get(&id)).map(String::as_str),
            OTHER => self.others.get(id & !OTHER).map(|(_, file)| file.reason.as_str()),
            _ => None,
        }
    }

    pub(super) fn row(&self, id: u32) -> Option<Row> {
        let (state, findings) = (self.state_of(id)?, self.findings_of(id));
        let (video, reason) = (self.name(id)?, self.reason(id, state, findings));
        let row = Row {
            video,
            state,
            findings,
            has_feature: false,
            leaves: false,
            size: 0,
            attempts: 0,
            reason,
            facts: None,
        };
        if id & (MISSING | OTHER) != 0 {
            return Some(row);
        }
        let (file, summary) = (self.files.get(VideoId(id as usize))?, self.cells.get(id as usize)?.summary);
        Some(Row {
            has_feature: summary.feature,
            leaves: summary.leaves,
            size: file.stamp.size,
            attempts: summary.attempts.into(),
            facts: self.facts.row(id),
            ..row
        })
    }

    /// Looks up a video by name, for its details.
    pub(crate) fn look_up(&self, name: &str) -> Option<Entry> {
        let id = self.find(name)?;
        let row = self.row(id)?;
        let listed = self.matched.as_ref().filter(|_| row.state.is_video()).and_then(|matched| {
            let position = if id & MISSING == 0 { matched.position(id) } else { id & !MISSING };
            (position != NONE).then(|| (Arc::clone(&matched.listing), position))
        });
        Some(Entry {
            row,
            file: if id & (MISSING | OTHER) == 0 { self.files.get(VideoId(id as usize)).cloned() } else { None },
            container: self.facts.container(id).map(str::to_owned),
            fps: self.facts.fps(id),
            listed,
        })
    }
}
