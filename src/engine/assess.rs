//! Finds out from the output folder which videos are done, stale, failed or unfinished.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reeldeck_common::atomic::{self, Sweeper};
use reeldeck_common::damaged::DamagedFeatures;
use reeldeck_common::error::{ErrorKind, Failure, is_absent, is_content};
use reeldeck_common::failure::FailureFile;
use reeldeck_common::feature::{Feature, FrameCounts, Header};
use reeldeck_common::layout::{Layout, files_below};
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::state::{Status, Video};
use crate::dataset::scan::VideoFile;
use crate::error::line_of;

/// What the output folder holds of a video.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StoredResult {
    /// A feature of the current version of the file.
    Done {
        /// Some frames were lost or concealed, within the tolerance.
        degraded: bool,
    },
    /// A feature of an earlier version of the file, whose current version has not failed.
    Stale,
    /// The same with outputs that the recipe does not store, so that an extraction would remove them.
    StaleWithMore,
    /// A feature that is damaged.
    Damaged,
    /// A feature that lacks an output of the recipe, or is more damaged than it accepts. An extraction replaces it.
    Lacking,
    /// A failure file of the current version of the file.
    Failed(Box<FailureFile>),
    /// A file that cannot be read at present, with the reason. The video may be done.
    Unreadable(String),
    /// Nothing usable.
    Nothing,
}

/// Looks at what the output folder holds for each video, in the same order. Reads headers, and the list of features that are
/// known to be damaged.
///
/// # Errors
/// When an existing folder cannot be listed, or the list cannot be read.
pub(crate) fn assess(layout: &Layout, recipe: &Recipe, videos: &[VideoFile]) -> io::Result<Vec<StoredResult>> {
    // Listing the folders is cheaper than a lookup per file.
    let features = names(&layout.features())?;
    let failures = names(&layout.failures())?;
    let damaged = DamagedFeatures::read(layout)?;
    let folder = OutputFolder { layout, recipe, damaged: &damaged };
    let look = |video: &VideoFile| {
        let feature = features.contains(&format!("{}.safetensors", video.name));
        let failure = failures.contains(&format!("{}.json", video.name));
        folder.look(video, feature, failure)
    };
    Ok(videos.iter().map(look).collect())
}

/// The same for a few videos, without listing the folders.
///
/// # Errors
/// When the list of damaged features cannot be read.
pub(crate) fn look_each(layout: &Layout, recipe: &Recipe, videos: &[VideoFile]) -> io::Result<Vec<StoredResult>> {
    let damaged = DamagedFeatures::read(layout)?;
    let folder = OutputFolder { layout, recipe, damaged: &damaged };
    Ok(videos.iter().map(|video| folder.look(video, true, true)).collect())
}

/// Looks at what the output folder holds for one video.
pub(crate) fn look(layout: &Layout, recipe: &Recipe, video: &VideoFile) -> StoredResult {
    match DamagedFeatures::read(layout) {
        Ok(damaged) => OutputFolder { layout, recipe, damaged: &damaged }.look(video, true, true),
        Err(error) => StoredResult::Unreadable(format!("failed to read the list of damaged features: {error}")),
    }
}

/// The outputs in a video's feature that the recipe does not store: another extraction would remove them. None if it has no feature of
/// this set that can be read.
pub(crate) fn other_outputs(layout: &Layout, recipe: &Recipe, video: &VideoName) -> Vec<Output> {
    let header = Header::read(&layout.feature(video)).ok();
    let Some(header) = header.filter(|header| header.provenance.set == layout.set()) else { return vec![] };
    let others = Output::ALL.into_iter().filter(|output| !recipe.outputs.contains(output));
    others.filter(|output| header.shapes.contains_key(output.name())).collect()
}

struct OutputFolder<'a> {
    layout: &'a Layout,
    recipe: &'a Recipe,
    damaged: &'a DamagedFeatures,
}

impl OutputFolder<'_> {
    /// `may_be_done` and `may_have_failed` tell whether the folder may contain a feature and a failure file.
    fn look(&self, video: &VideoFile, may_be_done: bool, may_have_failed: bool) -> StoredResult {
        let feature = if may_be_done { self.feature(video) } else { StoredResult::Nothing };
        let is_usable = matches!(feature, StoredResult::Done { .. } | StoredResult::Unreadable(_));
        if is_usable || !may_have_failed {
            return feature;
        }
        match FailureFile::of_version(&self.layout.failure(&video.name), video.stamp) {
            Ok(Some(failure)) => StoredResult::Failed(Box::new(failure)),
            // A damaged failure file is ignored.
            Err(error) if !is_content(&error) => StoredResult::Unreadable(format!(
                "failed to read {}: {error}",
                self.layout.failure(&video.name).display()
            )),
            _ => feature,
        }
    }

    fn feature(&self, video: &VideoFile) -> StoredResult {
        let path = self.layout.feature(&video.name);
        let header = match Header::read(&path) {
            Ok(header) => header,
            Err(error) if error.is_absent() => return StoredResult::Nothing,
            Err(error) if error.is_damage() => return StoredResult::Damaged,
            Err(error) => return StoredResult::Unreadable(line_of(&error)),
        };
        let own = &header.provenance;
        // A feature of another video, or of another set, says nothing about this one.
        if own.set != self.layout.set() || own.video != video.name {
            return StoredResult::Nothing;
        }
        if !header.satisfies(self.recipe) {
            return StoredResult::Lacking;
        }
        match self.damaged.contains(&video.name, &path) {
            Ok(true) => StoredResult::Damaged,
            Err(error) if !is_absent(&error) => {
                StoredResult::Unreadable(format!("failed to read {}: {error}", path.display()))
            }
            _ if header.provenance.source == video.stamp => {
                StoredResult::Done { degraded: header.provenance.frames.is_damaged() }
            }
            _ => StoredResult::Stale,
        }
    }
}

/// Which videos a run extracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Retry failed videos.
    pub retry_failed: bool,
    /// Extract changed videos again.
    pub redo_stale: bool,
}

impl Policy {
    /// A video at the start of a run.
    pub(crate) fn video(&self, found: StoredResult) -> Video {
        let damaged = found == StoredResult::Damaged;
        let (recorded, attempts, crashed) = match &found {
            StoredResult::Failed(file) => (
                u32::try_from(file.attempts.len()).unwrap_or(u32::MAX),
                file.unfinished().filter(|_| !self.retry_failed).unwrap_or(0),
                file.last().is_some_and(|last| last.failure.kind.is_crash()),
            ),
            _ => (0, 0, false),
        };
        let mut video = Video::new(self.status(found));
        // The attempts of the run that ended before the next one count, so that they have the limit of a single run.
        (video.recorded, video.attempts, video.suspect) = (recorded, attempts, attempts > 0 && crashed);
        video.damaged = damaged;
        video.feature |= damaged;
        video
    }

    /// The status of a video at the start of a run.
    pub(crate) fn status(&self, found: StoredResult) -> Status {
        match found {
            StoredResult::Done { degraded } => return Status::Done { degraded, resumed: true },
            StoredResult::Stale if !self.redo_stale => return Status::Stale,
            StoredResult::StaleWithMore => return Status::Stale,
            StoredResult::Failed(file) if !self.retry_failed && file.unfinished().is_none() => {
                if let Some(last) = file.last() {
                    return Status::Failed { failure: Box::new(last.failure.clone()), before: true, unreadable: false };
                }
            }
            // The video may be done. It is reported, and not extracted again unasked.
            StoredResult::Unreadable(reason) if !self.retry_failed => {
                let failure = Box::new(Failure::new(ErrorKind::Io, reason));
                return Status::Failed { failure, before: true, unreadable: true };
            }
            _ => {}
        }
        Status::Queued
    }
}

/// The frame counts of a video's feature, where it is undamaged and of the current version of the file.
pub(crate) fn counts_of(
    layout: &Layout,
    recipe: &Recipe,
    video: &VideoName,
    path: &Path,
) -> Option<(FrameCounts, usize)> {
    let header = Feature::read(&layout.feature(video)).ok()?.header().ok()?;
    let is_of_it = header.provenance.set == layout.set() && header.provenance.video == *video;
    let provenance = (is_of_it && header.satisfies(recipe)).then_some(header.provenance)?;
    let rows = recipe.sampling.rows(provenance.sampled_frames());
    (SourceStamp::read(path).ok()? == provenance.source).then_some((provenance.frames, rows))
}

fn names(folder: &Path) -> io::Result<HashSet<String>> {
    Ok(files_below(folder)?.into_iter().collect())
}

/// Removes the failure files of videos that have a feature, which an engine that was killed has left. Call only at the
/// start of an engine.
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

/// Removes the temporary files of processes that no longer run.
///
/// # Errors
/// When a folder cannot be listed.
pub(crate) fn sweep(layout: &Layout, sweeper: &Sweeper) -> io::Result<()> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(layout.out()) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
        Err(error) if is_absent(&error) => vec![],
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
    for folder in [layout.out().join("annotations"), layout.out().join("missing"), layout.private()] {
        atomic::sweep_folder(&folder, sweeper)?;
    }
    Ok(())
}
