//! The videos on disk, the manifest, and the comparison of the two.

use std::io;

use reeldeck_common::layout::{Layout, files_below};
use reeldeck_common::video::VideoName;
pub(crate) use reeldeck_common::video::{shown, shown_bytes};

use scan::VideoFile;

pub(crate) mod manifest;
pub(crate) mod matching;
pub(crate) mod probe;
pub(crate) mod python_json;
pub(crate) mod report;
pub(crate) mod scan;
pub(crate) mod state;
pub(crate) mod video_list;
pub(crate) mod watch;

/// The names of the videos.
pub(crate) fn names(videos: &[VideoFile]) -> Vec<VideoName> {
    videos.iter().map(|video| video.name.clone()).collect()
}

/// The videos that have a feature and are not among `videos`, which are sorted by name. They are sorted too.
///
/// # Errors
/// When the folder of the features cannot be listed.
pub(crate) fn features_without_video(layout: &Layout, videos: &[VideoFile]) -> io::Result<Vec<VideoName>> {
    let files = files_below(&layout.features())?;
    let names = files.iter().filter_map(|file| VideoName::new(file.strip_suffix(".safetensors")?).ok());
    let is_there = |name: &VideoName| videos.binary_search_by(|video| video.name.cmp(name)).is_ok();
    let mut without: Vec<VideoName> = names.filter(|name| !is_there(name)).collect();
    without.sort_unstable();
    Ok(without)
}
