//! The manifest: the videos of the dataset, from the official annotation file or a plain list.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use indexmap::{IndexMap, IndexSet};

mod error;
mod guard;
mod json;
mod list;
mod names;
mod segments;

pub(crate) use error::ManifestError;
use error::{Problem, error};
pub(crate) use guard::Place;
pub(crate) use names::same_class;
use names::underscored;
pub(crate) use segments::OddSegments;
use segments::Segment;

/// Maximum number of videos, several times that of the largest dataset of the field.
const MAX_VIDEOS: usize = 2_000_000;
/// Maximum size of ids, addresses and labels in memory, in bytes.
const MAX_BYTES: usize = 128 << 20;
/// Maximum number of different labels.
const MAX_LABELS: usize = 1 << 16;
const BUFFER: usize = 256 << 10;

/// The part of a dataset that a video belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Split {
    /// The training set.
    Training,
    /// The validation set.
    Validation,
    /// The test set, often without annotations.
    Testing,
}

impl Split {
    /// All splits, in the order of reports.
    pub(crate) const ALL: [Self; 3] = [Self::Training, Self::Validation, Self::Testing];

    /// The split with this name, ignoring case. `train`, `val` and `test` are accepted too.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is(&["training", "train"]) {
            Some(Self::Training)
        } else if is(&["validation", "valid", "val"]) {
            Some(Self::Validation)
        } else if is(&["testing", "test"]) {
            Some(Self::Testing)
        } else {
            None
        }
    }

    /// `training`, `validation` or `testing`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Validation => "validation",
            Self::Testing => "testing",
        }
    }
}

/// The kind of a manifest file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The official annotation file, with durations and subsets.
    Annotations,
    /// A plain list, without durations and subsets.
    List,
}

/// The videos that should be on disk.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// The file.
    pub path: PathBuf,
    /// Its kind.
    pub kind: Kind,
    /// The segments that cannot be right.
    pub odd_segments: OddSegments,
    /// The prefix of the id in file names.
    pub prefix: String,
    videos: IndexMap<Box<str>, Listed>,
    labels: Labels,
    /// The labels with underscores for spaces.
    class_folders: HashSet<String>,
}

/// A video of the manifest.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Duration in seconds; unknown in a plain list.
    pub duration_s: Option<f64>,
    /// The split; unknown in a plain list.
    pub split: Option<Split>,
    labels: Box<[u32]>,
    url: Option<Box<str>>,
    place: Place,
}

/// Labels without duplicates, by index.
#[derive(Debug, Default)]
struct Labels(IndexSet<Box<str>>);

impl Labels {
    fn take(&mut self, label: &str) -> Result<u32, String> {
        let at = match self.0.get_index_of(label) {
            Some(at) => at,
            None if self.0.len() == MAX_LABELS => {
                return Err(format!("there are more than {MAX_LABELS} different labels; is this the right file?"));
            }
            None => self.0.insert_full(label.into()).0,
        };
        Ok(at as u32)
    }
}

/// A video during reading.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// The id: the file name without prefix and extension.
    pub id: &'a str,
    /// Its position in the file.
    pub place: Place,
    /// Duration in seconds.
    pub duration_s: Option<f64>,
    /// The split.
    pub split: Option<Split>,
    /// The annotations as Python's `json.dump` writes them, if requested.
    pub text: String,
    labels: Vec<u32>,
    segments: Vec<Segment>,
    url: Option<String>,
}

/// Receives the videos while a manifest is read.
struct Sink<'a> {
    labels: &'a mut Labels,
    take: &'a mut dyn FnMut(Entry<'_>, &Labels) -> Result<(), Problem>,
}

impl Manifest {
    /// Reads and checks a manifest. `prefix` is the prefix of the id in file names. The file is read in pieces, and memory
    /// is bounded for any content.
    ///
    /// # Errors
    /// Files that cannot be read or have another structure, duplicate ids, unsafe names, and files that exceed a limit.
    pub(crate) fn read(path: &Path, prefix: &str) -> Result<Self, ManifestError> {
        let (reader, kind) = open(path)?;
        Self::from_reader(reader, kind, path, prefix)
    }

    fn from_reader(reader: impl BufRead, kind: Kind, path: &Path, prefix: &str) -> Result<Self, ManifestError> {
        let mut manifest = Self {
            path: path.to_owned(),
            kind,
            odd_segments: OddSegments::default(),
            prefix: prefix.to_owned(),
            videos: IndexMap::new(),
            labels: Labels::default(),
            class_folders: HashSet::new(),
        };
        let (videos, odd, mut kept) = (&mut manifest.videos, &mut manifest.odd_segments, 0);
        let mut take = |entry: Entry<'_>, known: &Labels| {
            let Entry { id, place, duration_s, split, labels, segments, url, .. } = entry;
            if let Some(first) = videos.get(id) {
                let first = first.place;
                return Err(Problem::Content(format!(
                    "the id {id:?} occurs twice, first at {first}; remove one of them"
                )));
            }
            let url = url.filter(|url| !is_youtube(id) || *url != youtube(id)).map(String::into_boxed_str);
            kept += id.len() + url.as_ref().map_or(0, |url| url.len()) + labels.len() * size_of::<u32>();
            if videos.len() == MAX_VIDEOS || kept > MAX_BYTES {
                let most = format!("{MAX_VIDEOS} videos or {} MiB of names", MAX_BYTES >> 20);
                return Err(Problem::Content(format!("there are more than {most}; is this the right file?")));
            }
            let label = |number: u32| known.0.get_index(number as usize).map(|label| &**label);
            odd.check(id, duration_s.unwrap_or_default(), &segments, label);
            videos.insert(id.into(), Listed { duration_s, split, labels: labels.into(), url, place });
            Ok(())
        };
        let read = read_with(reader, kind, prefix, false, &mut Sink { labels: &mut manifest.labels, take: &mut take });
        read.map_err(|(place, problem)| error(path, place, problem))?;
        if manifest.videos.is_empty() {
            let nothing = Problem::Content("it names no video".into());
            return Err(error(path, Place { line: 1, column: 1 }, nothing));
        }
        manifest.videos.shrink_to_fit();
        manifest.class_folders = manifest.labels.0.iter().map(|label| underscored(label)).collect();
        Ok(manifest)
    }

    /// Reads the file again and passes on each video with the text of its annotations, in the file's order.
    ///
    /// # Errors
    /// As [`Manifest::read`], and the errors of `take`.
    pub(crate) fn each<E: From<ManifestError>>(
        &self,
        mut take: impl FnMut(&Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (reader, kind) = open(&self.path)?;
        let mut failed = None;
        let mut labels = Labels::default();
        let mut take = |entry: Entry<'_>, _: &Labels| {
            take(&entry).map_err(|error| {
                failed = Some(error);
                Problem::Content("stopped".into())
            })
        };
        let read = read_with(reader, kind, &self.prefix, true, &mut Sink { labels: &mut labels, take: &mut take });
        match (failed, read) {
            (Some(error), _) => Err(error),
            (None, read) => read.map_err(|(place, problem)| error(&self.path, place, problem).into()),
        }
    }

    /// Number of videos.
    pub(crate) fn len(&self) -> usize {
        self.videos.len()
    }

    /// All ids, in the file's order.
    pub(crate) fn videos(&self) -> impl ExactSizeIterator<Item = (&str, &Listed)> {
        self.videos.iter().map(|(id, listed)| (&**id, listed))
    }

    /// The index of an id in the file's order.
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.videos.get_index_of(id)
    }

    /// The video at an index.
    pub(crate) fn at(&self, position: usize) -> Option<(&str, &Listed)> {
        self.videos.get_index(position).map(|(id, listed)| (&**id, listed))
    }

    /// Number of different labels.
    pub(crate) fn classes(&self) -> usize {
        self.labels.0.len()
    }

    /// Whether a class folder belongs to a label of any video.
    pub(crate) fn has_class(&self, folder: &str) -> bool {
        self.class_folders.contains(&underscored(folder))
    }

    /// The labels of a video without duplicates, in the order of their first appearance.
    pub(crate) fn labels<'a>(&'a self, listed: &'a Listed) -> impl ExactSizeIterator<Item = &'a str> + Clone {
        listed.labels.iter().map(|at| self.labels.0.get_index(*at as usize).map_or("", |label| label))
    }
}

impl Listed {
    /// The address to fetch the video from: that of the manifest, or YouTube's for an id of YouTube's form.
    pub(crate) fn address(&self, id: &str) -> Option<String> {
        let is_address = |url: &&str| {
            ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))
                && !url.contains(|c: char| c.is_control() || c.is_whitespace())
        };
        match self.url.as_deref().filter(is_address) {
            Some(url) => Some(url.to_owned()),
            None => is_youtube(id).then(|| youtube(id)),
        }
    }
}

fn is_youtube(id: &str) -> bool {
    id.len() == 11 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn youtube(id: &str) -> String {
    format!("https://www.youtube.com/watch?v={id}")
}

/// The id in a file name `v_<id>.<extension>`; `None` without the prefix or an id.
pub(crate) fn id_of<'a>(file: &'a str, prefix: &str) -> Option<&'a str> {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    stem.strip_prefix(prefix).filter(|id| !id.is_empty())
}

fn open(path: &Path) -> Result<(BufReader<File>, Kind), ManifestError> {
    let failed = |source| ManifestError::Open { path: path.to_owned(), source };
    // Opening a pipe without a writer would block.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(ManifestError::NotAFile { path: path.to_owned() });
    }
    let mut reader = BufReader::with_capacity(BUFFER, reeldeck_common::open::regular(path).map_err(failed)?);
    let kind = begin(&mut reader, path)?;
    Ok((reader, kind))
}

/// Skips a byte order mark and detects the kind of the file.
fn begin(reader: &mut impl BufRead, path: &Path) -> Result<Kind, ManifestError> {
    let start = Place { line: 1, column: 1 };
    let head = reader.fill_buf().map_err(|source| error(path, start, Problem::Io(source)))?;
    let mark = if head.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    let text = head.get(mark..).unwrap_or(head).trim_ascii_start();
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let refused = match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16 text; save it as UTF-8",
        [b'P', b'K', 3, 4, ..] => "a zip archive; unpack it and name the .json file that was in it",
        [0x1f, 0x8b, ..] => "compressed by gzip; unpack it first",
        [b'<', ..] => "a web page or XML; fetch the file itself, not the page that shows it",
        [b'{' | b'[', ..] => "",
        _ if is_json => "",
        _ => {
            reader.consume(mark);
            return Ok(Kind::List);
        }
    };
    if refused.is_empty() {
        reader.consume(mark);
        return Ok(Kind::Annotations);
    }
    Err(error(
        path,
        start,
        Problem::Content(format!("an annotation file or a list is expected, but this is {refused}")),
    ))
}

fn read_with(
    reader: impl BufRead,
    kind: Kind,
    prefix: &str,
    texts: bool,
    sink: &mut Sink<'_>,
) -> Result<(), (Place, Problem)> {
    match kind {
        Kind::Annotations => json::read(reader, texts, sink),
        Kind::List => list::read(reader, prefix, sink),
    }
}

#[cfg(test)]
mod tests;
