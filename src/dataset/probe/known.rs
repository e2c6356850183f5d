//! What is known of videos without opening them: the results of earlier checks, and of runs that failed.

use std::fs;
use std::path::Path;

use reeldeck_common::error::ErrorKind;
use reeldeck_common::failure::FailureFile;
use reeldeck_common::layout::{Layout, files_below};
use reeldeck_common::probe::{Level, Probed, Verdict};
use reeldeck_common::video::VideoName;

use super::cache::{self, Cache, CacheError};
use crate::dataset::scan::VideoFile;
use crate::dataset::state::Probes;

/// The results of earlier checks that still hold for these videos, which are sorted by name. A video that a run has found to be
/// corrupt counts as checked.
///
/// # Errors
/// When there are results of checks that cannot be read.
pub(crate) fn known(out: &Path, videos: &[VideoFile]) -> Result<Probes, CacheError> {
    let cache = Layout::new(out, "").private().join(cache::FOLDER);
    let mut probes = Cache::open(&cache, videos, false)?.verdicts(videos);
    add_failures(&out.join("failures"), videos, &mut probes);
    Ok(probes)
}

/// Adds the corrupt videos of all feature sets. A failure that cannot be read says nothing.
fn add_failures(failures: &Path, videos: &[VideoFile], probes: &mut Probes) {
    for set in fs::read_dir(failures).into_iter().flatten().flatten() {
        for file in files_below(&set.path()).unwrap_or_default() {
            let name = file.strip_suffix(".json").and_then(|name| VideoName::new(name).ok());
            let Some(at) = name.and_then(|name| videos.binary_search_by(|video| video.name.cmp(&name)).ok()) else {
                continue;
            };
            let Some(video) = videos.get(at) else { continue };
            let is_known = |probed: &Probed| !matches!(probed.verdict, Verdict::Healthy { .. });
            if probes.get(&video.name).is_some_and(is_known) {
                continue;
            }
            let failure = FailureFile::of_version(&set.path().join(&file), video.stamp).ok().flatten();
            let last = failure.as_ref().and_then(FailureFile::last).map(|attempt| &attempt.failure);
            if let Some(failure) = last.filter(|failure| failure.kind == ErrorKind::Corrupt) {
                let verdict = Verdict::Corrupt { reason: failure.line() };
                probes.insert(video.name.clone(), Probed { level: Level::Deep, source: video.stamp, verdict });
            }
        }
    }
}
