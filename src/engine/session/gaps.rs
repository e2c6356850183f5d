//! Videos of the manifest without a file, and features without a video.

use anyhow::Context;
use reeldeck_common::layout::Layout;
use reeldeck_common::video::VideoName;

use crate::config::Settings;
use crate::dataset::manifest::Manifest;
use crate::dataset::matching::Matches;
use crate::dataset::scan::Scan;
use crate::dataset::{features_without_video, shown};
use crate::error::ExitError;

/// Differences between the dataset folder, the manifest and the features.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DatasetMismatch {
    /// Ids of the videos in the manifest that are not in the dataset folder, in its order.
    pub missing: Vec<String>,
    /// Videos that have a feature and are not in the dataset folder, sorted.
    pub without_video: Vec<VideoName>,
}

impl DatasetMismatch {
    /// Compares the dataset folder with the manifest, unless the run waits for clients, and with the features. Nothing is known
    /// to be missing while a part of the folder cannot be read.
    ///
    /// # Errors
    /// When the manifest or the folder of the features cannot be read.
    pub(super) fn find(settings: &Settings, layout: &Layout, scan: &Scan, waits: bool) -> anyhow::Result<Self> {
        let path = settings.manifest.as_deref().filter(|_| !waits);
        let manifest = path.map(|path| Manifest::read(path, &settings.prefix)).transpose().map_err(ExitError::from)?;
        if scan.unreadable(&settings.out).is_some() {
            return Ok(Self::default());
        }
        let missing = |manifest: &Manifest| {
            let matches = Matches::new(manifest, &scan.videos);
            let missing = matches.videos().filter(|video| video.files.is_empty());
            missing.map(|video| video.id.to_owned()).collect()
        };
        let without_video = features_without_video(layout, &scan.videos)
            .with_context(|| format!("failed to list the features in {}", shown(&layout.features())))?;
        let missing = manifest.as_ref().map(missing).unwrap_or_default();
        Ok(Self { missing, without_video })
    }
}
