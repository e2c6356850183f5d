//! The failure file of a video: all of its failed attempts.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Owner};
use crate::bounded;
use crate::error::Failure;
use crate::layout::create_outer_folders;
use crate::source::SourceStamp;
use crate::video::VideoName;

/// The largest failure file. An attempt takes a few kilobytes, so this is more than a thousand attempts.
const MAX_BYTES: u64 = 16 << 20;

/// All failed attempts at one video. The file is ignored when the video has a feature or has changed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureFile {
    /// The video, `Class/file`.
    pub video: VideoName,
    /// The video file at the last attempt; `None` when it was missing.
    pub source: Option<SourceStamp>,
    /// The [`crate::digest::sampled`] digest of a corrupt file, which recognises the same content in another download.
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

    /// The last attempt.
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.last()
    }
}
