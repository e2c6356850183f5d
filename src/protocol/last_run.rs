//! The file with the summary of the last run.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded;

use super::summary::RunSummary;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

fn path(private: &Path) -> PathBuf {
    private.join("last-run.json")
}

/// The last run. None if there was none, or its summary cannot be read: it is only information.
pub(crate) fn read(private: &Path) -> Option<RunSummary> {
    serde_json::from_slice(&bounded::read(&path(private), MAX_BYTES).ok()?).ok()
}

/// Changes with each run that ends, also on another machine. None if none has ended.
pub(crate) fn version(private: &Path) -> Option<(u64, i64, i64, u64)> {
    let data = fs::metadata(path(private)).ok()?;
    Some((data.ino(), data.mtime(), data.mtime_nsec(), data.len()))
}

/// Adds an engine's summary to that of its run if other engines of the run have ended, or replaces that of an earlier run.
/// Returns what it has written.
///
/// # Errors
/// When it cannot be written; the old one stays.
pub(crate) fn write(private: &Path, owner: &Owner, own: RunSummary) -> std::io::Result<RunSummary> {
    // Engines of a run often end at the same time.
    let _held = atomic::lock_folder(private)?;
    let summary = match read(private) {
        Some(earlier) => own.joined(earlier),
        None => own,
    };
    let text = serde_json::to_string(&summary)?;
    atomic::write(&path(private), owner, |writer| writeln!(writer, "{text}"))?;
    Ok(summary)
}
