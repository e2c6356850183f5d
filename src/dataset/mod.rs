//! What is on disk, what should be, and what the one says of the other.
//! What is on disk: the scan of the dataset folder, the probe of the videos in it, and the list of videos in the original's format.

use std::path::Path;

use reeldeck_common::video::{VideoName, printable};

use scan::VideoFile;

pub mod manifest;
pub mod matching;
pub mod probe;
pub mod python_json;
pub mod report;
pub mod scan;
pub mod shard;
pub mod state;
pub mod video_list;
pub mod watch;

/// Text from disk made fit for a terminal: control characters and bytes that are not UTF-8 become visible escapes, so
/// that the user can tell which of two odd names is meant.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// The names alone.
pub fn names(videos: &[VideoFile]) -> Vec<VideoName> {
    videos.iter().map(|video| video.name.clone()).collect()
}

/// A path made fit for a terminal.
pub fn shown(path: &Path) -> String {
    shown_bytes(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_bytes_become_visible() {
        assert_eq!(shown_bytes(b"A/v_\xff\xc3\xa9\n\x1b.mp4"), "A/v_\\xffé\\n\\u{1b}.mp4");
    }
}
