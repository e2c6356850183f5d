//! Tracks the state of every file and decides which changes to report. No I/O; the time is a parameter.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::Change;
use crate::dataset::scan::VideoFile;

/// Files by folder, each with its reported and its current state.
#[derive(Debug)]
pub(super) struct Tracker {
    settle: Duration,
    folders: HashMap<String, HashMap<VideoName, Seen>>,
    /// Files that changed and have not settled yet.
    unsettled: usize,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    told: Option<SourceStamp>,
    /// The new state, and the time of the change.
    changing: Option<(SourceStamp, Instant)>,
}

impl Tracker {
    pub(super) fn new(settle: Duration, known: impl IntoIterator<Item = VideoFile>) -> Self {
        let mut folders: HashMap<String, HashMap<_, _>> = HashMap::new();
        for VideoFile { name, stamp } in known {
            let seen = Seen { told: Some(stamp), changing: None };
            folders.entry(name.folder().to_owned()).or_default().insert(name, seen);
        }
        Self { settle, folders, unsettled: 0 }
    }

    /// The known folders.
    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.keys().map(String::as_str)
    }

    pub(super) fn knows(&self, folder: &str) -> bool {
        self.folders.contains_key(folder)
    }

    /// The files of a folder.
    pub(super) fn files(&self, folder: &str) -> impl Iterator<Item = &VideoName> {
        self.folders.get(folder).into_iter().flat_map(HashMap::keys)
    }

    /// A folder exists.
    pub(super) fn folder_appears(&mut self, folder: &str) {
        self.folders.entry(folder.to_owned()).or_default();
    }

    /// A folder was removed.
    pub(super) fn folder_goes(&mut self, folder: &str, news: &mut Vec<Change>) {
        let Some(files) = self.folders.remove(folder) else { return };
        self.unsettled -= files.values().filter(|seen| seen.changing.is_some()).count();
        let mut gone: Vec<_> =
            files.into_iter().filter(|(_, seen)| seen.told.is_some()).map(|(name, _)| name).collect();
        gone.sort();
        news.extend(gone.into_iter().map(Change::Gone));
        news.push(Change::FolderGone(folder.to_owned()));
    }

    /// All videos of a folder.
    pub(super) fn folder_holds(&mut self, folder: &str, files: Vec<VideoFile>, now: Instant, news: &mut Vec<Change>) {
        let Some(known) = self.folders.get(folder) else { return };
        let present: HashMap<_, _> = files.into_iter().map(|file| (file.name, file.stamp)).collect();
        let mut gone: Vec<_> = known.keys().filter(|name| !present.contains_key(*name)).cloned().collect();
        gone.sort();
        for name in gone {
            self.observe(&name, None, now, news);
        }
        let mut present: Vec<_> = present.into_iter().collect();
        present.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, stamp) in present {
            self.observe(&name, Some(stamp), now, news);
        }
    }

    /// The state of one file; `None` if it does not exist.
    pub(super) fn observe(
        &mut self,
        name: &VideoName,
        stamp: Option<SourceStamp>,
        now: Instant,
        news: &mut Vec<Change>,
    ) {
        let Some(files) = self.folders.get_mut(name.folder()) else { return };
        let before = files.get(name).copied();
        let was_changing = before.is_some_and(|seen| seen.changing.is_some());
        let told = before.and_then(|seen| seen.told);
        let Some(stamp) = stamp else {
            files.remove(name);
            self.unsettled -= usize::from(was_changing);
            if told.is_some() {
                news.push(Change::Gone(name.clone()));
            }
            return;
        };
        let since = before.and_then(|seen| seen.changing).filter(|(was, _)| *was == stamp).map_or(now, |(_, at)| at);
        let mut seen = Seen { told, changing: None };
        if told != Some(stamp) {
            if now.saturating_duration_since(since) >= self.settle {
                seen.told = Some(stamp);
                news.push(Change::Settled(VideoFile { name: name.clone(), stamp }));
            } else {
                seen.changing = Some((stamp, since));
            }
        }
        self.unsettled = self.unsettled + usize::from(seen.changing.is_some()) - usize::from(was_changing);
        files.insert(name.clone(), seen);
    }

    /// Files that changed and have not settled yet. They must be examined again.
    pub(super) fn unsettled(&self) -> Vec<VideoName> {
        if self.unsettled == 0 {
            return vec![];
        }
        let files = self.folders.values().flatten();
        let mut names: Vec<_> =
            files.filter(|(_, seen)| seen.changing.is_some()).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(name: &str) -> VideoName {
        VideoName::new(name).unwrap()
    }

    fn stamp(size: u64) -> SourceStamp {
        SourceStamp { size, mtime_ns: 0 }
    }

    fn file(name: &str, size: u64) -> VideoFile {
        VideoFile { name: VideoName::new(name).unwrap(), stamp: stamp(size) }
    }

    struct Bench {
        tracker: Tracker,
        start: Instant,
    }

    impl Bench {
        fn new(known: &[VideoFile]) -> Self {
            let tracker = Tracker::new(Duration::from_secs(10), known.iter().cloned());
            Self { tracker, start: Instant::now() }
        }

        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        fn sees(&mut self, second: u64, folder: &str, files: &[VideoFile]) -> Vec<Change> {
            let mut news = vec![];
            self.tracker.folder_holds(folder, files.to_vec(), self.at(second), &mut news);
            news
        }
    }

    #[test]
    fn a_file_is_reported_when_it_has_settled() {
        let mut bench = Bench::new(&[file("A/old.mp4", 1)]);
        let old = file("A/old.mp4", 1);
        assert_eq!(bench.sees(0, "A", &[old.clone(), file("A/v.mp4", 1)]), []);
        assert_eq!(bench.sees(9, "A", &[old.clone(), file("A/v.mp4", 2)]), []);
        assert_eq!(bench.tracker.unsettled(), [name("A/v.mp4")]);
        assert_eq!(bench.sees(18, "A", &[old.clone(), file("A/v.mp4", 2)]), []);
        assert_eq!(bench.sees(19, "A", &[old.clone(), file("A/v.mp4", 2)]), [Change::Settled(file("A/v.mp4", 2))]);
        assert_eq!(bench.sees(99, "A", &[old.clone(), file("A/v.mp4", 2)]), []);
        assert_eq!(bench.tracker.unsettled(), []);
        // It changes and changes back, so the reported state still holds.
        assert_eq!(bench.sees(100, "A", &[old.clone(), file("A/v.mp4", 3)]), []);
        assert_eq!(bench.sees(101, "A", &[old.clone(), file("A/v.mp4", 2)]), []);
        assert_eq!(bench.tracker.unsettled(), []);
        assert_eq!(bench.sees(102, "A", &[old]), [Change::Gone(name("A/v.mp4"))]);
    }

    #[test]
    fn a_file_that_was_never_reported_is_removed_silently() {
        let mut bench = Bench::new(&[file("A/b.mp4", 1), file("A/a.mp4", 1)]);
        assert_eq!(bench.sees(0, "A", &[file("A/a.mp4", 1), file("A/b.mp4", 1), file("A/c.mp4", 1)]), []);
        assert_eq!(bench.sees(1, "A", &[file("A/a.mp4", 1), file("A/b.mp4", 1)]), []);
        assert_eq!(bench.sees(2, "A", &[file("A/a.mp4", 2), file("A/b.mp4", 1)]), []);
        let mut news = vec![];
        bench.tracker.folder_goes("A", &mut news);
        let gone = |file| Change::Gone(name(file));
        assert_eq!(news, [gone("A/a.mp4"), gone("A/b.mp4"), Change::FolderGone("A".into())]);
        assert_eq!(bench.tracker.unsettled(), []);
        assert_eq!(bench.sees(3, "A", &[file("A/a.mp4", 1)]), [], "a folder that was not announced");
    }

    proptest! {
        /// Compares with the definition: a version is reported once it has been unchanged for the settling time, and never
        /// twice in a row.
        #[test]
        fn only_what_held_is_told(looks in proptest::collection::vec((0u64..8, proptest::option::of(0u64..3)), 0..60)) {
            let mut bench = Bench::new(&[]);
            bench.tracker.folder_appears("A");
            let (mut time, mut told, mut seen) = (0, None, vec![]);
            for (later, size) in looks {
                time += later;
                let files: Vec<_> = size.map(|size| file("A/v.mp4", size)).into_iter().collect();
                let news = bench.sees(time, "A", &files);
                seen.push((time, size));
                let alone: Vec<_> = seen.iter().rev().take_while(|(_, s)| *s == size).collect();
                let held = alone.last().is_some_and(|(since, _)| time - since >= 10);
                let expected = match size {
                    None => told.take().map(|_: u64| Change::Gone(name("A/v.mp4"))),
                    Some(size) if held && told != Some(size) => {
                        told = Some(size);
                        Some(Change::Settled(file("A/v.mp4", size)))
                    }
                    Some(_) => None,
                };
                prop_assert_eq!(news, expected.into_iter().collect::<Vec<_>>());
                prop_assert_eq!(bench.tracker.unsettled().len(), usize::from(size.is_some() && size != told));
            }
        }
    }
}
