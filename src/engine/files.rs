//! The files that an engine knows: those of its first scan, which are shared, and those that came or changed later.

use std::collections::HashMap;
use std::sync::Arc;

use reeldeck_common::source::SourceStamp;

use super::ids::VideoId;
use crate::dataset::scan::VideoFile;

/// Files by number. The number of a file never changes.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Sorted by name.
    base: Arc<[VideoFile]>,
    /// Later files in order of arrival. The first has the number after the last of `base`.
    more: Vec<VideoFile>,
    more_by_name: HashMap<Box<str>, VideoId>,
    /// The current versions of those of `base` that have changed.
    changed: HashMap<VideoId, VideoFile>,
}

impl Files {
    /// The files of a scan, which must be sorted by name.
    pub fn new(base: Arc<[VideoFile]>) -> Self {
        Self { base, ..Self::default() }
    }

    /// The files of the scan, in their version at the scan.
    pub fn base(&self) -> &[VideoFile] {
        &self.base
    }

    /// The number of files, removed ones included.
    pub fn len(&self) -> usize {
        self.base.len() + self.more.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of files of the scan, which come first and are sorted by name.
    pub fn sorted(&self) -> usize {
        self.base.len()
    }

    /// The file with this number.
    pub fn get(&self, id: VideoId) -> Option<&VideoFile> {
        match id.0.checked_sub(self.base.len()) {
            Some(later) => self.more.get(later),
            None if self.changed.is_empty() => self.base.get(id.0),
            None => self.changed.get(&id).or_else(|| self.base.get(id.0)),
        }
    }

    /// The number of the file with this `Class/file`.
    pub fn find(&self, name: &str) -> Option<VideoId> {
        let later = || self.more_by_name.get(name).copied();
        self.base.binary_search_by(|file| file.name.as_str().cmp(name)).ok().map(VideoId).or_else(later)
    }

    /// All files in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &VideoFile> {
        self.iter_enumerated().map(|(_, file)| file)
    }

    /// All files with their numbers.
    pub fn iter_enumerated(&self) -> impl Iterator<Item = (VideoId, &VideoFile)> {
        (0..self.len()).map(VideoId).filter_map(|id| Some((id, self.get(id)?)))
    }

    /// Adds a file and returns its number.
    pub fn push(&mut self, file: VideoFile) -> VideoId {
        let id = VideoId(self.len());
        self.more_by_name.insert(file.name.as_str().into(), id);
        self.more.push(file);
        id
    }

    /// Updates the version of a file.
    pub fn restamp(&mut self, id: VideoId, stamp: SourceStamp) {
        match id.0.checked_sub(self.base.len()) {
            Some(later) => {
                if let Some(file) = self.more.get_mut(later) {
                    file.stamp = stamp;
                }
            }
            None => {
                if let Some(file) = self.base.get(id.0) {
                    self.changed.insert(id, VideoFile { name: file.name.clone(), stamp });
                }
            }
        }
    }

    /// Whether a file came or changed after the first scan.
    pub fn is_new(&self, id: VideoId) -> bool {
        id.0 >= self.base.len() || self.changed.contains_key(&id)
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
    fn numbers_of_files_never_change() {
        let mut files = Files::new([file("A/1", 1), file("B/2", 2)].into());
        let shared = files.clone();
        assert_eq!((files.push(file("A/0", 3)), files.push(file("C/0", 4))), (VideoId(2), VideoId(3)));
        files.restamp(VideoId(1), SourceStamp { size: 9, mtime_ns: 1 });
        files.restamp(VideoId(3), SourceStamp { size: 8, mtime_ns: 1 });
        let sizes: Vec<u64> = files.iter().map(|file| file.stamp.size).collect();
        assert_eq!(sizes, [1, 9, 3, 8]);
        for (id, file) in files.iter().enumerate() {
            assert_eq!(files.find(file.name.as_str()), Some(VideoId(id)));
        }
        assert_eq!((files.find("A/2"), files.get(VideoId(4)), files.len()), (None, None, 4));
        assert_eq!((0..4).map(|id| files.is_new(VideoId(id))).collect::<Vec<_>>(), [false, true, true, true]);
        assert_eq!((shared.len(), shared.get(VideoId(1)).unwrap().stamp.size), (2, 2));
    }
}
