//! The list of damaged features: files whose header is intact and whose content does not match its checksum.
//!
//! A run decides by headers which videos are done, because reading all features takes too long. So whatever reads a whole
//! feature and finds it damaged adds it to this list, and the next run extracts the video again. An entry names the version
//! of the file: it no longer counts once the file was replaced.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::error::is_absent;
use crate::layout::Layout;
use crate::open;
use crate::source::SourceStamp;
use crate::video::VideoName;

/// The list's file name.
const FILE: &str = "damaged";
/// The largest list. An entry takes about 150 bytes, so this is more than a million.
const MAX_BYTES: u64 = 256 << 20;

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    set: String,
    video: VideoName,
    /// Size and modification time of the feature file, not of the video.
    feature: SourceStamp,
}

/// The damaged features of one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DamagedFeatures(HashMap<VideoName, SourceStamp>);

/// The path of the list.
pub fn path(layout: &Layout) -> PathBuf {
    layout.private().join(FILE)
}

/// Adds the feature of a video to the list, in the version that `feature` is the stamp of.
///
/// # Errors
/// When the list cannot be written.
pub fn add(layout: &Layout, video: &VideoName, feature: SourceStamp) -> io::Result<()> {
    fs::create_dir_all(layout.private())?;
    let entry = Entry { set: layout.set().to_owned(), video: video.clone(), feature };
    // The line break before the entry ends a line that a crash has cut. A single write appends atomically.
    let line = format!("\n{}\n", serde_json::to_string(&entry)?);
    open::append(&path(layout))?.write_all(line.as_bytes())
}

impl DamagedFeatures {
    /// Reads the list; it is empty when the file does not exist. Lines that are not entries are ignored.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn read(layout: &Layout) -> io::Result<Self> {
        let own = entries(layout)?.into_iter().filter(|entry| entry.set == layout.set());
        Ok(Self(own.map(|entry| (entry.video, entry.feature)).collect()))
    }

    /// Whether no feature is damaged.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the feature of this video in the file `path` is damaged.
    ///
    /// # Errors
    /// When the file's stamp cannot be read.
    pub fn contains(&self, video: &VideoName, path: &Path) -> io::Result<bool> {
        match self.0.get(video) {
            Some(stamp) => Ok(SourceStamp::read(path)? == *stamp),
            None => Ok(false),
        }
    }
}

/// The feature files of all sets in an output folder that are on the list and still in place, sorted.
///
/// # Errors
/// When the list or the stamp of a file cannot be read.
pub fn in_place(out: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for Entry { set, video, feature } in entries(&Layout::new(out, ""))? {
        let path = Layout::new(out, &set).feature(&video);
        match SourceStamp::read(&path) {
            Ok(stamp) if stamp == feature => files.push(path),
            Ok(_) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

fn entries(layout: &Layout) -> io::Result<Vec<Entry>> {
    let text = match bounded::read(&path(layout), MAX_BYTES) {
        Err(error) if is_absent(&error) => return Ok(vec![]),
        text => text?,
    };
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    // The set becomes part of a path, and other users may be able to write to this file.
    let is_name = |set: &str| !set.is_empty() && !set.starts_with('.') && !set.contains('/');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).filter(|entry: &Entry| is_name(&entry.set)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_feature_is_listed_until_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "set");
        let video = VideoName::new("A/v.mp4").unwrap();
        let feature = layout.feature(&video);
        assert!(DamagedFeatures::read(&layout).unwrap().is_empty());
        fs::create_dir_all(feature.parent().unwrap()).unwrap();
        fs::write(&feature, "damaged").unwrap();
        // As after a crash in the middle of a line.
        fs::create_dir_all(layout.private()).unwrap();
        fs::write(path(&layout), "{\"set\":\"se").unwrap();
        add(&layout, &video, SourceStamp::read(&feature).unwrap()).unwrap();
        let list = DamagedFeatures::read(&layout).unwrap();
        assert!(list.contains(&video, &feature).unwrap());
        assert_eq!(in_place(dir.path()).unwrap(), std::slice::from_ref(&feature));
        assert!(DamagedFeatures::read(&Layout::new(dir.path(), "other")).unwrap().is_empty());
        fs::write(&feature, "a new feature").unwrap();
        assert!(!list.contains(&video, &feature).unwrap());
        fs::remove_file(&feature).unwrap();
        assert!(in_place(dir.path()).unwrap().is_empty());
        assert!(list.contains(&video, &feature).is_err());
    }

    #[test]
    fn a_list_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "set");
        fs::create_dir_all(path(&layout)).unwrap();
        assert!(DamagedFeatures::read(&layout).is_err());
    }
}
