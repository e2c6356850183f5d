//! Selects the videos of an order: by pattern, by name or by filter.

use super::Table;
use crate::engine::patterns::Patterns;
use crate::engine::state::VideoId;
use crate::protocol::row::{RowState, Select, Sort};

impl Table {
    /// The failed videos that one of the patterns matches, or all failed videos without a pattern. If no matching video has
    /// failed, the queued ones: their files may have been repaired since.
    ///
    /// # Errors
    /// When a pattern matches no video, and when no matching video has failed.
    pub(crate) fn failed(&self, patterns: &[String]) -> Result<Vec<VideoId>, String> {
        let mut compiled = Patterns::new(patterns);
        let (mut found, mut queued) = (vec![], vec![]);
        for ((id, cell), file) in self.cells.iter_enumerated().zip(self.files.iter()) {
            if cell.summary.state.is_none() {
                continue;
            }
            let hit = compiled.matches(&file.name);
            match cell.summary.state {
                Some(RowState::Failed) if hit => found.push(id),
                Some(RowState::Queued) if hit && !patterns.is_empty() => queued.push(id),
                _ => {}
            }
        }
        match compiled.unused() {
            Some(why) => Err(why),
            None if found.is_empty() && !queued.is_empty() => Ok(queued),
            None if found.is_empty() && patterns.is_empty() => Err("no video has failed".into()),
            None if found.is_empty() => Err("no matching video has failed".into()),
            None => Ok(found),
        }
    }

    /// The selected videos on disk, each once. Missing videos and files that are no videos are left out.
    ///
    /// # Errors
    /// When there is no video of a name, or no file is selected.
    pub(crate) fn select(&mut self, select: &Select) -> Result<Vec<VideoId>, String> {
        let mut ids = vec![];
        for name in &select.videos {
            match self.find(name) {
                Some(id) => ids.push(id),
                None => return Err(format!("the video {name:?} no longer exists")),
            }
        }
        if let Some(filter) = &select.filter {
            ids.extend(self.view(filter.clone(), Sort::default()).ids);
        }
        let mut seen = std::collections::HashSet::new();
        let ids: Vec<VideoId> = ids.into_iter().filter_map(|id| id.video().filter(|id| seen.insert(*id))).collect();
        if ids.is_empty() { Err("no selected video is on disk".into()) } else { Ok(ids) }
    }
}
