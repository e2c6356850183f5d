//! The paths under the output folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::video::VideoName;

/// The paths of one feature set (`<recipe>-<hash8>`) under an output folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    out: PathBuf,
    set: String,
}

impl Layout {
    /// The paths under the output folder `out` for the feature set `set`, which [`crate::recipe::Recipe::set_name`] names.
    pub fn new(out: &Path, set: &str) -> Self {
        Self { out: out.to_owned(), set: set.to_owned() }
    }

    /// The feature set's name.
    pub fn set(&self) -> &str {
        &self.set
    }

    /// The output folder itself.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// The list of videos, in the format of the original feature extraction script.
    pub fn list(&self) -> PathBuf {
        self.out.join("hacs_data.txt")
    }

    /// The folder of the set's features.
    pub fn features(&self) -> PathBuf {
        self.out.join("features").join(&self.set)
    }

    /// The folder of the set's failure files.
    pub fn failures(&self) -> PathBuf {
        self.out.join("failures").join(&self.set)
    }

    /// The folder of the set's exports.
    pub fn exports(&self) -> PathBuf {
        self.out.join("exports").join(&self.set)
    }

    /// The feature file of a video. Its name keeps the video's extension, so that `a.mp4` and `a.webm` have different files.
    pub fn feature(&self, video: &VideoName) -> PathBuf {
        self.features().join(video.class()).join(format!("{}.safetensors", video.file()))
    }

    /// The failure file of a video.
    pub fn failure(&self, video: &VideoName) -> PathBuf {
        self.failures().join(video.class()).join(format!("{}.json", video.file()))
    }

    /// Creates the folders of this set.
    ///
    /// # Errors
    /// When a folder cannot be created.
    pub fn prepare(&self) -> io::Result<()> {
        [self.features(), self.failures(), self.private()].iter().try_for_each(fs::create_dir_all)
    }

    /// The folder of locks, logs and journals.
    pub fn private(&self) -> PathBuf {
        self.out.join(".reeldeck")
    }
}
