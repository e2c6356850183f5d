//! The findings of earlier probes in one file, one line per finding. Incomplete lines and unknown files are ignored: at
//! worst a video is probed again. A file that cannot be read is an error, because the lists of missing videos depend on it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded::Whole;
use reeldeck_common::error::{SAME_CONTENT, is_absent, of_same_content};
use reeldeck_common::open;
use reeldeck_common::probe::{CHECKS, Level, Probed, Verdict};
use reeldeck_common::protocol::MAX_LINE;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use reeldeck_process::{LineError, LineReader};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::is_lasting;
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;

#[cfg(test)]
mod tests;

/// The name of the cache in the private folder of an output folder.
pub(crate) const FOLDER: &str = "probe-cache";

/// The version of the lines.
const FORMAT: u32 = 1;

/// Number of outdated lines after which the file is rewritten.
const MAX_DEAD: usize = 1000;

/// The cache exists, but cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to read the results of earlier checks in {}; make the file readable, or remove it to check all videos again",
    shown(path)
)]
pub struct CacheError {
    path: PathBuf,
    source: io::Error,
}

/// The findings about the videos of one scan.
#[derive(Debug)]
pub struct Cache {
    known: HashMap<VideoName, Probed>,
    /// The content of files that were corrupt or damaged, by the last finding.
    contents: HashMap<VideoName, Content>,
    file: Store,
}

/// The content of a file with a problem.
#[derive(Clone, Debug)]
struct Content {
    source: SourceStamp,
    digest: String,
    /// Whether another download had the same content.
    is_repeated: bool,
}

#[derive(Debug)]
enum Store {
    /// Nothing is written.
    None,
    /// Not opened yet.
    Path {
        path: PathBuf,
        begin: Begin,
    },
    Open(File),
    /// Writing failed, and no more is written.
    Failed(io::Error),
}

/// What to write before the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// The file is missing or has another format, and is rewritten.
    Anew,
    /// The last line is incomplete.
    NewLine,
    Nothing,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    video: VideoName,
    probed: Probed,
    /// The digest of the content, for corrupt and damaged files.
    #[serde(default)]
    content: Option<String>,
}

#[derive(Serialize)]
struct EntryOut<'a> {
    video: &'a VideoName,
    probed: &'a Probed,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

impl Cache {
    /// An empty cache that is not stored.
    pub fn none() -> Self {
        Self { known: HashMap::new(), contents: HashMap::new(), file: Store::None }
    }

    /// Reads the findings about these videos, sorted by name. Nothing is written before [`Cache::store`] is called, and
    /// nothing at all if `keep` is false. A file that does not exist or has another format counts as empty.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn open(path: &Path, videos: &[VideoFile], keep: bool) -> Result<Self, CacheError> {
        let (mut known, mut contents) = (HashMap::new(), HashMap::new());
        let OldCache { begin, lines } = match read(path, videos, &mut known, &mut contents) {
            Err(error) if is_absent(&error) => OldCache { begin: Begin::Anew, lines: 0 },
            read => read.map_err(|source| CacheError { path: path.to_owned(), source })?,
        };
        let mut file = if keep { Store::Path { path: path.to_owned(), begin } } else { Store::None };
        if keep && lines > 2 * known.len() + MAX_DEAD {
            file = match write_anew(path, &known, &contents) {
                Ok(()) => Store::Path { path: path.to_owned(), begin: Begin::Nothing },
                Err(error) => Store::Failed(error),
            };
        }
        Ok(Self { known, contents, file })
    }

    /// The finding about the current version of a video, if its level is at least `level`.
    pub fn known(&self, video: &VideoFile, level: Level) -> Option<&Probed> {
        self.known.get(&video.name).filter(|probed| probed.source == video.stamp && probed.level >= level)
    }

    /// The findings about the current versions of these videos.
    pub fn verdicts(&self, videos: &[VideoFile]) -> HashMap<VideoName, Probed> {
        let known = videos.iter().filter_map(|video| self.known(video, Level::Quick).map(|probed| (video, probed)));
        known.map(|(video, probed)| (video.name.clone(), probed.clone())).collect()
    }

    /// Notes that the content of a corrupt or damaged file has this digest. If an earlier version of the file had the same
    /// content, the reason of the finding says so instead of suggesting another download.
    pub(crate) fn compare_content(&mut self, video: &VideoName, probed: &mut Probed, digest: String) {
        let source = probed.source;
        let earlier = self.contents.get(video).filter(|earlier| earlier.digest == digest);
        let is_repeated = earlier.is_some_and(|earlier| earlier.is_repeated || earlier.source != source);
        if let Verdict::Corrupt { reason } | Verdict::Damaged { reason, .. } = &mut probed.verdict
            && is_repeated
            && let Some(same) = of_same_content(reason)
        {
            *reason = same;
        }
        self.contents.insert(video.clone(), Content { source, digest, is_repeated });
    }

    /// Stores a finding, unless it is valid for this run only.
    pub fn store(&mut self, video: &VideoName, probed: &Probed) {
        if !is_lasting(&probed.verdict) {
            return;
        }
        if let Store::Path { path, begin } = &self.file {
            self.file = match start(path, *begin) {
                Ok(file) => Store::Open(file),
                Err(error) => Store::Failed(error),
            };
        }
        if let Store::Open(file) = &mut self.file
            // One write per line, so that lines of several processes do not mix.
            && let Err(error) = line(video, probed, &self.contents).and_then(|line| file.write_all(line.as_bytes()))
        {
            self.file = Store::Failed(error);
        }
        learn(&mut self.known, video.clone(), probed.clone());
    }

    /// Discards the findings in memory. New findings are still written to the file.
    pub fn forget(&mut self) {
        self.known = HashMap::new();
    }

    /// Why findings could not be written, if so. This run still has them.
    pub fn trouble(&self) -> Option<&io::Error> {
        match &self.file {
            Store::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// The newer finding replaces the older one, unless it has a lower level for the same version of the file.
fn learn(known: &mut HashMap<VideoName, Probed>, video: VideoName, probed: Probed) {
    match known.get(&video) {
        Some(old) if old.source == probed.source && old.level > probed.level => {}
        _ => drop(known.insert(video, probed)),
    }
}

fn header() -> String {
    format!("reeldeck probe cache {FORMAT}, checks {CHECKS}\n")
}

fn line(video: &VideoName, probed: &Probed, contents: &HashMap<VideoName, Content>) -> io::Result<String> {
    let content = contents.get(video).filter(|content| content.source == probed.source);
    let content = content.map(|content| content.digest.as_str());
    let text = serde_json::to_string(&EntryOut { video, probed, content })?;
    Ok(format!("{} {text}\n", checksum(text.as_bytes())))
}

fn checksum(text: &[u8]) -> String {
    format!("{:016x}", xxh3_64(text))
}

/// A cache with these entries, one per line, valid or not. For fuzzing, which cannot guess checksums.
pub(crate) fn of_entries(entries: &[u8]) -> Vec<u8> {
    let mut cache = header().into_bytes();
    for entry in entries.split(|byte| *byte == b'\n') {
        cache.extend(checksum(entry).into_bytes());
        cache.extend([b" ", entry, b"\n"].concat());
    }
    cache
}

fn parse(line: &[u8]) -> Option<Entry> {
    let (sum, text) = line.split_at_checked(17)?;
    let sum = u64::from_str_radix(std::str::from_utf8(sum.strip_suffix(b" ")?).ok()?, 16).ok()?;
    (sum == xxh3_64(text)).then(|| serde_json::from_slice(text).ok())?
}

struct OldCache {
    begin: Begin,
    /// Number of lines after the first.
    lines: usize,
}

/// Reads the lines about these videos. Other lines are only counted, so memory does not depend on the file's size.
fn read(
    path: &Path,
    videos: &[VideoFile],
    known: &mut HashMap<VideoName, Probed>,
    contents: &mut HashMap<VideoName, Content>,
) -> io::Result<OldCache> {
    let anew = OldCache { begin: Begin::Anew, lines: 0 };
    // Opening a pipe without a writer would block.
    if !fs::metadata(path)?.is_file() {
        return Ok(anew);
    }
    let mut reader = LineReader::new(BufReader::with_capacity(1 << 18, Whole::open(path)?), MAX_LINE);
    match reader.next_line() {
        Ok(Some(line)) if line == header().trim_end().as_bytes() => {}
        Err(LineError::Read(error)) => return Err(error),
        _ => return Ok(anew),
    }
    let mut lines = 0;
    let begin = loop {
        match reader.next_line() {
            Ok(Some(line)) => {
                if let Some(Entry { video, probed, content }) = parse(line)
                    && videos.binary_search_by(|other| other.name.cmp(&video)).is_ok()
                {
                    let is_repeated = probed.verdict.reason().is_some_and(|reason| reason.ends_with(SAME_CONTENT));
                    let source = probed.source;
                    match content {
                        Some(digest) => drop(contents.insert(video.clone(), Content { source, digest, is_repeated })),
                        None => drop(contents.remove(&video)),
                    }
                    learn(known, video, probed);
                }
            }
            Ok(None) => break Begin::Nothing,
            Err(LineError::Incomplete) => break Begin::NewLine,
            Err(LineError::Read(error)) => return Err(error),
            // Another program has written to the file.
            Err(_) => break Begin::Anew,
        }
        lines += 1;
    };
    Ok(OldCache { begin, lines })
}

/// Opens the file for appending.
fn start(path: &Path, begin: Begin) -> io::Result<File> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    if begin == Begin::Anew {
        write_anew(path, &HashMap::new(), &HashMap::new())?;
    }
    let mut file = open::append(path)?;
    if begin == Begin::NewLine {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn write_anew(
    path: &Path,
    known: &HashMap<VideoName, Probed>,
    contents: &HashMap<VideoName, Content>,
) -> io::Result<()> {
    atomic::write(path, &Owner::this_process(), |writer| {
        writer.write_all(header().as_bytes())?;
        known.iter().try_for_each(|(video, probed)| writer.write_all(line(video, probed, contents)?.as_bytes()))
    })
}
