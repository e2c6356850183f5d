//! The list of excluded videos, one name per line. It applies to every run on the output folder.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::video::VideoName;

/// The largest list that is read, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// The path of the list.
pub fn path(private: &Path) -> PathBuf {
    private.join("excluded")
}

/// Reads the list. Lines that are not names of videos are skipped.
///
/// # Errors
/// When the list exists and cannot be read: a run must not extract excluded videos.
pub fn read(private: &Path) -> io::Result<BTreeSet<VideoName>> {
    Ok(lines(private)?.iter().filter_map(|line| VideoName::new(line).ok()).collect())
}

/// The lines that are not empty, without spaces at the end and without `./` at the beginning.
///
/// # Errors
/// As [`read`].
pub fn lines(private: &Path) -> io::Result<Vec<String>> {
    let bytes = match bounded::read(&path(private), MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => {
            let text = format!("failed to read {}, the list of excluded videos: {error}", path(private).display());
            return Err(io::Error::new(error.kind(), format!("{text}; check its permissions and its disk")));
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    // An editor may have written a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = text.lines().map(|line| line.trim_end().trim_start_matches("./"));
    Ok(lines.filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect())
}
