//! What a run has to do, from the files of the output folder and the journals of earlier runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use reeldeck_claims::Item;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_common::video::VideoName;
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
    let excluded = excluded::read(&layout.private())?;
    let policy = policy(settings);
    let mut left = settings.limit.unwrap_or(usize::MAX);
    let mut videos = TiVec::with_capacity(files.len());
    // Those whose features the run would replace.
    let mut replaced = vec![];
    for (file, found) in files.iter().zip(found) {
        // A failed video may have a feature of an earlier version of its file.
        let has_feature = matches!(found, StoredResult::Lacking | StoredResult::Stale | StoredResult::Failed(_));
        let mut video = policy.video(found);
        if excluded.contains(&file.name) {
            video.exclude();
        } else if video.status == Status::Queued {
            match left {
                0 => video.status = Status::LeftOut,
                _ => {
                    left -= 1;
                    replaced.extend(has_feature.then_some(&file.name));
                }
            }
        }
        videos.push(video);
    }
    if let Some(why) = removes(layout, &settings.recipe, replaced) {
        return Err(ExitError::new(Exit::Usage, why).into());
    }
    let mut order: Vec<VideoId> =
        videos.iter_enumerated().filter(|(_, v)| v.status == Status::Queued).map(|(id, _)| id).collect();
    if settings.engine.order == QueueOrder::LargestFirst {
        order.sort_by_key(|id| std::cmp::Reverse(files.get(id.0).map(|file| file.stamp.size)));
    }
    Ok(Work { files, videos, order })
}

/// Why these videos are not extracted again: it would remove outputs of their features that the recipe does not store. `None` if it
/// removes nothing.
pub(crate) fn removes<'v>(
    layout: &Layout,
    recipe: &Recipe,
    videos: impl IntoIterator<Item = &'v VideoName>,
) -> Option<String> {
    let removed = videos.into_iter().map(|video| assess::other_outputs(layout, recipe, video));
    let removed: Vec<Vec<Output>> = removed.filter(|outputs| !outputs.is_empty()).collect();
    if removed.is_empty() {
        return None;
    }
    let names =
        |outputs: &mut dyn Iterator<Item = &Output>| outputs.map(|o| o.name()).collect::<Vec<_>>().join(" and ");
    let all: BTreeSet<&Output> = removed.iter().flatten().collect();
    let (lost, wanted) = (names(&mut all.iter().copied()), names(&mut recipe.outputs.iter()));
    Some(format!(
        "{} in {} would be replaced: the recipe {} stores {wanted}, and their {lost} would be lost; add {lost:?} to `outputs` in \
         the recipe, or give the recipe another name, or remove the folder",
        count(removed.len(), "feature", "features"),
        shown(&layout.features()),
        recipe.name,
    ))
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
