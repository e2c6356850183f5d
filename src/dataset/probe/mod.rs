//! The probe of a dataset: examines the videos on disk with many processes and stores the findings.

pub(crate) mod cache;
mod known;
mod pool;
mod process;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reeldeck_common::digest;
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Probed, Verdict};
use reeldeck_common::source::SourceStamp;

use super::scan::VideoFile;
use super::shown;
use cache::Cache;
pub(crate) use known::known;

/// Maximum number of processes.
const MAX_PROCESSES: usize = 64;

/// How to probe.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The path of `reeldeck-probe`.
    pub program: PathBuf,
    /// Number of processes.
    pub processes: usize,
    /// Address space of each process, in MiB.
    pub memory_mib: u64,
    /// Time limit for the start of a process.
    pub start: Duration,
    /// Longest time without a sign of life from a process.
    pub stall: Duration,
    /// A file that was modified within this time counts as still being written. Zero: only files that change while they are
    /// examined do.
    pub settle: Duration,
}

impl Setup {
    /// For network file systems, on which processes mostly wait: several processes per core.
    pub fn far_away(self) -> Self {
        // Enough for a fast network, and not too many for a workgroup's server.
        Self { processes: (4 * self.processes).clamp(8, 32), ..self }
    }

    /// The default: one process per core.
    pub fn new(program: PathBuf, limits: &Limits) -> Self {
        let cores = crate::allocation::cores();
        Self {
            program,
            processes: cores.min(MAX_PROCESSES),
            // The largest picture that is accepted by default has 54 MB, and a decoder may hold 17 of them.
            memory_mib: if limits.memory_mib == 0 { 4096 } else { limits.memory_mib },
            start: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            settle: Duration::from_secs(5),
        }
    }
}

/// What to probe.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The dataset folder.
    pub root: &'a Path,
    /// The videos, sorted by name as in a scan.
    pub videos: &'a [VideoFile],
    /// The level.
    pub level: Level,
    /// Limits per video.
    pub limits: &'a Limits,
}

/// What a probe of one video found.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The video was examined.
    Probed {
        /// The verdict.
        probed: Probed,
        /// Whether the verdict comes from the cache.
        cached: bool,
    },
    /// The file is still being written.
    Arriving,
    /// The file could not be read, with the reason for people.
    Unreadable(String),
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every video has an outcome.
    Complete,
    /// `cancel` was set. The outcomes so far are in the cache.
    Cancelled,
}

/// Why the probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The program cannot be started.
    #[error("failed to start {}; build or unpack all of reeldeck's programs together", shown(program))]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The system refuses to start a thread.
    #[error("{0}")]
    Thread(std::io::Error),
    /// The program does not answer correctly.
    #[error("{} does not work ({how}); build or unpack all of reeldeck's programs together", shown(program))]
    Broken {
        /// The program.
        program: PathBuf,
        /// What it does.
        how: String,
    },
    /// Another process or the kernel has killed the program.
    #[error("{} {how}. Check that enough memory is free, then try again", shown(program))]
    Killed {
        /// The program.
        program: PathBuf,
        /// How it ended, as a predicate.
        how: String,
    },
    /// No file can be read.
    #[error("the dataset folder {} has stopped responding; check the disk or the network", shown(root))]
    Silent {
        /// The dataset folder.
        root: PathBuf,
    },
}

/// Probes all videos and passes each finding with its video's index to `each`, in no particular order but cached ones first.
/// Setting `cancel` ends the probe within a fraction of a second.
///
/// A file whose process crashes or exceeds the time limit is probed again alone at the end. If that happens again, it is
/// corrupt.
///
/// # Errors
/// When `reeldeck-probe` does not work, or no file of the dataset can be read.
pub fn probe(
    request: Request<'_>,
    setup: &Setup,
    cache: &mut Cache,
    cancel: &AtomicBool,
    each: &mut dyn FnMut(usize, Outcome),
) -> Result<Ended, ProbeError> {
    let mut left = vec![];
    for (index, video) in request.videos.iter().enumerate() {
        if cancel.load(Ordering::Relaxed) {
            return Ok(Ended::Cancelled);
        }
        match cache.known(video, request.level) {
            Some(probed) => each(index, Outcome::Probed { probed: probed.clone(), cached: true }),
            None => left.push(index),
        }
    }
    let mut take = |index: usize, mut outcome: Outcome| {
        if let (Some(video), Outcome::Probed { probed, .. }) = (request.videos.get(index), &mut outcome) {
            if let Verdict::Corrupt { reason } | Verdict::Damaged { reason, .. } = &probed.verdict
                && let Ok(content) = digest::of_corrupt(&video.name.under(request.root), reason)
            {
                cache.compare_content(&video.name, probed, content);
            }
            cache.store(&video.name, probed);
        }
        each(index, outcome);
    };
    pool::run(request, setup, &left, cancel, &mut take)
}

/// Whether a file may still be being written. Modification times in the future are ignored.
pub(crate) fn is_arriving(stamp: SourceStamp, settle: Duration) -> bool {
    let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else { return false };
    let age = now.as_nanos() as i128 - i128::from(stamp.mtime_ns);
    age.unsigned_abs() < settle.as_nanos()
}

/// A verdict about the limits of this run does not hold for other runs.
fn is_lasting(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::OverLimit { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recently_modified_files_are_arriving() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i64;
        let arriving = |seconds: i64| {
            let stamp = SourceStamp { size: 1, mtime_ns: now + seconds * 1_000_000_000 };
            is_arriving(stamp, Duration::from_secs(60))
        };
        assert!(arriving(0) && arriving(-50) && arriving(50));
        assert!(!arriving(-70) && !arriving(-1_000_000_000) && !arriving(86_400));
    }
}
