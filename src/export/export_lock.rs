//! The lock that lets one export run at a time. Two exports at once could leave a list that does not match the pickle.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use reeldeck_common::layout::Layout;
use reeldeck_common::open;

use crate::dataset::shown;
use crate::progress::Progress;

/// Time between two attempts to take the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Held while an export writes. The kernel releases the lock when the process ends.
#[derive(Debug)]
pub struct ExportLock {
    _held: Option<File>,
    /// Whether another export held the lock before. What was read of the folder before that may be outdated.
    pub waited: bool,
}

/// The lock's file.
pub fn path(layout: &Layout) -> PathBuf {
    layout.private().join("export.lock")
}

/// Waits until no other export writes to this output folder. Without support for locks in the file system, it does not wait.
///
/// # Errors
/// When the lock file cannot be created or locked, and when cancelled.
pub fn wait(layout: &Layout, progress: &dyn Progress) -> anyhow::Result<ExportLock> {
    let path = path(layout);
    let failed = || format!("failed to write {}; check space and permissions", shown(&path));
    fs::create_dir_all(layout.private()).with_context(failed)?;
    let file =
        open::in_place(OpenOptions::new().write(true).create(true).truncate(false), &path).with_context(failed)?;
    let mut waited = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(ExportLock { _held: Some(file), waited }),
            Err(TryLockError::WouldBlock) if !waited => {
                progress.note(&format!("another export writes to {}; waiting for its end", shown(layout.out())));
                waited = true;
            }
            Err(TryLockError::WouldBlock) => sleep(POLL_INTERVAL),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) if open::has_no_locks(&error) => {
                return Ok(ExportLock { _held: None, waited });
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        progress.check_cancelled()?;
    }
}
