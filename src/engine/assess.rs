//! What is already there when a run begins: the files say which videos are done, stale, failed, or still to do.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use reeldeck_common::atomic::Sweeper;
use reeldeck_common::failure::FailureFile;
use reeldeck_common::feature::{FrameCounts, Header};
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::Recipe;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::state::Status;
use crate::dataset::scan::VideoFile;
use crate::dataset::shard::Shard;

/// What the output folder says about one video.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Its feature is there and is of this very file.
    Done {
        /// Some frames were lost or concealed, but few enough.
        degraded: bool,
    },
    /// Its feature is there, and the file has changed since.
    Stale,
    /// It failed before, and the file is the same.
    Failed(Box<FailureFile>),
    /// Nothing usable is there.
    Nothing,
}

/// Looks at what the output folder holds for each video, in the same order. Reads headers only.
///
/// # Errors
/// When a folder is there and cannot be listed.
pub fn assess(layout: &Layout, recipe: &Recipe, videos: &[VideoFile]) -> io::Result<Vec<Found>> {
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
pub fn look(layout: &Layout, recipe: &Recipe, video: &VideoFile) -> Found {
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

/// What of that a run takes for done, and what it is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The part of the videos that is worked on.
    pub shard: Shard,
    /// Try failed videos again.
    pub retry_failed: bool,
    /// Extract changed videos again.
    pub redo_stale: bool,
}

impl Policy {
    /// Where a video stands before anything is done.
    pub fn status(&self, name: &VideoName, found: Found) -> Status {
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

/// The header of a video's feature, where it is there and has all that is asked for.
fn usable(layout: &Layout, recipe: &Recipe, video: &VideoName) -> Option<Header> {
    let header = Header::read(&layout.feature(video)).ok()?;
    (header.provenance.set == layout.set() && header.satisfies(recipe)).then_some(header)
}

/// What a video's feature says of its frames, where it is there and is of the file as it is now.
pub fn frames_of(layout: &Layout, recipe: &Recipe, video: &VideoName, path: &Path) -> Option<FrameCounts> {
    let provenance = usable(layout, recipe, video)?.provenance;
    (SourceStamp::read(path).ok()? == provenance.source).then_some(provenance.frames)
}

/// `Class/file` of every file two levels under `folder`: one listing a class is cheaper than asking for each file.
fn names(folder: &Path) -> io::Result<HashSet<String>> {
    let mut names = HashSet::new();
    for class in entries(folder)? {
        for file in entries(&folder.join(&class))? {
            names.insert(format!("{class}/{file}"));
        }
    }
    Ok(names)
}

fn entries(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(vec![]),
        Err(error) => Err(error),
    }
}

/// Removes the failure files of videos that have their feature: an engine that was killed did not get to it. Call only while
/// holding the lock.
///
/// # Errors
/// When a folder cannot be listed.
pub fn forget_failures<'v>(layout: &Layout, done: impl Iterator<Item = &'v VideoName>) -> io::Result<()> {
    let failures = names(&layout.failures())?;
    if failures.is_empty() {
        return Ok(());
    }
    for video in done.filter(|video| failures.contains(&format!("{video}.json"))) {
        // A feature beats a failure file, so one that stays does no harm.
        let _ = fs::remove_file(layout.failure(video));
    }
    Ok(())
}

/// Removes what was left half written by those that `sweeper` knows to be gone. Call only while holding the lock.
///
/// # Errors
/// When a folder cannot be listed.
pub fn sweep(layout: &Layout, sweeper: &Sweeper) -> io::Result<()> {
    let mut folders = vec![layout.out().to_owned()];
    for folder in [layout.features(), layout.failures(), layout.exports()] {
        folders.extend(entries(&folder)?.into_iter().map(|class| folder.join(class)));
        folders.push(folder);
    }
    for folder in folders {
        for name in entries(&folder)?.into_iter().filter(|name| sweeper.may_remove(name)) {
            // One that stays takes room and is never mistaken for a feature.
            let _ = fs::remove_file(folder.join(name));
        }
    }
    Ok(())
}
