//! The videos that an engine knows: those of its first scan, shared and never copied, and those that came or changed since.

use std::collections::HashMap;
use std::sync::Arc;

use reeldeck_common::source::SourceStamp;

use super::ids::VideoId;
use crate::dataset::scan::VideoFile;

/// Videos by number. A number stays its video's for as long as the engine lives.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Sorted by name.
    base: Arc<[VideoFile]>,
    /// In the order in which they came; the first has the number after the last of `base`.
    more: Vec<VideoFile>,
    more_by_name: HashMap<Box<str>, VideoId>,
    /// Those of `base` that are another version of the file now.
    changed: HashMap<VideoId, VideoFile>,
}

impl Files {
    /// The videos of a scan, sorted by name.
    pub fn new(base: Arc<[VideoFile]>) -> Self {
        Self { base, ..Self::default() }
    }

    /// The videos of the scan, as they were.
    pub fn base(&self) -> &[VideoFile] {
        &self.base
    }

    /// How many numbers were given.
    pub fn len(&self) -> usize {
        self.base.len() + self.more.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// So many of the first were there from the beginning, and are sorted by name.
    pub fn sorted(&self) -> usize {
        self.base.len()
    }

    /// The video with this number.
    pub fn get(&self, id: VideoId) -> Option<&VideoFile> {
        match id.checked_sub(self.base.len()) {
            Some(later) => self.more.get(later),
            None if self.changed.is_empty() => self.base.get(id),
            None => self.changed.get(&id).or_else(|| self.base.get(id)),
        }
    }

    /// The number of a video, by `Class/file`.
    pub fn find(&self, name: &str) -> Option<VideoId> {
        let later = || self.more_by_name.get(name).copied();
        self.base.binary_search_by(|file| file.name.as_str().cmp(name)).ok().or_else(later)
    }

    /// All of them by number.
    pub fn iter(&self) -> impl Iterator<Item = &VideoFile> {
        (0..self.len()).filter_map(|id| self.get(id))
    }

    /// Gives a video that is not known its number.
    pub fn push(&mut self, file: VideoFile) -> VideoId {
        let id = self.len();
        self.more_by_name.insert(file.name.as_str().into(), id);
        self.more.push(file);
        id
    }

    /// The file is another version now.
    pub fn restamp(&mut self, id: VideoId, stamp: SourceStamp) {
        match id.checked_sub(self.base.len()) {
            Some(later) => {
                if let Some(file) = self.more.get_mut(later) {
                    file.stamp = stamp;
                }
            }
            None => {
                if let Some(file) = self.base.get(id) {
                    self.changed.insert(id, VideoFile { name: file.name.clone(), stamp });
                }
            }
        }
    }

    /// Whether it came or changed after the first scan.
    pub fn is_new(&self, id: VideoId) -> bool {
        id >= self.base.len() || self.changed.contains_key(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_common::video::VideoName;

    fn file(name: &str, size: u64) -> VideoFile {
        VideoFile { name: VideoName::new(name).unwrap(), stamp: SourceStamp { size, mtime_ns: 0 } }
    }

    #[test]
    fn numbers_stay_whatever_comes_and_changes() {
        let mut files = Files::new([file("A/1", 1), file("B/2", 2)].into());
        let shared = files.clone();
        assert_eq!((files.push(file("A/0", 3)), files.push(file("C/0", 4))), (2, 3));
        files.restamp(1, SourceStamp { size: 9, mtime_ns: 1 });
        files.restamp(3, SourceStamp { size: 8, mtime_ns: 1 });
        let sizes: Vec<u64> = files.iter().map(|file| file.stamp.size).collect();
        assert_eq!(sizes, [1, 9, 3, 8]);
        for (id, file) in files.iter().enumerate() {
            assert_eq!(files.find(file.name.as_str()), Some(id));
        }
        assert_eq!((files.find("A/2"), files.get(4), files.len()), (None, None, 4));
        assert_eq!((0..4).map(|id| files.is_new(id)).collect::<Vec<_>>(), [false, true, true, true]);
        assert_eq!((shared.len(), shared.get(1).unwrap().stamp.size), (2, 2));
    }
}
