//! A reference for the same videos: a `result.pkl` or a similar file of another extractor, or a folder of csv, npy, npz or
//! feature files.
//!
//! The reference is untrusted: a pickle is parsed and never executed, and sizes are checked before anything is read.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use reeldeck_common::bounded;
use reeldeck_common::feature::{Feature, Matrix};
use reeldeck_common::video::VideoName;
use reeldeck_pickle::map::MappedFile;
use reeldeck_pickle::results::{ResultSample, Results};

use super::Target;
use crate::dataset::shown;
use crate::dataset::video_list::parse_list;
use crate::error::{Exit, ExitError, line_of};
use crate::export::{npy, npz};
use crate::out::count;

/// The largest file that is read. The text of 10,000 clips of 4096 numbers has 800 MB.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// The largest list that is read. A list of a million videos has 50 MB.
const MAX_LIST_BYTES: u64 = 1 << 28;

/// A reference to compare features with.
#[derive(Debug)]
pub(crate) enum Reference {
    /// A file with the results of all videos.
    Pickle {
        /// The file's path, for messages.
        path: PathBuf,
        /// The file's bytes.
        map: MappedFile,
        /// The list of the videos in the order of the results. A file with names needs none.
        list: PathBuf,
    },
    /// A folder with a file for each video.
    Folder(PathBuf),
}

/// The part of the reference that one feature is compared with.
#[derive(Debug)]
pub(crate) enum ReferenceItem {
    /// Nothing, or the file in the folder.
    Nothing,
    /// A result of the pickle.
    Result(ResultSample),
    /// The same file in the folder as of this other video.
    Shared(VideoName),
}

impl Reference {
    /// Opens a reference. `list` is the list of the videos of a file without names; the default is `hacs_data.txt` beside it.
    ///
    /// # Errors
    /// When the file is missing or unreadable.
    pub(crate) fn open(path: &Path, list: Option<&Path>) -> anyhow::Result<Self> {
        let usage = |message: String| ExitError::new(Exit::Usage, message);
        let metadata = fs::metadata(path)
            .with_context(|| usage(format!("failed to look at {}; name a result.pkl or a folder", shown(path))))?;
        if metadata.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let map = MappedFile::open(path).with_context(|| usage(format!("failed to read {}", shown(path))))?;
        let list = list.map_or_else(|| path.with_file_name("hacs_data.txt"), Path::to_owned);
        Ok(Self::Pickle { path: path.to_owned(), map, list })
    }

    /// The videos whose file in the folder is also that of another video, each with one such video.
    pub(crate) fn shared_files<'t>(&self, targets: &'t [Target]) -> HashMap<&'t VideoName, &'t VideoName> {
        let Self::Folder(folder) = self else { return HashMap::new() };
        let mut by_id: HashMap<&str, Vec<&VideoName>> = HashMap::new();
        targets.iter().for_each(|target| by_id.entry(id(&target.video)).or_default().push(&target.video));
        let mut shared = HashMap::new();
        for videos in by_id.into_values().filter(|videos| videos.len() > 1) {
            let mut by_file: HashMap<PathBuf, &VideoName> = HashMap::new();
            for video in videos {
                let Some(file) = file_in_folder(folder, video) else { continue };
                if let Some(other) = by_file.get(&file) {
                    shared.entry(*other).or_insert(video);
                    shared.insert(video, *other);
                } else {
                    by_file.insert(file, video);
                }
            }
        }
        shared
    }

    /// Parses the file of results, if the reference is one. Nothing in it is executed.
    ///
    /// # Errors
    /// When the file has no results, or it has no names and the list is missing, invalid or of another length.
    pub(crate) fn results(&self) -> anyhow::Result<Option<NamedResults<'_>>> {
        let Self::Pickle { path, map, list } = self else { return Ok(None) };
        let usage = |message: String| ExitError::new(Exit::Usage, message);
        let results =
            Results::parse(map).with_context(|| usage(format!("failed to read results from {}", shown(path))))?;
        if let Some(names) = results.names() {
            let names = names.to_vec();
            return Ok(Some(NamedResults { results, names, by_list: false }));
        }
        let bytes = bounded::read(list, MAX_LIST_BYTES).with_context(|| {
            usage(format!(
                "failed to read {}, the list of videos in the order of the results; name it with --list",
                shown(list)
            ))
        })?;
        let entries = parse_list(&bytes).with_context(|| usage(format!("failed to read {}", shown(list))))?;
        ensure!(
            results.len() == entries.len(),
            usage(format!(
                "{} has {}, and its list {} has {}; name the right list with --list",
                shown(path),
                count(results.len(), "result", "results"),
                shown(list),
                count(entries.len(), "video", "videos")
            ))
        );
        let names = entries.into_iter().map(|entry| entry.name.to_string()).collect();
        Ok(Some(NamedResults { results, names, by_list: true }))
    }
}

/// The results of a file with the names of their videos.
#[derive(Debug)]
pub(crate) struct NamedResults<'a> {
    results: Results<'a>,
    names: Vec<String>,
    /// The names are those of a list, so they are complete.
    by_list: bool,
}

impl NamedResults<'_> {
    /// Pairs the targets with the results: first those that have a result, in the order of the results, then the others. An
    /// unreadable result ends the iteration and is stored in `trouble`.
    pub(crate) fn pair_targets<'t>(
        &'t self,
        targets: &'t [Target],
        trouble: &'t mut Option<anyhow::Error>,
    ) -> impl Iterator<Item = (&'t Target, ReferenceItem)> {
        // A name that two videos have names neither.
        let mut by_name: HashMap<&str, Option<&Target>> = HashMap::new();
        for target in targets {
            let mut names = vec![target.video.as_str()];
            if !self.by_list {
                names.extend(short_names(&target.video));
                names.sort_unstable();
                names.dedup();
            }
            for name in names {
                by_name.entry(name).and_modify(|known| *known = None).or_insert(Some(target));
            }
        }
        let mut left: HashMap<&VideoName, &Target> = targets.iter().map(|target| (&target.video, target)).collect();
        let mut named: Vec<(&Target, usize)> = vec![];
        for (index, name) in self.names.iter().enumerate() {
            let target = by_name.get(name.as_str()).copied().flatten();
            named.extend(target.and_then(|target| left.remove(&target.video)).map(|target| (target, index)));
        }
        let mut named = named.into_iter().peekable();
        let mut samples = self.results.samples().enumerate();
        let mut others: Vec<&Target> = left.into_values().collect();
        others.sort_unstable_by(|a, b| b.video.cmp(&a.video));
        std::iter::from_fn(move || {
            if trouble.is_some() {
                return None;
            }
            while let Some((target, wanted)) = named.peek() {
                match samples.next() {
                    Some((index, Ok(sample))) if index == *wanted => {
                        let target = *target;
                        named.next();
                        return Some((target, ReferenceItem::Result(sample)));
                    }
                    Some((_, Ok(_))) => {}
                    Some((_, Err(error))) => {
                        let stop = ExitError::new(Exit::Usage, "the file to compare with is damaged");
                        *trouble = Some(anyhow::Error::from(error).context(stop));
                        return None;
                    }
                    None => break,
                }
            }
            others.pop().map(|target| (target, ReferenceItem::Nothing))
        })
    }
}

/// The file name without the extension.
fn id(video: &VideoName) -> &str {
    let file = video.file();
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// The names by which other extractors know a video: the file name with and without its extension, and the id after `v_`.
fn short_names(video: &VideoName) -> Vec<&str> {
    let file = video.file();
    let stem = id(video);
    [file, stem].into_iter().chain(stem.strip_prefix("v_")).collect()
}

impl ReferenceItem {
    /// The reference matrix of this video, if there is one.
    pub(super) fn find(self, target: &Target, pairs: Option<&Reference>) -> Option<Result<Matrix, String>> {
        match (self, pairs) {
            (Self::Result(ResultSample { scores, shape, .. }), _) => {
                // Some files have a dimension of one video.
                let ones = shape.iter().take_while(|size| **size == 1).count().min(shape.len().saturating_sub(2));
                Some(match *shape.get(ones..).unwrap_or_default() {
                    [rows, columns] => Ok(Matrix { shape: [rows, columns], data: scores }),
                    // The clips are averaged, or there is only one.
                    [columns] => Ok(Matrix { shape: [1, columns], data: scores }),
                    _ => Err(format!("its shape is {shape:?}, not clips × classes")),
                })
            }
            (Self::Nothing, Some(Reference::Folder(folder))) => in_folder(folder, &target.video),
            (Self::Shared(other), _) => Some(Err(format!(
                "the reference has one file for this video and for {other}; rename one of the videos"
            ))),
            _ => None,
        }
    }
}

/// The file of a video in a folder, by its name without the extension: in the video's own folders, in a class folder, or at the
/// top.
fn in_folder(folder: &Path, video: &VideoName) -> Option<Result<Matrix, String>> {
    let path = file_in_folder(folder, video)?;
    Some(read(&path).map_err(|why| format!("{}: {why}", shown(&path))))
}

fn file_in_folder(folder: &Path, video: &VideoName) -> Option<PathBuf> {
    let id = id(video);
    let mut names = ["csv", "npy", "npz"].map(|ending| format!("{id}.{ending}")).to_vec();
    // MMAction2 replaces every `mp4` in a name.
    names.push(video.file().replace("mp4", "csv"));
    names.push(format!("{}.safetensors", video.file()));
    let places = [folder.join(video.folder()), folder.join(video.class()), folder.to_owned()];
    let mut paths = names.iter().flat_map(|name| places.iter().map(move |place| place.join(name)));
    // What cannot be looked at is read, which says why.
    let is_absent = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    paths.find(|path| !path.symlink_metadata().is_err_and(|error| is_absent(&error)))
}

fn read(path: &Path) -> Result<Matrix, String> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if ending == "safetensors" {
        let mut feature = Feature::read(path).map_err(|error| line_of(&error))?;
        let first = feature.tensors.pop_first();
        return first.map(|(_, matrix)| matrix).ok_or_else(|| "it has no features".into());
    }
    let bytes = bounded::read(path, MAX_FILE_BYTES).map_err(|error| error.to_string())?;
    match ending {
        "npy" => npy::read(&bytes),
        "npz" => npz::read(&bytes),
        _ => csv(&bytes),
    }
}

/// Parses comma-separated numbers, one line per clip, with or without a header.
fn csv(bytes: &[u8]) -> Result<Matrix, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut data = vec![];
    let (mut rows, mut columns) = (0, 0);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || number == 1 && line.starts_with(|c: char| c.is_alphabetic()) && !line.starts_with("nan") {
            continue;
        }
        let before = data.len();
        for field in line.split(',') {
            // Parsed as float64 first, as the usual readers do.
            let value: f64 =
                field.trim().parse().map_err(|_| format!("line {number} has something that is not a number"))?;
            data.push(value as f32);
        }
        let width = data.len() - before;
        if rows > 0 && width != columns {
            return Err(format!("line {number} has {width} numbers where the one before has {columns}"));
        }
        (rows, columns) = (rows + 1, width);
    }
    Ok(Matrix { shape: [rows, columns], data })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn csv_is_read_with_and_without_a_header() {
        let expected = Matrix { shape: [2, 2], data: vec![0.1, -1.0, 1e-7, 3.0] };
        let original = "f0,f1\n0.10000000149011612, -1.0\n1.0000000116860974e-07, 3.0\n";
        for text in [original, "f0,f1\r\n.1,-1\r\n1e-7,3\r\n\r\n", "0.1,-1\n1e-7,3"] {
            assert_eq!(csv(text.as_bytes()).unwrap(), expected, "{text}");
        }
        assert!(csv(b"nan,1\n2,3\n").unwrap().data[0].is_nan());
        assert!(csv(b"f0,f1\n1,2\n1\n").unwrap_err().contains("line 3 has 1 numbers"));
        assert!(csv(b"f0\nx\n").unwrap_err().contains("line 2"));
        assert!(csv(b"\xff\xfe").unwrap_err().contains("not text"));
    }

    proptest! {
        #[test]
        fn no_text_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = csv(&bytes);
        }
    }
}
