//! Finds out from the output folder which videos are done, stale, failed or unfinished.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reeldeck_common::atomic::Sweeper;
use reeldeck_common::failure::FailureFile;
use reeldeck_common::feature::{FrameCounts, Header};
use reeldeck_common::layout::{Layout, files_below};
use reeldeck_common::recipe::Recipe;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::state::Status;
use crate::dataset::scan::VideoFile;
use crate::dataset::shard::Shard;

/// What the output folder holds of a video.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// A feature of the current version of the file.
    Done {
        /// Some frames were lost or concealed, within the tolerance.
        degraded: bool,
    },
    /// A feature of an earlier version of the file.
    Stale,
    /// A failure file of the current version of the file.
    Failed(Box<FailureFile>),
    /// Nothing usable.
    Nothing,
}

/// Looks at what the output folder holds for each video, in the same order. Reads headers only.
///
/// # Errors
/// When an existing folder cannot be listed.
pub(crate) fn assess(layout: &Layout, recipe: &Recipe, videos: &[VideoFile]) -> io::Result<Vec<Found>> {
    // Listing the folders is cheaper than a lookup per file.
    let features = names(&layout.features())?;
    let failures = names(&layout.failures())?;
    Ok(videos.iter().map(|video| assess_one(layout, recipe, video, &features, &failures)).collect())
}

fn assess_one(
    layout: &Layout,
    recipe: &Recipe,
    video: &VideoFile,
    features: &HashSet<String>,
    failures: &HashSet<String>,
) -> Found {
    let name = &video.name;
    let feature = features.contains(&format!("{name}.safetensors"));
    judge(layout, recipe, video, feature, || failures.contains(&format!("{name}.json")))
}

/// Looks at what the output folder holds for one video.
pub(crate) fn look(layout: &Layout, recipe: &Recipe, video: &VideoFile) -> Found {
    judge(layout, recipe, video, true, || true)
}

fn judge(
    layout: &Layout,
    recipe: &Recipe,
    video: &VideoFile,
    may_be_done: bool,
    may_have_failed: impl Fn() -> bool,
) -> Found {
    let name = &video.name;
    if may_be_done && let Some(header) = usable(layout, recipe, name) {
        return match header.provenance.source == video.stamp {
            true => Found::Done { degraded: header.provenance.frames.is_damaged() },
            false => Found::Stale,
        };
    }
    if may_have_failed()
        && let Ok(Some(failure)) = FailureFile::read(&layout.failure(name))
        && failure.source == Some(video.stamp)
    {
        return Found::Failed(Box::new(failure));
    }
    Found::Nothing
}

/// Which videos a run extracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Only videos of this shard.
    pub shard: Shard,
    /// Retry failed videos.
    pub retry_failed: bool,
    /// Extract changed videos again.
    pub redo_stale: bool,
}

impl Policy {
    /// The status of a video at the start of a run.
    pub(crate) fn status(&self, name: &VideoName, found: Found) -> Status {
        match found {
            Found::Done { degraded } => return Status::Done { degraded, resumed: true },
            Found::Stale if !self.redo_stale => return Status::Stale,
            Found::Failed(file) if !self.retry_failed => {
                if let Some(last) = file.last() {
                    return Status::Failed { failure: Box::new(last.failure.clone()), before: true };
                }
            }
            _ => {}
        }
        if self.shard.has(name) { Status::Queued } else { Status::LeftOut }
    }
}

/// The header of a video's feature, where it satisfies the recipe.
fn usable(layout: &Layout, recipe: &Recipe, video: &VideoName) -> Option<Header> {
    let header = Header::read(&layout.feature(video)).ok()?;
    (header.provenance.set == layout.set() && header.satisfies(recipe)).then_some(header)
}

/// The frame counts of a video's feature, where it is of the current version of the file.
pub(crate) fn frames_of(layout: &Layout, recipe: &Recipe, video: &VideoName, path: &Path) -> Option<FrameCounts> {
    let provenance = usable(layout, recipe, video)?.provenance;
    (SourceStamp::read(path).ok()? == provenance.source).then_some(provenance.frames)
}

fn names(folder: &Path) -> io::Result<HashSet<String>> {
    Ok(files_below(folder)?.into_iter().collect())
}

/// Removes the failure files of videos that have a feature, which an engine that was killed has left. Call only while holding
/// the lock.
///
/// # Errors
/// When a folder cannot be listed.
pub(crate) fn forget_failures<'v>(layout: &Layout, done: impl Iterator<Item = &'v VideoName>) -> io::Result<()> {
    let failures = names(&layout.failures())?;
    if failures.is_empty() {
        return Ok(());
    }
    for video in done.filter(|video| failures.contains(&format!("{video}.json"))) {
        // A failure file that cannot be removed does no harm: a feature takes precedence.
        let _ = fs::remove_file(layout.failure(video));
    }
    Ok(())
}

/// Removes the temporary files of processes that no longer run. Call only while holding the lock.
///
/// # Errors
/// When a folder cannot be listed.
pub(crate) fn sweep(layout: &Layout, sweeper: &Sweeper) -> io::Result<()> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(layout.out()) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
        Err(error) => return Err(error),
    };
    for folder in [layout.features(), layout.failures(), layout.exports()] {
        paths.extend(files_below(&folder)?.into_iter().map(|file| folder.join(file)));
    }
    let may_be_removed = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        sweeper.may_remove(&name)
    };
    for path in paths.iter().filter(may_be_removed) {
        // A temporary file that cannot be removed only takes space.
        let _ = fs::remove_file(path);
    }
    Ok(())
}
