//! The videos on disk, the manifest, and the comparison of the two.

use std::io;
use std::path::Path;

use reeldeck_common::layout::{Layout, files_below};
use reeldeck_common::video::{VideoName, printable};

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

/// Makes text from disk safe for a terminal: control characters and invalid UTF-8 become visible escapes that keep different
/// names distinguishable.
pub(crate) fn shown_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

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

/// A path that is safe for a terminal.
pub(crate) fn shown(path: &Path) -> String {
    shown_bytes(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_invalid_utf8_are_escaped() {
        assert_eq!(shown_bytes(b"A/v_\xff\xc3\xa9\n\x1b.mp4"), "A/v_\\xffé\\n\\u{1b}.mp4");
    }
}
