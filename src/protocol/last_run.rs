//! The file with the summary of the last run, one for each part of the dataset.

use std::io::Write;
use std::path::{Path, PathBuf};

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded;

use super::summary::RunSummary;
use crate::dataset::shard::Shard;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

fn path(private: &Path, shard: Shard) -> PathBuf {
    private.join(format!("last-run-{}-of-{}.json", shard.index, shard.of))
}

/// The last run of a part. None if there was none, or its summary cannot be read: it is only information.
pub(crate) fn read(private: &Path, shard: Shard) -> Option<RunSummary> {
    serde_json::from_slice(&bounded::read(&path(private, shard), MAX_BYTES).ok()?).ok()
}

/// Replaces the summary of the last run.
///
/// # Errors
/// When it cannot be written; the old one stays.
pub(crate) fn write(private: &Path, shard: Shard, owner: &Owner, summary: &RunSummary) -> std::io::Result<()> {
    let text = serde_json::to_string(summary)?;
    atomic::write(&path(private, shard), owner, |writer| writeln!(writer, "{text}"))
}

/// The last run of each part, sorted by part.
pub(crate) fn all(private: &Path) -> Vec<(Shard, RunSummary)> {
    let entries = std::fs::read_dir(private).into_iter().flatten().flatten();
    let shard = |name: &str| {
        let (index, of) = name.strip_prefix("last-run-")?.strip_suffix(".json")?.split_once("-of-")?;
        format!("{index}/{of}").parse::<Shard>().ok()
    };
    let shards = entries.filter_map(|entry| shard(entry.file_name().to_str()?));
    let mut all: Vec<_> = shards.filter_map(|shard| Some((shard, read(private, shard)?))).collect();
    all.sort_by_key(|(shard, _)| (shard.of, shard.index));
    all
}
