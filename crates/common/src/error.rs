//! The kinds of failure a video can meet, sorted by what is to be done next, and the chain of words that goes with one.

use serde::{Deserialize, Serialize};

/// What went wrong with one attempt, sorted by what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The file is not a healthy video. Trying again changes nothing.
    Corrupt,
    /// A limit on pixels, duration, memory or time was reached.
    Limit,
    /// Reading or writing failed for a reason that may pass.
    Io,
    /// The file that was listed is not there any more.
    Missing,
    /// The device or the host had no memory left.
    OutOfMemory,
    /// The output file system is full.
    DiskFull,
    /// The output folder is gone, read-only, or not ours to write to.
    Output,
    /// The worker process ended without a word.
    WorkerCrashed,
    /// The worker gave no sign of life for too long and was ended.
    WorkerHung,
    /// The device cannot be used, or not any more.
    Device,
    /// The video was taken back because the run is ending. Not the video's fault.
    Interrupted,
    /// A fault of reeldeck itself.
    Internal,
}

impl ErrorKind {
    /// The kind that an I/O error belongs to.
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::NotFound => Self::Missing,
            Io::StorageFull | Io::QuotaExceeded => Self::DiskFull,
            Io::OutOfMemory => Self::OutOfMemory,
            _ => Self::Io,
        }
    }

    /// The kind that a failed write to the output folder belongs to: what is wrong there is no video's fault.
    pub fn of_write(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::NotFound
            | Io::NotADirectory
            | Io::PermissionDenied
            | Io::ReadOnlyFilesystem
            | Io::StaleNetworkFileHandle => Self::Output,
            _ => Self::of_io(error),
        }
    }
}

/// An error on its way from a worker to a failure file: its kind, and its causes from the outermost inwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The messages, outermost first; never empty.
    pub chain: Vec<String>,
}

impl Failure {
    /// A failure with one message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, chain: vec![message.into()] }
    }

    /// A failure from an error and all its sources.
    pub fn from_error(kind: ErrorKind, error: &(dyn std::error::Error + 'static)) -> Self {
        let chain = std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect();
        Self { kind, chain }
    }

    /// All messages in one line.
    pub fn line(&self) -> String {
        self.chain.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_is_wrong_with_the_output_is_no_videos_fault() {
        for (errno, kind) in [
            (Errno::NOENT, ErrorKind::Output),
            (Errno::NOTDIR, ErrorKind::Output),
            (Errno::ACCESS, ErrorKind::Output),
            (Errno::PERM, ErrorKind::Output),
            (Errno::ROFS, ErrorKind::Output),
            (Errno::STALE, ErrorKind::Output),
            (Errno::NOSPC, ErrorKind::DiskFull),
            (Errno::DQUOT, ErrorKind::DiskFull),
            (Errno::NOMEM, ErrorKind::OutOfMemory),
            (Errno::IO, ErrorKind::Io),
        ] {
            assert_eq!(ErrorKind::of_write(&errno.into()), kind, "{errno}");
        }
        // The same said of a video is said of the video.
        assert_eq!(ErrorKind::of_io(&Errno::NOENT.into()), ErrorKind::Missing);
        assert_eq!(ErrorKind::of_io(&Errno::ACCESS.into()), ErrorKind::Io);
    }
}
