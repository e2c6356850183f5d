//! The failure of an attempt: its kind, which decides what happens next, and its messages.

use serde::{Deserialize, Serialize};

/// How a reason ends if another download can help.
pub const DOWNLOAD_AGAIN: &str = "; download it again";
/// How a reason ends if the source itself may be damaged in the same way.
pub const COMPARE_WITH_SOURCE: &str = "; if the source plays without faults, download it again";
/// How a reason ends if the file was replaced or touched and has the content that failed before.
pub const SAME_CONTENT: &str =
    "; the same content failed before: if this is another download, the source itself is damaged";

/// The reason of a file whose content failed before in another download; `None` if it does not suggest a download.
pub fn of_same_content(reason: &str) -> Option<String> {
    let facts = without_advice(reason);
    (facts.len() < reason.len() && !reason.ends_with(SAME_CONTENT)).then(|| format!("{facts}{SAME_CONTENT}"))
}

/// The reason without what it says about another download.
pub fn without_advice(reason: &str) -> &str {
    [COMPARE_WITH_SOURCE, DOWNLOAD_AGAIN, SAME_CONTENT]
        .iter()
        .find_map(|advice| reason.strip_suffix(advice))
        .unwrap_or(reason)
}

/// The kind of a failure. The engine's failure policy depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The file is not a valid video. A retry would fail too.
    Corrupt,
    /// The video exceeds a limit on pixels, duration, memory or time, or is shorter than a clip.
    Limit,
    /// Reading or writing failed. A retry may succeed.
    Io,
    /// The video file no longer exists.
    Missing,
    /// The device or the host ran out of memory.
    OutOfMemory,
    /// The output file system is full.
    DiskFull,
    /// The output folder is missing, read-only, or not writable for this user, or files may not be as large as a feature.
    Output,
    /// The worker process ended unexpectedly.
    WorkerCrashed,
    /// The worker sent no message for too long and was killed.
    WorkerHung,
    /// The device cannot be used.
    Device,
    /// The run ended before the attempt did. The video is not charged.
    Interrupted,
    /// A bug in reeldeck.
    Internal,
}

impl ErrorKind {
    /// Whether the worker crashed or hung. The video may be the cause, so its next attempt has a worker of its own.
    pub fn is_crash(self) -> bool {
        matches!(self, Self::WorkerCrashed | Self::WorkerHung)
    }

    /// The kind of an I/O error.
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::NotFound => Self::Missing,
            Io::StorageFull | Io::QuotaExceeded => Self::DiskFull,
            Io::OutOfMemory => Self::OutOfMemory,
            _ => Self::Io,
        }
    }

    /// The kind of an I/O error while writing to the output folder. No video is charged for a problem of that folder, nor for a
    /// limit on the size of files.
    pub fn of_write(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::NotFound
            | Io::NotADirectory
            | Io::PermissionDenied
            | Io::ReadOnlyFilesystem
            | Io::FileTooLarge
            | Io::StaleNetworkFileHandle => Self::Output,
            _ => Self::of_io(error),
        }
    }
}

/// Whether an error says that a file was read and has the wrong content.
pub fn is_content(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::FileTooLarge
    )
}

/// Whether an error says that a file does not exist. Any other error leaves open whether it does.
pub fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Why an attempt failed, as workers report it and failure files store it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The kind.
    pub kind: ErrorKind,
    /// The message and its causes, outermost first; never empty.
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

    /// All messages on one line, separated by colons.
    pub fn line(&self) -> String {
        self.chain.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn advice_is_replaced_where_the_same_content_failed_before() {
        for advice in [DOWNLOAD_AGAIN, COMPARE_WITH_SOURCE] {
            assert_eq!(of_same_content(&format!("cut{advice}")).unwrap(), format!("cut{SAME_CONTENT}"));
        }
        assert_eq!(of_same_content("encrypted"), None);
    }

    #[test]
    fn write_errors_are_problems_of_the_output_folder() {
        for (errno, kind) in [
            (Errno::NOENT, ErrorKind::Output),
            (Errno::NOTDIR, ErrorKind::Output),
            (Errno::ACCESS, ErrorKind::Output),
            (Errno::PERM, ErrorKind::Output),
            (Errno::ROFS, ErrorKind::Output),
            (Errno::FBIG, ErrorKind::Output),
            (Errno::STALE, ErrorKind::Output),
            (Errno::NOSPC, ErrorKind::DiskFull),
            (Errno::DQUOT, ErrorKind::DiskFull),
            (Errno::NOMEM, ErrorKind::OutOfMemory),
            (Errno::IO, ErrorKind::Io),
        ] {
            assert_eq!(ErrorKind::of_write(&errno.into()), kind, "{errno}");
        }
        // The same errors while reading are problems of the video.
        assert_eq!(ErrorKind::of_io(&Errno::NOENT.into()), ErrorKind::Missing);
        assert_eq!(ErrorKind::of_io(&Errno::ACCESS.into()), ErrorKind::Io);
    }
}
