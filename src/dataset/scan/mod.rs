//! The scan finds the videos of the dataset folder, incomplete downloads, and the files that cannot be used, with the reason.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use rustix::io::Errno;
use walkdir::{DirEntry, WalkDir};

use super::shown;

mod layout;
mod partial;
mod refusal;

pub use layout::FolderLayout;
pub(crate) use partial::is_partial_extension;
pub(crate) use refusal::{Refusal, Refused, ScanError};

/// The default extensions of videos.
pub(crate) const EXTENSIONS: &[&str] = &[
    "mp4", "mkv", "webm", "avi", "mov", "m4v", "flv", "ts", "mpg", "mpeg", "wmv", "3gp", "ogv", "asf", "m2ts", "mts",
    "vob", "mxf",
];

/// A feature file adds this to the name of its video, and file names have at most 255 bytes.
const MAX_NAME_LEN: usize = 255 - ".safetensors".len();

/// Ignored files that are named. There may be as many as videos, such as one file with subtitles beside each.
const MAX_IGNORED_NAMES: usize = 1_000;

/// What counts as a video, and where videos lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRules {
    /// Extensions of videos, lower case, without a dot; they match in any case.
    pub extensions: Vec<String>,
    /// Where the videos lie.
    pub layout: FolderLayout,
}

/// The result of a scan.
#[derive(Debug, Default)]
pub struct Scan {
    /// The videos, sorted by the bytes of their names.
    pub videos: Vec<VideoFile>,
    /// Entries that look like videos or may contain some, but cannot be used; sorted by their shown path.
    pub refused: Vec<Refused>,
    /// Downloads that are not complete, by their paths relative to the dataset folder; sorted, safe for a terminal.
    pub incomplete: Vec<String>,
    /// Number of ignored files and hidden folders.
    pub ignored: usize,
    /// Up to 1,000 of them, by their paths relative to the dataset folder; safe for a terminal.
    pub ignored_names: Vec<String>,
    /// The layout of the videos. `None` if it is not clear.
    pub layout: Option<FolderLayout>,
}

/// A video on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFile {
    /// The path relative to the dataset folder.
    pub name: VideoName,
    /// Size and modification time at the scan.
    pub stamp: SourceStamp,
}

impl Scan {
    /// The first file or folder that could not be read, or broken link to one of which there are features in the output folder: its
    /// disk may not be mounted. Such videos may exist without being in the scan. Reads the disk.
    pub(crate) fn unreadable(&self, out: &Path) -> Option<&Refused> {
        let sets: Vec<PathBuf> =
            fs::read_dir(out.join("features")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        let has_features = |shown: &str| {
            let feature = format!("{shown}.safetensors");
            sets.iter().any(|set| set.join(shown).exists() || set.join(&feature).exists())
        };
        self.refused.iter().find(|Refused { shown, reason }| match reason {
            Refusal::Unreadable(_) => true,
            Refusal::Dangling => has_features(shown),
            _ => false,
        })
    }

    /// Number of classes that have a video. Videos without a class do not count.
    pub fn classes(&self) -> usize {
        let classes: HashSet<&str> = self.videos.iter().map(|video| video.name.class()).collect();
        classes.len() - usize::from(classes.contains(""))
    }

    /// File names without extension that several videos share, with these videos. Trainers identify a video by this name.
    pub fn duplicate_stems(&self) -> Vec<(&str, Vec<&VideoName>)> {
        let mut by_stem: BTreeMap<&str, Vec<&VideoName>> = BTreeMap::new();
        for VideoFile { name, .. } in &self.videos {
            let stem = name.file().rsplit_once('.').map_or(name.file(), |(stem, _)| stem);
            by_stem.entry(stem).or_default().push(name);
        }
        by_stem.into_iter().filter(|(_, names)| names.len() > 1).collect()
    }

    fn ignore(&mut self, relative: &Path) {
        self.ignored += 1;
        if self.ignored_names.len() < MAX_IGNORED_NAMES {
            self.ignored_names.push(shown(relative));
        }
    }

    fn refuse(&mut self, relative: &Path, reason: Refusal) {
        self.refused.push(Refused { shown: shown(relative), reason });
    }
}

/// Finds all videos in `root`. Links are followed. It opens no file and needs one stat per video.
///
/// # Errors
/// When `root` cannot be read. Unreadable entries below it are reported as refused.
pub fn scan(root: &Path, rules: &ScanRules) -> Result<Scan, ScanError> {
    let unreadable = |source| ScanError::Read { path: root.to_owned(), source };
    if !fs::metadata(root).map_err(unreadable)?.is_dir() {
        return Err(ScanError::NotAFolder { path: root.to_owned() });
    }
    let mut scan = Scan::default();
    let mut seen = HashSet::new();
    let mut unfinished = Unfinished::default();
    let mut walk = WalkDir::new(root).follow_links(true);
    if rules.layout == FolderLayout::Any {
        // Of several paths to one folder, every scan takes the same.
        walk = walk.sort_by_file_name();
    }
    let mut walk = walk.into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.path() == Some(root) => return Err(unreadable(error.into())),
            Err(error) => {
                scan.take_error(root, rules, error);
                continue;
            }
        };
        let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let is_folder = entry.file_type().is_dir();
        if entry.depth() == 0 {
            // The dataset folder itself may have any name.
        } else if is_hidden(entry.file_name()) {
            scan.ignore(relative);
            if is_folder {
                walk.skip_current_dir();
            }
        } else if unfinished.takes(relative) {
            // Some browsers write into a folder with such a name.
            if is_folder {
                walk.skip_current_dir();
            }
        } else if is_folder {
            if entry.depth() > 1 && rules.is_video(relative) {
                scan.refuse(relative, Refusal::NotAFile("folder"));
            }
            // Links can form an endless tree, so each folder below the first two levels is visited once.
            if entry.depth() > 2 && entry.metadata().is_ok_and(|m| !seen.insert((m.dev(), m.ino()))) {
                walk.skip_current_dir();
            }
        } else if !rules.is_video(relative) {
            scan.ignore(relative);
        } else {
            match judge(relative, &entry) {
                Ok(video) => scan.videos.push(video),
                Err(reason) => scan.refuse(relative, reason),
            }
        }
    }
    unfinished.remove_from(&mut scan.videos);
    scan.incomplete = unfinished.found.iter().map(|path| shown(path)).collect();
    scan.keep_layout(rules.layout);
    scan.videos.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    scan.refused.sort_by(|a, b| a.shown.cmp(&b.shown));
    Ok(scan)
}

/// The videos directly in one folder, by the rules of [`scan`] for this layout, which is not [`FolderLayout::Auto`]. Refused
/// entries are left out.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn scan_folder(root: &Path, folder: &str, rules: &ScanRules) -> io::Result<Vec<VideoFile>> {
    let mut videos = vec![];
    let mut unfinished = Unfinished::default();
    for entry in WalkDir::new(root.join(folder)).follow_links(true).max_depth(1) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 || error.io_error().is_some_and(is_of_the_disk) => {
                return Err(without_path(error));
            }
            Err(_) => continue,
        };
        let relative = Path::new(folder).join(entry.file_name());
        if entry.depth() == 0 || is_hidden(entry.file_name()) || unfinished.takes(&relative) {
            continue;
        }
        if rules.is_video(&relative)
            && let Ok(video) = judge(&relative, &entry)
            && rules.layout.refuses(&video.name).is_none()
        {
            videos.push(video);
        }
    }
    unfinished.remove_from(&mut videos);
    Ok(videos)
}

/// Whether a file or folder with this name is passed over: it is hidden or an incomplete download.
pub(in crate::dataset) fn is_passed_over(name: &str) -> bool {
    is_hidden(OsStr::new(name)) || partial::is_partial(name)
}

fn judge(relative: &Path, entry: &DirEntry) -> Result<VideoFile, Refusal> {
    if !entry.file_type().is_file() {
        return Err(Refusal::NotAFile(kind_of(entry.file_type())));
    }
    let name = VideoName::from_relative_path(relative)?;
    if name.file().len() > MAX_NAME_LEN {
        return Err(Refusal::NameTooLong);
    }
    let endings = [".safetensors", ".json"];
    if let Some(ending) = endings.into_iter().find(|ending| name.folder().split('/').any(|part| part.ends_with(ending)))
    {
        return Err(Refusal::FolderName(ending));
    }
    let metadata = entry.metadata().map_err(|error| Refusal::Unreadable(without_path(error)))?;
    Ok(VideoFile { name, stamp: SourceStamp::of(&metadata) })
}

impl ScanRules {
    /// The layout that these videos of a scan have; any layout if there is none yet.
    pub(super) fn resolved(&self, videos: &[VideoFile]) -> Self {
        let layout = self.layout.resolve(videos.iter().map(|video| &video.name)).unwrap_or(FolderLayout::Any);
        Self { extensions: self.extensions.clone(), layout }
    }

    fn is_video(&self, path: &Path) -> bool {
        path.extension().is_some_and(|found| self.extensions.iter().any(|known| found.eq_ignore_ascii_case(known)))
    }
}

/// The incomplete downloads of a folder or of a whole dataset.
#[derive(Debug, Default)]
struct Unfinished {
    found: BTreeSet<PathBuf>,
    /// Files that a downloader may still write.
    written: HashSet<PathBuf>,
}

impl Unfinished {
    /// Whether an entry is an incomplete download.
    fn takes(&mut self, relative: &Path) -> bool {
        // Names that are not UTF-8 are refused later.
        let is_partial = relative.file_name().and_then(OsStr::to_str).is_some_and(partial::is_partial);
        if is_partial {
            self.written.extend(partial::belongs_to(relative).map(Path::to_owned));
            self.found.insert(relative.to_owned());
        }
        is_partial
    }

    /// Removes the files that a downloader may still write.
    fn remove_from(&mut self, videos: &mut Vec<VideoFile>) {
        if !self.written.is_empty() {
            videos.retain(|video| {
                let path = Path::new(video.name.as_str());
                let is_written = self.written.contains(path);
                if is_written {
                    self.found.insert(path.to_owned());
                }
                !is_written
            });
        }
    }
}

impl Scan {
    /// Refuses the videos that do not belong to the layout.
    fn keep_layout(&mut self, layout: FolderLayout) {
        self.layout = layout.resolve(self.videos.iter().map(|video| &video.name));
        let refuses = |video: &VideoFile| match self.layout {
            Some(layout) => layout.refuses(&video.name),
            None => Some(Refusal::Unclear),
        };
        let mut refused = vec![];
        self.videos.retain(|video| match refuses(video) {
            None => true,
            Some(reason) => {
                refused.push(Refused { shown: shown(Path::new(video.name.as_str())), reason });
                false
            }
        });
        self.refused.append(&mut refused);
    }

    /// Decides whether an error of the walk is refused or ignored.
    fn take_error(&mut self, root: &Path, rules: &ScanRules, error: walkdir::Error) {
        let Some(path) = error.path().map(Path::to_owned) else {
            return self.refuse(Path::new("(a folder)"), Refusal::Unreadable(without_path(error)));
        };
        let relative = path.strip_prefix(root).unwrap_or(&path);
        if path.file_name().is_some_and(is_hidden) {
            return self.ignore(relative);
        }
        if error.loop_ancestor().is_some() {
            return self.refuse(relative, Refusal::Cycle);
        }
        let is_link = fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink());
        // A broken link in the dataset folder may have been a class. In a class folder, its extension decides.
        if is_link && relative.components().count() > 1 && !rules.is_video(relative) {
            return self.ignore(relative);
        }
        let source = without_path(error);
        // Another link that leads to itself may have been a class.
        let is_circle = source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) && rules.is_video(relative);
        let dangling = is_link && (source.kind() == io::ErrorKind::NotFound || is_circle);
        self.refuse(relative, if dangling { Refusal::Dangling } else { Refusal::Unreadable(source) });
    }
}

/// The I/O error alone: walkdir's message repeats the path without escapes.
fn without_path(error: walkdir::Error) -> io::Error {
    match error.io_error().and_then(io::Error::raw_os_error) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.into(),
    }
}

/// Whether an error says that a disk or a server is gone, and nothing about the file.
fn is_of_the_disk(error: &io::Error) -> bool {
    let codes = [Errno::IO, Errno::STALE, Errno::NOTCONN, Errno::TIMEDOUT, Errno::HOSTDOWN, Errno::CONNABORTED];
    codes.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}

/// `lost+found` belongs to the file system, and only root can read it.
fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".") || name == "lost+found"
}

fn kind_of(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "named pipe"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "device"
    } else {
        "special file"
    }
}

/// The same videos with their current size and modification time. Videos that cannot be accessed keep their old ones.
pub(crate) fn as_they_are(root: &Path, mut videos: Vec<VideoFile>) -> Vec<VideoFile> {
    for video in &mut videos {
        if let Ok(stamp) = SourceStamp::read(&video.name.under(root)) {
            video.stamp = stamp;
        }
    }
    videos
}

#[cfg(test)]
mod tests;
