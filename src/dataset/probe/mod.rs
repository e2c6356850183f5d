//! The probe of a dataset: what each video on disk is like, found out by many processes at a time and remembered.

pub mod cache;
mod pool;
mod process;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Probed, Verdict};
use reeldeck_common::source::SourceStamp;

use super::scan::VideoFile;
use super::shown;
use cache::Cache;

/// More processes than this only get into each other's way.
const MAX_PROCESSES: usize = 64;

/// How the files are looked at.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `reeldeck-probe`.
    pub program: PathBuf,
    /// So many processes at a time.
    pub processes: usize,
    /// Address space of each process in MiB.
    pub memory_mib: u64,
    /// A process that does not answer so long after its start is of no use.
    pub start: Duration,
    /// A process that gives no sign of life for so long is ended.
    pub stall: Duration,
    /// A file that was written to within this time is still arriving.
    pub settle: Duration,
}

impl Setup {
    /// For files that are waited for rather than worked on, as over a network: several processes for each core.
    pub fn far_away(self) -> Self {
        // No fewer than keep a fast network busy, no more than a server of a workgroup bears.
        Self { processes: (4 * self.processes).clamp(8, 32), ..self }
    }

    /// The usual: a process for each core.
    pub fn new(program: PathBuf, limits: &Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            program,
            processes: cores.min(MAX_PROCESSES),
            // The largest picture that is taken by default has 54 MB, and a decoder may hold back seventeen.
            memory_mib: if limits.memory_mib == 0 { 4096 } else { limits.memory_mib },
            start: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            settle: Duration::from_secs(5),
        }
    }
}

/// What is to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The dataset folder.
    pub root: &'a Path,
    /// The videos in it, sorted by name, as a scan gives them.
    pub videos: &'a [VideoFile],
    /// How closely.
    pub level: Level,
    /// Bounds on each.
    pub limits: &'a Limits,
}

/// What came of one video.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// It was judged.
    Probed {
        /// What it is like.
        probed: Probed,
        /// Known from before; the file was not opened.
        cached: bool,
    },
    /// Not judged: somebody is still writing to it.
    Arriving,
    /// Not judged: it could not be read this time. The reason, for people.
    Unread(String),
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every video has a finding.
    Complete,
    /// `cancel` was set. What had been found until then is in the cache.
    Cancelled,
}

/// Why the probe cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The program cannot be started.
    #[error("failed to start {}; build or unpack all of reeldeck's programs together", shown(program))]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It runs, but does not answer as it should.
    #[error("{} does not work ({how}); build or unpack all of reeldeck's programs together", shown(program))]
    Broken {
        /// The program.
        program: PathBuf,
        /// What it does, in words.
        how: String,
    },
    /// No file can be read.
    #[error("the dataset folder {} does not answer any more; check the disk or the network", shown(root))]
    Silent {
        /// The dataset folder.
        root: PathBuf,
    },
}

/// Looks at all videos and tells `each` what came of the one with this index, in no particular order. Those that the cache
/// knows come first. Set `cancel` to end it early: it ends within a fraction of a second.
///
/// A file that crashes a process, or makes it compute without end, is tried again alone, after all others, and called
/// corrupt when that happens again.
///
/// # Errors
/// When `reeldeck-probe` does not work, or nothing in the dataset folder can be read any more.
pub fn probe(
    request: Request<'_>,
    setup: &Setup,
    cache: &mut Cache,
    cancel: &AtomicBool,
    each: &mut dyn FnMut(usize, Finding),
) -> Result<Ended, ProbeError> {
    let mut left = vec![];
    for (index, video) in request.videos.iter().enumerate() {
        if cancel.load(Ordering::Relaxed) {
            return Ok(Ended::Cancelled);
        }
        match cache.known(video, request.level) {
            Some(probed) => each(index, Finding::Probed { probed: probed.clone(), cached: true }),
            None => left.push(index),
        }
    }
    let mut take = |index: usize, finding: Finding| {
        if let (Some(video), Finding::Probed { probed, .. }) = (request.videos.get(index), &finding) {
            cache.store(&video.name, probed);
        }
        each(index, finding);
    };
    pool::run(request, setup, &left, cancel, &mut take)
}

/// Whether somebody may still be writing to a file. One from the future is taken as it is.
fn is_arriving(stamp: SourceStamp, settle: Duration) -> bool {
    let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else { return false };
    let age = now.as_nanos() as i128 - i128::from(stamp.mtime_ns);
    age.unsigned_abs() < settle.as_nanos()
}

/// A verdict holds for other runs too, unless it is about the limits of this one.
fn is_lasting(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::OverLimit { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_just_written_is_arriving() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i64;
        let arriving = |seconds: i64| {
            let stamp = SourceStamp { size: 1, mtime_ns: now + seconds * 1_000_000_000 };
            is_arriving(stamp, Duration::from_secs(60))
        };
        assert!(arriving(0) && arriving(-50) && arriving(50));
        assert!(!arriving(-70) && !arriving(-1_000_000_000) && !arriving(86_400));
    }
}
