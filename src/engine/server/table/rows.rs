//! Rows by number and by name, and everything else that the table knows about a video.

use std::sync::Arc;

use super::{RowId, RowKind, Table};
use crate::dataset::scan::VideoFile;
use crate::dataset::state::State as Dataset;
use crate::engine::listing::Listing;
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
    pub(super) fn name(&self, row: RowId) -> Option<String> {
        match row.kind() {
            RowKind::Video(id) => Some(self.files.get(id)?.name.as_str().to_owned()),
            RowKind::Other(at) => Some(self.others.get(at)?.1.shown.clone()),
            RowKind::Missing(at) => {
                let matched = self.matched.as_ref()?;
                let class = self.classes.get_index(self.class_of(row)? as usize)?.0;
                Some(format!("{class}/{}", matched.listing.file(at)))
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<RowId> {
        if let Some(id) = self.files.find(name) {
            return Some(RowId::from(id)).filter(|id| self.state_of(*id).is_some());
        }
        let mut others = (0..self.others.len() as u32).filter_map(|at| Some((at, self.others.get(at)?.1)));
        if let Some((at, _)) = others.find(|(_, file)| file.shown == name) {
            return Some(RowId::other(at));
        }
        // The name of a missing video has no extension.
        let (_, file) = name.split_once('/')?;
        let listing = &self.matched.as_ref()?.listing;
        let id = file.strip_prefix(listing.manifest().prefix.as_str())?;
        let id = RowId::missing(u32::try_from(listing.manifest().position(id)?).ok()?);
        (self.state_of(id).is_some() && self.name(id).as_deref() == Some(name)).then_some(id)
    }

    /// The reason for the state of a row or for its worst finding, where their names do not explain it.
    pub(super) fn reason(&self, id: RowId, state: RowState, findings: Findings) -> Option<String> {
        if let Some(reason) = self.stored_reason(id) {
            return Some(reason.to_owned());
        }
        match state {
            RowState::Missing => Some(Dataset::Missing.reason()),
            _ if findings.has(Finding::Damaged) => Some("its feature does not match its checksum".into()),
            _ if findings.has(Finding::Duplicate) => {
                let matched = self.matched.as_ref()?;
                let files = matched.files(matched.position(id.video()?)?).filter_map(|id| self.files.get(id));
                let mut files: Vec<_> = files.map(|file| file.name.clone()).collect();
                files.sort_unstable();
                Some(Dataset::Duplicate { files }.reason())
            }
            _ => None,
        }
    }

    /// A reason that is stored with the row: that of its failure, of a check, or of a file that is no video.
    pub(super) fn stored_reason(&self, id: RowId) -> Option<&str> {
        match id.kind() {
            RowKind::Video(id) => self.reasons.get(&id).or_else(|| self.dataset_reasons.get(&id)).map(String::as_str),
            RowKind::Other(at) => self.others.get(at).map(|(_, file)| file.reason.as_str()),
            RowKind::Missing(_) => None,
        }
    }

    pub(super) fn row(&self, row: RowId) -> Option<Row> {
        let (state, findings) = (self.state_of(row)?, self.findings_of(row));
        let (video, reason) = (self.name(row)?, self.reason(row, state, findings));
        let without_file = Row {
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
        let Some(id) = row.video() else { return Some(without_file) };
        let (file, summary) = (self.files.get(id)?, self.cells.get(id)?.summary);
        Some(Row {
            has_feature: summary.feature,
            leaves: summary.leaves,
            size: file.stamp.size,
            attempts: summary.attempts.into(),
            facts: self.facts.row(id),
            ..without_file
        })
    }

    /// Looks up a video by name, for its details.
    pub(crate) fn look_up(&self, name: &str) -> Option<Entry> {
        let id = self.find(name)?;
        let row = self.row(id)?;
        let listed = self.matched.as_ref().filter(|_| row.state.is_video()).and_then(|matched| {
            let position = match id.kind() {
                RowKind::Video(id) => matched.position(id),
                RowKind::Missing(at) => Some(at),
                RowKind::Other(_) => None,
            };
            Some((Arc::clone(&matched.listing), position?))
        });
        Some(Entry {
            row,
            file: id.video().and_then(|id| self.files.get(id)).cloned(),
            container: id.video().and_then(|id| self.facts.container(id)).map(str::to_owned),
            fps: id.video().and_then(|id| self.facts.fps(id)),
            listed,
        })
    }
}
