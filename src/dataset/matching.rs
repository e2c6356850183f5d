//! Matches the manifest's ids with the names of the files on disk.

use reeldeck_common::video::VideoName;

use super::manifest::{Listed, Manifest, id_of, same_class};
use super::scan::VideoFile;

/// The files of each video of the manifest.
#[derive(Debug)]
pub(crate) struct Matches<'a> {
    manifest: &'a Manifest,
    files: &'a [VideoFile],
    /// Index in the manifest and index of the file, sorted: eight bytes per file.
    pairs: Vec<(u32, u32)>,
    unlisted: Vec<u32>,
}

/// A video of the manifest with its files.
#[derive(Debug)]
pub(crate) struct Matched<'a> {
    /// The id.
    pub id: &'a str,
    /// The entry of the manifest.
    pub listed: &'a Listed,
    /// The files, usually one: first those in a class folder that the manifest lists, then by name.
    pub files: Vec<&'a VideoFile>,
}

impl<'a> Matches<'a> {
    /// Matches by id alone, as trainers do. One look-up per file.
    pub(crate) fn new(manifest: &'a Manifest, files: &'a [VideoFile]) -> Self {
        let mut pairs = Vec::with_capacity(files.len());
        let mut unlisted = vec![];
        for (file, video) in (0..).zip(files) {
            match id_of(video.name.file(), &manifest.prefix).and_then(|id| manifest.position(id)) {
                Some(position) => pairs.push((position as u32, file)),
                None => unlisted.push(file),
            }
        }
        pairs.sort_unstable();
        Self { manifest, files, pairs, unlisted }
    }

    /// Every video of the manifest, in its order.
    pub(crate) fn videos(&self) -> impl Iterator<Item = Matched<'a>> {
        let (manifest, files) = (self.manifest, self.files);
        let mut rest = self.pairs.as_slice();
        (0..).zip(manifest.videos()).map(move |(position, (id, listed))| {
            let (own, others) = rest.split_at(rest.partition_point(|(video, _)| *video <= position));
            rest = others;
            let mut files: Vec<_> = own.iter().filter_map(|(_, file)| files.get(*file as usize)).collect();
            // The sort is stable, so files of equal rank stay sorted by name.
            files.sort_by_key(|file| is_misplaced(manifest, listed, &file.name));
            Matched { id, listed, files }
        })
    }

    /// The files that belong to no video of the manifest, by name.
    pub(crate) fn unlisted(&self) -> impl ExactSizeIterator<Item = &'a VideoFile> {
        let files = self.files;
        self.unlisted.iter().filter_map(move |file| files.get(*file as usize)).collect::<Vec<_>>().into_iter()
    }
}

/// Whether the manifest lists classes for the video, and its folder is another class of the manifest. A folder that is no class
/// of the manifest, such as the only folder of a dataset, says nothing about the video.
pub(crate) fn is_misplaced(manifest: &Manifest, listed: &Listed, name: &VideoName) -> bool {
    let mut labels = manifest.labels(listed);
    labels.len() > 0 && manifest.has_class(name.class()) && !labels.any(|label| same_class(name.class(), label))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;
    use reeldeck_common::source::SourceStamp;

    use super::*;

    pub(crate) fn files(names: &[&str]) -> Vec<VideoFile> {
        let mut names: Vec<_> = names.iter().map(|name| VideoName::new(name).unwrap()).collect();
        names.sort();
        names.into_iter().map(|name| VideoFile { name, stamp: SourceStamp { size: 1, mtime_ns: 0 } }).collect()
    }

    pub(crate) fn manifest(text: &str) -> Manifest {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Manifest::read(file.path(), "v_").unwrap()
    }

    fn found(manifest: &Manifest, files: &[VideoFile]) -> (Vec<String>, Vec<String>) {
        let matches = Matches::new(manifest, files);
        let join = |files: Vec<&VideoFile>| files.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(" + ");
        let videos = matches.videos().map(|v| format!("{}: {}", v.id, join(v.files))).collect();
        (videos, matches.unlisted().map(|f| f.name.to_string()).collect())
    }

    #[test]
    fn files_are_found_by_id_in_any_folder() {
        let manifest = manifest("a,Tai chi\n-b,Archery\n_c\nv_d,X\nnone,X\n");
        let files = files(&[
            "Archery/v_-b.mp4",
            "Bowling/v_-b.webm",
            "Archery/v_-b.mkv",
            "Anything/v__c.mp4",
            "Tai_chi/v_a.mp4",
            "A/v_a.b.mp4",
            "Tai_chi/a.mp4",
            "X/v_d.mp4",
            "X/v_v_d.mp4",
            "X/v_.mp4",
        ]);
        let (videos, unlisted) = found(&manifest, &files);
        assert_eq!(
            videos,
            [
                "a: Tai_chi/v_a.mp4",
                "-b: Archery/v_-b.mkv + Archery/v_-b.mp4 + Bowling/v_-b.webm",
                "_c: Anything/v__c.mp4",
                "v_d: X/v_v_d.mp4",
                "none: ",
            ]
        );
        assert_eq!(unlisted, ["A/v_a.b.mp4", "Tai_chi/a.mp4", "X/v_.mp4", "X/v_d.mp4"]);
    }

    proptest! {
        #[test]
        fn every_file_is_one_video_or_none(
            ids in proptest::collection::btree_set("[ab_-]{1,2}", 1..12),
            names in proptest::collection::btree_set("[AB]/(v_)?[ab_-]{1,2}\\.(mp4|mkv)", 0..30),
        ) {
            let manifest = manifest(&ids.iter().map(|id| format!("{id}\n")).collect::<String>());
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let files = files(&names);
            let matches = Matches::new(&manifest, &files);
            let mut seen: Vec<_> = matches.unlisted().map(|file| file.name.clone()).collect();
            for file in &seen {
                prop_assert!(id_of(file.file(), "v_").is_none_or(|id| !ids.contains(id)));
            }
            for video in matches.videos() {
                prop_assert!(ids.contains(video.id));
                for file in video.files {
                    prop_assert_eq!(id_of(file.name.file(), "v_"), Some(video.id));
                    seen.push(file.name.clone());
                }
            }
            seen.sort();
            prop_assert!(seen.iter().eq(files.iter().map(|file| &file.name)));
        }
    }
}
