//! The failure file: every attempt at a video that has not given a feature.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Owner};
use crate::bounded;
use crate::error::Failure;
use crate::source::SourceStamp;
use crate::video::VideoName;

/// An attempt takes some kilobytes: more than a thousand of them is no failure file.
const MOST: u64 = 16 << 20;

/// All attempts at one video. A feature beats it, and a changed source makes it void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureFile {
    /// The video, `Class/file`.
    pub video: VideoName,
    /// The source as it was at the last attempt; `None` when it was not there.
    pub source: Option<SourceStamp>,
    /// Oldest first; never empty.
    pub attempts: Vec<Attempt>,
}

/// One try that gave no feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// When it began, RFC 3339 in UTC.
    pub started: jiff::Timestamp,
    /// When it ended.
    pub ended: jiff::Timestamp,
    /// The device, as `--devices` names it.
    pub device: String,
    /// What went wrong.
    pub failure: Failure,
    /// The last lines that the worker wrote to its standard error during the attempt.
    pub stderr: Vec<String>,
}

impl FailureFile {
    /// Writes the file atomically.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn write(&self, path: &Path, owner: &Owner) -> io::Result<()> {
        atomic::write(path, owner, |writer| {
            serde_json::to_writer_pretty(&mut *writer, self)?;
            writer.write_all(b"\n")
        })
    }

    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    /// Unreadable files, and files that are not failure files, or larger than any.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match bounded::read(path, MOST) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last attempt.
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.last()
    }
}
