//! The failure file of a video: all of its failed attempts.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Owner};
use crate::bounded;
use crate::error::{ErrorKind, Failure};
use crate::layout::create_outer_folders;
use crate::source::SourceStamp;
use crate::video::VideoName;

/// The largest failure file. An attempt takes a few kilobytes, so this is more than a thousand attempts.
const MAX_BYTES: u64 = 16 << 20;

/// All failed attempts at one video. The file is ignored when the video has a feature of its current version, or
/// has changed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureFile {
    /// The video, `Class/file`.
    pub video: VideoName,
    /// The video file at the last attempt; `None` when it was missing.
    pub source: Option<SourceStamp>,
    /// What identifies the content of a corrupt file ([`crate::digest::of_corrupt`]), also in another download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Oldest first; never empty.
    pub attempts: Vec<Attempt>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Start time; RFC 3339 in UTC.
    pub started: jiff::Timestamp,
    /// End time; RFC 3339 in UTC.
    pub ended: jiff::Timestamp,
    /// The device, named as in `--devices`.
    pub device: String,
    /// Why it failed.
    pub failure: Failure,
    /// The last lines of the worker's standard error.
    pub stderr: Vec<String>,
    /// The engine was to try the video again. If it ended before it did, this is the last attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
}

impl FailureFile {
    /// Writes the file atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, owner: &Owner) -> io::Result<()> {
        create_outer_folders(path, &self.video)?;
        atomic::write(path, owner, |writer| {
            serde_json::to_writer_pretty(&mut *writer, self)?;
            writer.write_all(b"\n")
        })
    }

    /// Reads the file; `None` when it does not exist.
    ///
    /// # Errors
    /// When the file cannot be read, is too large, or is not a failure file.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match bounded::read(path, MAX_BYTES) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the file; `None` when it does not exist, or is about another version of the video.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_version(path: &Path, source: SourceStamp) -> io::Result<Option<Self>> {
        Ok(Self::read(path)?.filter(|failure| failure.source == Some(source)))
    }

    /// The last attempt.
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// How many attempts have been made if the video has not failed for good: its engine ended before the next attempt, or a
    /// problem of the output folder, which says nothing about the video, was the last one.
    pub fn unfinished(&self) -> Option<u32> {
        let last = self.last()?;
        if matches!(last.failure.kind, ErrorKind::DiskFull | ErrorKind::Output) {
            return Some(0);
        }
        let attempts = self.attempts.iter().rev().take_while(|attempt| attempt.retry).count();
        (attempts > 0).then(|| u32::try_from(attempts).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_whose_retry_is_due_has_not_failed_for_good() {
        let file = |attempts: &[(ErrorKind, bool)]| FailureFile {
            video: VideoName::new("A/v.mp4").unwrap(),
            source: None,
            content: None,
            attempts: attempts
                .iter()
                .map(|(kind, retry)| Attempt {
                    started: jiff::Timestamp::UNIX_EPOCH,
                    ended: jiff::Timestamp::UNIX_EPOCH,
                    device: "cpu".into(),
                    failure: Failure::new(*kind, "it"),
                    stderr: vec![],
                    retry: *retry,
                })
                .collect(),
        };
        for (attempts, unfinished) in [
            (&[(ErrorKind::Corrupt, false)][..], None),
            (&[(ErrorKind::Io, true)], Some(1)),
            (&[(ErrorKind::Io, true), (ErrorKind::Io, true), (ErrorKind::Io, false)], None),
            // Attempts before a final one are those of an earlier run.
            (&[(ErrorKind::Io, false), (ErrorKind::Io, true), (ErrorKind::Io, true)], Some(2)),
            (&[(ErrorKind::Corrupt, false), (ErrorKind::Output, false)], Some(0)),
        ] {
            assert_eq!(file(attempts).unfinished(), unfinished, "{attempts:?}");
        }
    }
}
