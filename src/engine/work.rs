//! What a run has to do, from the files of the output folder and the journals of earlier runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use reeldeck_claims::Item;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::Output;
use typed_index_collections::TiVec;

use crate::config::{QueueOrder, Settings};
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::engine::assess::{self, Policy, StoredResult};
use crate::engine::state::{Status, VideoId, Work};
use crate::engine::{claims, excluded};
use crate::error::{Exit, ExitError};
use crate::out::count;

/// The policy of the settings: which videos count as done.
pub(crate) fn policy(settings: &Settings) -> Policy {
    Policy { retry_failed: settings.retry_failed, redo_stale: settings.redo_stale }
}

/// Reads the state of each video and queues the unfinished ones. Writes nothing.
///
/// # Errors
/// When the output folder cannot be read, and when the run would remove outputs of existing features.
pub(crate) fn find(settings: &Settings, layout: &Layout, files: Arc<[VideoFile]>) -> Result<Work> {
    let found = assess::assess(layout, &settings.recipe, &files)
        .with_context(|| format!("failed to look through {}", shown(layout.out())))?;
    let excluded = excluded::read(&layout.private())
        .with_context(|| format!("failed to read {}", shown(&excluded::path(&layout.private()))))?;
    let policy = policy(settings);
    let mut left = settings.limit.unwrap_or(usize::MAX);
    let mut videos = TiVec::with_capacity(files.len());
    // Of features that the run would replace: how many, and the outputs that it would remove.
    let (mut replaced, mut removed) = (0, BTreeSet::new());
    for (file, found) in files.iter().zip(found) {
        let outputs = if let StoredResult::Lacking(outputs) = &found { outputs.clone() } else { vec![] };
        let mut video = policy.video(found);
        if excluded.contains(&file.name) {
            video.exclude();
        } else if video.status == Status::Queued {
            match left {
                0 => video.status = Status::LeftOut,
                _ => {
                    left -= 1;
                    replaced += usize::from(!outputs.is_empty());
                    removed.extend(outputs);
                }
            }
        }
        videos.push(video);
    }
    if replaced > 0 {
        return Err(ExitError::new(Exit::Usage, removes(settings, layout, replaced, &removed)).into());
    }
    let mut order: Vec<VideoId> =
        videos.iter_enumerated().filter(|(_, v)| v.status == Status::Queued).map(|(id, _)| id).collect();
    if settings.engine.order == QueueOrder::LargestFirst {
        order.sort_by_key(|id| std::cmp::Reverse(files.get(id.0).map(|file| file.stamp.size)));
    }
    Ok(Work { files, videos, order })
}

/// Why a run with these outputs is refused.
fn removes(settings: &Settings, layout: &Layout, features: usize, removed: &BTreeSet<Output>) -> String {
    let names =
        |outputs: &mut dyn Iterator<Item = &Output>| outputs.map(|o| o.name()).collect::<Vec<_>>().join(" and ");
    let (removed, wanted) = (names(&mut removed.iter()), names(&mut settings.recipe.outputs.iter()));
    format!(
        "{} in {} would be replaced: the recipe {} stores {wanted}, and their {removed} would be lost; add {removed:?} to `outputs` in \
         the recipe, or give the recipe another name, or remove the folder",
        count(features, "feature", "features"),
        shown(&layout.features()),
        settings.recipe.name,
    )
}

/// The videos, as the claims need them. Their costs give the order in which they are handed out.
pub(crate) fn items(work: &Work) -> Vec<Item> {
    let is_by_size =
        work.order.is_sorted_by_key(|id| std::cmp::Reverse(work.files.get(id.0).map(|file| file.stamp.size)));
    let mut costs: Vec<u64> = work.files.iter().map(|file| if is_by_size { file.stamp.size } else { 1 }).collect();
    if !is_by_size {
        for (place, id) in work.order.iter().rev().enumerate() {
            if let Some(cost) = costs.get_mut(id.0) {
                *cost = place as u64;
            }
        }
    }
    let videos = work.files.iter().zip(costs).zip(&work.videos);
    videos.map(|((file, cost), video)| claims::item(file, cost, &video.status)).collect()
}

/// Marks queued videos that may crash their worker: each of them runs alone in one.
pub(crate) fn mark_suspects(work: &mut Work, suspects: &BTreeSet<String>) {
    for name in suspects {
        if let Ok(id) = work.files.binary_search_by(|file| file.name.as_str().cmp(name))
            && let Some(video) = work.videos.get_mut(VideoId(id))
        {
            video.suspect = true;
        }
    }
}
