//! Exports that grow as the run goes: each finished video is written at once, in formats with a file for each video.
//!
//! `reeldeck export` later keeps these files, removes what no longer belongs to them, and adds `dataset.json`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reeldeck_common::atomic::Owner;
use reeldeck_common::feature::{Feature, FeatureError};
use reeldeck_common::feature_status::FeatureStatus;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::folder::put;
use super::inventory::{from, id};
use super::manifest::Manifest;
use super::{Variant, dataset};
use crate::dataset::shown;
use crate::format::{Axes, Format};

/// Why a video was not written as the run goes. The feature itself is not touched by it.
#[derive(Debug, thiserror::Error)]
pub enum IncrementalError {
    /// The format is one file for all videos.
    #[error("{} is one file for all videos and cannot be written as the run goes; choose csv, npy or npz", .0.name())]
    Format(Format),
    /// The feature cannot be read.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// The feature lacks what is to be written.
    #[error("failed to export {video}: {why}")]
    Lacks {
        /// The video.
        video: VideoName,
        /// What is missing.
        why: FeatureStatus,
    },
    /// The disk does not take it.
    #[error("failed to write to {}; `reeldeck export` writes what is missing there later", shown(folder))]
    Write {
        /// The export's folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Exports that are written as the run goes. One writer for a run: it may be moved to another thread, not shared.
#[derive(Debug)]
pub struct Incremental {
    owner: Owner,
    exports: Vec<Export>,
    /// Which video has a name; another one of the same name is left to `reeldeck export` to decide about.
    holders: HashMap<String, VideoName>,
}

#[derive(Debug)]
struct Export {
    variant: Variant,
    folder: PathBuf,
    record: Manifest,
}

impl Incremental {
    /// Prepares the folders; none for no formats. Logits are exported, or the recipe's first output where it has none.
    ///
    /// # Errors
    /// A format that is one file for all videos, and folders that cannot be made.
    pub fn new(layout: &Layout, recipe: &Recipe, formats: &[Format], owner: &Owner) -> Result<Self, IncrementalError> {
        let logits = Some(Output::Logits).filter(|output| recipe.outputs.contains(output));
        let output = logits.or(recipe.outputs.first().copied()).unwrap_or(Output::Logits);
        let export = |format: &Format| {
            if !format.is_a_file_a_video() {
                return Err(IncrementalError::Format(*format));
            }
            let variant = Variant { format: *format, output, axes: Axes::Tc, compact: false };
            let folder = variant.folder(layout);
            fs::create_dir_all(&folder).map_err(|source| IncrementalError::Write { folder: folder.clone(), source })?;
            Ok(Export { variant, record: Manifest::open(&folder), folder })
        };
        let exports = formats.iter().map(export).collect::<Result<_, _>>()?;
        Ok(Self { owner: owner.clone(), exports, holders: HashMap::new() })
    }

    /// Whether there is anything to do at all.
    pub fn is_empty(&self) -> bool {
        self.exports.is_empty()
    }

    /// Exports a feature file that was just finished. Reads it whole, once for all formats.
    ///
    /// # Errors
    /// A feature that cannot be read, and whatever the disk reports. The other videos are not affected.
    pub fn write(&mut self, path: &Path) -> Result<(), IncrementalError> {
        if self.is_empty() {
            return Ok(());
        }
        let read = |source| FeatureError::Read { path: path.to_owned(), source };
        // Before the content: what is written in between makes the file look changed, not unchanged.
        let stamp = SourceStamp::read(path).map_err(read)?;
        let feature = Feature::read(path)?;
        let from = from(&feature.header().map_err(read)?.digest, stamp);
        let video = &feature.provenance.video;
        let holder = self.holders.entry(id(video).to_owned()).or_insert_with(|| video.clone());
        if holder != video {
            return Ok(());
        }
        for Export { variant, folder, record } in &mut self.exports {
            let Some(matrix) = feature.tensors.get(variant.output.name()) else {
                return Err(IncrementalError::Lacks {
                    video: video.clone(),
                    why: FeatureStatus::Lacks(variant.output),
                });
            };
            let mut put_one = || {
                let file = variant.file(id(video));
                if record.kept(&file, &from).is_some() {
                    return Ok(());
                }
                // From here on the folder is no longer what this file describes.
                dataset::remove(folder)?;
                let mut bytes = vec![];
                variant.encode(matrix, &mut bytes)?;
                put(&folder.join(&file), &bytes, &self.owner)?;
                record.add(&file, &from).map(drop)
            };
            put_one().map_err(|source| IncrementalError::Write { folder: folder.clone(), source })?;
        }
        Ok(())
    }
}
