//! Where everything lies under the output folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::video::VideoName;

/// Paths under one output folder for one feature set (`<recipe>-<hash8>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    out: PathBuf,
    set: String,
}

impl Layout {
    /// `out` is the output folder, `set` the feature set's name from [`crate::recipe::Recipe::set_name`].
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

    /// The list of videos, in the format of the original.
    pub fn list(&self) -> PathBuf {
        self.out.join("hacs_data.txt")
    }

    /// The folder of this set's features.
    pub fn features(&self) -> PathBuf {
        self.out.join("features").join(&self.set)
    }

    /// The folder of this set's failures.
    pub fn failures(&self) -> PathBuf {
        self.out.join("failures").join(&self.set)
    }

    /// The folder of this set's exports.
    pub fn exports(&self) -> PathBuf {
        self.out.join("exports").join(&self.set)
    }

    /// The feature file of one video. The video's own extension stays, so that `a.mp4` and `a.webm` do not meet.
    pub fn feature(&self, video: &VideoName) -> PathBuf {
        self.features().join(video.class()).join(format!("{}.safetensors", video.file()))
    }

    /// The failure file of one video.
    pub fn failure(&self, video: &VideoName) -> PathBuf {
        self.failures().join(video.class()).join(format!("{}.json", video.file()))
    }

    /// Makes the folders of this set, in which all else is written.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn prepare(&self) -> io::Result<()> {
        [self.features(), self.failures(), self.private()].iter().try_for_each(fs::create_dir_all)
    }

    /// Locks, logs and journals: reeldeck's own business.
    pub fn private(&self) -> PathBuf {
        self.out.join(".reeldeck")
    }
}
