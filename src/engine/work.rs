//! What a run has to do, from the files of the output folder and the journals of earlier runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use reeldeck_claims::Item;
use reeldeck_common::layout::Layout;
use typed_index_collections::TiVec;

use crate::config::{QueueOrder, Settings};
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::engine::assess::{self, Policy};
use crate::engine::state::{Status, VideoId, Work};
use crate::engine::{claims, excluded};

/// The policy of the settings: which videos count as done.
pub(crate) fn policy(settings: &Settings) -> Policy {
    Policy { retry_failed: settings.retry_failed, redo_stale: settings.redo_stale }
}

/// Reads the state of each video and queues the unfinished ones. Writes nothing.
///
/// # Errors
/// When the output folder cannot be read.
pub(crate) fn find(settings: &Settings, layout: &Layout, files: Arc<[VideoFile]>) -> Result<Work> {
    let found = assess::assess(layout, &settings.recipe, &files)
        .with_context(|| format!("failed to look through {}", shown(layout.out())))?;
    let excluded = excluded::read(&layout.private())
        .with_context(|| format!("failed to read {}", shown(&excluded::path(&layout.private()))))?;
    let policy = policy(settings);
    let mut left = settings.limit.unwrap_or(usize::MAX);
    let mut videos = TiVec::with_capacity(files.len());
    for (file, found) in files.iter().zip(found) {
        let mut video = policy.video(found);
        if excluded.contains(&file.name) {
            video.exclude();
        } else if video.status == Status::Queued {
            match left {
                0 => video.status = Status::LeftOut,
                _ => left -= 1,
            }
        }
        videos.push(video);
    }
    let mut order: Vec<VideoId> =
        videos.iter_enumerated().filter(|(_, v)| v.status == Status::Queued).map(|(id, _)| id).collect();
    if settings.engine.order == QueueOrder::LargestFirst {
        order.sort_by_key(|id| std::cmp::Reverse(files.get(id.0).map(|file| file.stamp.size)));
    }
    Ok(Work { files, videos, order })
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
