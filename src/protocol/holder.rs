//! How clients find an engine: the lock files of an output folder, one for each part, and what they say about their holders.

use std::fs::{self, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use reeldeck_common::open;
use reeldeck_common::pid::is_gone;
use reeldeck_common::video::printable;
use serde::{Deserialize, Serialize};

use crate::dataset::shard::Shard;

/// A holder on a file system without locks is gone when its heartbeat is older than this.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// The size of a lock file in bytes. It is constant, so that a write replaces the whole text.
pub(crate) const FILE_SIZE: usize = 2048;

/// The content of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The host name.
    pub host: String,
    /// The process id on that host.
    pub pid: u32,
    /// Name and version of the program.
    pub tool: String,
    /// When it took the lock.
    pub started: Timestamp,
    /// When it last wrote this file.
    pub heartbeat: Timestamp,
    /// The path of its socket, if it has one.
    pub socket: Option<PathBuf>,
}

impl Holder {
    /// Whether it ran on this host and has ended.
    pub fn is_dead_here(&self) -> bool {
        self.host == host() && is_gone(self.pid)
    }

    /// Host, process and start, for people.
    pub fn in_words(&self) -> String {
        format!("host {}, process {}, since {}", self.host, self.pid, self.started.strftime("%F %T UTC"))
    }
}

/// A lock file.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The part of the dataset.
    pub shard: Shard,
    /// Whether a process holds the lock.
    pub held: bool,
    /// The present or last holder; none when it cannot be read.
    pub holder: Option<Holder>,
}

/// All lock files of an output folder, sorted by part.
///
/// # Errors
/// When their folder exists and cannot be read.
pub(crate) fn holders(private: &Path) -> io::Result<Vec<Seen>> {
    let folder = private.join("locks");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut seen = vec![];
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let parsed = name.to_str().and_then(|n| n.split_once("-of-")).map(|(i, n)| format!("{i}/{n}").parse::<Shard>());
        let Some(Ok(shard)) = parsed else { continue };
        let path = entry.path();
        let holder = read_holder(&path);
        let held = match open::regular(&path)?.try_lock_shared() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) if has_no_locks(&error) => holder.as_ref().is_some_and(is_fresh),
            Err(TryLockError::Error(error)) => return Err(error),
        };
        seen.push(Seen { shard, held, holder });
    }
    seen.sort_by_key(|seen| (seen.shard.of, seen.shard.index));
    Ok(seen)
}

/// The name of this host.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether this error means that the file system has no locks.
pub(crate) fn has_no_locks(error: &io::Error) -> bool {
    let codes = [rustix::io::Errno::NOLCK, rustix::io::Errno::OPNOTSUPP, rustix::io::Errno::NOSYS];
    codes.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}

/// Whether the holder has written its heartbeat recently and has not ended on this host.
pub(crate) fn is_fresh(holder: &Holder) -> bool {
    let age = Timestamp::now().duration_since(holder.heartbeat);
    age.unsigned_abs() < DEAD_AFTER && !holder.is_dead_here()
}

/// Reads a lock file; `None` when it is empty or has another content. In a shared output folder, others may have written it:
/// its texts are escaped.
pub(crate) fn read_holder(path: &Path) -> Option<Holder> {
    let mut text = vec![];
    open::regular(path).ok()?.take(FILE_SIZE as u64 * 2).read_to_end(&mut text).ok()?;
    let holder: Holder = serde_json::from_slice(&text).ok()?;
    Some(Holder { host: printable(&holder.host), tool: printable(&holder.tool), ..holder })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_lock_file_are_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0-of-1");
        let text = r#"{"host":"h\u001b]0;x\u0007\nerror: \u202ee\udb40\udc41","pid":1,"tool":"t\u200b","started":"2026-01-01T00:00:00Z",
            "heartbeat":"2026-01-01T00:00:00Z","socket":null}"#;
        fs::write(&path, text).unwrap();
        let holder = read_holder(&path).unwrap();
        assert_eq!(holder.host, "h\\u{1b}]0;x\\u{7}\\nerror: \\u{202e}e\\u{e0041}");
        assert_eq!(holder.tool, "t\\u{200b}");
    }
}
