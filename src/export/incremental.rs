//! Exports that grow during a run: each finished video is written at once, in formats with one file per video.
//!
//! The export at the end of the run and `reeldeck export` keep these files, remove what does not belong to the dataset any more, and
//! add `dataset.json`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use reeldeck_common::atomic::Owner;
use reeldeck_common::feature::{Feature, FeatureError, Header};
use reeldeck_common::feature_status::FeatureStatus;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::Recipe;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::inventory::{from, id};
use super::manifest::{ExportRecord, locked, put};
use super::{ExportSpec, dataset};
use crate::dataset::shown;
use crate::format::{Axes, Format};

/// Why a video was not exported during the run. Its feature is not affected.
#[derive(Debug, thiserror::Error)]
pub enum IncrementalError {
    /// The format has one file for all videos.
    #[error("{} is one file for all videos and cannot be written as the run goes; choose csv, npy or npz", .0.name())]
    Format(Format),
    /// The feature cannot be read.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// The feature does not have the output that is exported.
    #[error("failed to export {video}: {why}")]
    Lacks {
        /// The video.
        video: VideoName,
        /// The status of the feature.
        why: FeatureStatus,
    },
    /// Another video has its file name.
    #[error("{video} is not exported: {holder} has the same name without the extension; rename one of them")]
    SharedName {
        /// The video.
        video: VideoName,
        /// The first video of this name, which has the file.
        holder: VideoName,
    },
    /// The file cannot be written.
    #[error("failed to write to {}; `reeldeck export` writes what is missing there later", shown(folder))]
    Write {
        /// The folder of the export.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Exports that are written during a run. There is one writer per run.
#[derive(Debug)]
pub struct Incremental {
    owner: Owner,
    exports: Vec<Export>,
    /// The video that owns each file name. `reeldeck export` decides about other videos of the same name.
    holders: HashMap<String, VideoName>,
    /// The feature of each file name that was exported.
    exported: BTreeMap<String, PathBuf>,
}

#[derive(Debug)]
struct Export {
    spec: ExportSpec,
    folder: PathBuf,
    record: Mutex<ExportRecord>,
}

impl Incremental {
    /// Creates the folders of these formats. Logits are exported, or the recipe's first output if it has no logits.
    ///
    /// # Errors
    /// A format with one file for all videos, and folders that cannot be created.
    pub fn new(layout: &Layout, recipe: &Recipe, formats: &[Format], owner: &Owner) -> Result<Self, IncrementalError> {
        let output = recipe.main_output();
        let export = |format: &Format| {
            if !format.is_a_file_a_video() {
                return Err(IncrementalError::Format(*format));
            }
            let spec = ExportSpec { format: *format, output, axes: Axes::Tc, compact: false, half: false };
            let folder = spec.folder(layout);
            let failed = |source| IncrementalError::Write { folder: folder.clone(), source };
            fs::create_dir_all(&folder).map_err(failed)?;
            let record = ExportRecord::open(&folder).map_err(failed)?;
            Ok(Export { spec, record: Mutex::new(record), folder })
        };
        let exports = formats.iter().map(export).collect::<Result<_, _>>()?;
        Ok(Self { owner: owner.clone(), exports, holders: HashMap::new(), exported: BTreeMap::new() })
    }

    /// Names the videos of the dataset: of several with one file name, the first has the file, as in `reeldeck export`.
    pub fn name_videos<'v>(&mut self, videos: impl Iterator<Item = &'v VideoName>) {
        let mut videos: Vec<&VideoName> = videos.collect();
        videos.sort_unstable_by(|a, b| id(a).cmp(id(b)).then_with(|| a.cmp(b)));
        for same in videos.chunk_by(|a, b| id(a) == id(b)).filter(|same| same.len() > 1) {
            if let [first, ..] = same {
                self.holders.insert(id(first).to_owned(), VideoName::clone(first));
            }
        }
    }

    /// Whether no format is exported.
    pub fn is_empty(&self) -> bool {
        self.exports.is_empty()
    }

    /// The features whose exported files were removed since. [`Self::write`] exports them again.
    pub fn removed(&self) -> Vec<PathBuf> {
        let is_there = |export: &Export, id: &str| export.folder.join(export.spec.file(id)).exists();
        let lacks = |id: &str| !self.exports.iter().all(|export| is_there(export, id));
        self.exported.iter().filter(|(id, _)| lacks(id)).map(|(_, feature)| feature.clone()).collect()
    }

    /// Exports a feature file, unless all formats have it already. Reads it once for all formats.
    ///
    /// # Errors
    /// A feature that cannot be read, and errors of the file system. Other videos are not affected.
    pub fn write(&mut self, path: &Path) -> Result<(), IncrementalError> {
        if self.is_empty() {
            return Ok(());
        }
        let read = |source| FeatureError::Read { path: path.to_owned(), source };
        // Read before the content, so that a write in between makes the file look changed.
        let stamp = SourceStamp::read(path).map_err(read)?;
        let header = Header::read(path)?;
        let (video, from) = (&header.provenance.video, from(&header.digest, stamp));
        let holder = self.holders.entry(id(video).to_owned()).or_insert_with(|| video.clone());
        if holder != video {
            return Err(IncrementalError::SharedName { video: video.clone(), holder: holder.clone() });
        }
        self.exported.insert(id(video).to_owned(), path.to_owned());
        let is_kept = |export: &Export| locked(&export.record).kept(&export.spec.file(id(video)), &from).is_some();
        if self.exports.iter().all(is_kept) {
            return Ok(());
        }
        let feature = Feature::read(path)?;
        for Export { spec, folder, record } in &mut self.exports {
            let Some(matrix) = feature.tensors.get(spec.output.name()) else {
                return Err(IncrementalError::Lacks { video: video.clone(), why: FeatureStatus::Lacks(spec.output) });
            };
            let put_one = || {
                let file = spec.file(id(video));
                if locked(record).kept(&file, &from).is_some() {
                    return Ok(());
                }
                // From here on `dataset.json` no longer describes the folder.
                dataset::remove(folder)?;
                let mut bytes = vec![];
                spec.encode(matrix, &mut bytes)?;
                put(record, &file, &from, &bytes, &self.owner)?;
                locked(record).add(&file, &from)?;
                // An export may have run meanwhile: it replaces the record, and describes the folder without this file.
                locked(record).close();
                dataset::remove(folder)
            };
            put_one().map_err(|source| IncrementalError::Write { folder: folder.clone(), source })?;
        }
        Ok(())
    }
}
