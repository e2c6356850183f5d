//! What measurements on this machine depend on, the room on its disks, and its name.

use std::io;
use std::path::{Path, PathBuf};

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// What unprivileged users can fill, in bytes.
    pub free: u64,
    /// The size in bytes.
    pub total: u64,
}

/// The space of the file system that contains this file or folder.
///
/// # Errors
/// When there is no such file or folder, or the file system does not say.
pub fn disk_space(path: &Path) -> io::Result<DiskSpace> {
    let system = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
    Ok(DiskSpace { free: bytes(system.f_bavail), total: bytes(system.f_blocks) })
}

/// Whether the file system that contains this folder can hold another file. Some file systems have no limit, or do not say.
pub fn has_inodes(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|system| system.f_files == 0 || system.f_favail > 0)
}

/// The folder for temporary files. An empty TMPDIR names no folder.
#[expect(clippy::disallowed_methods, reason = "the one place that handles an empty TMPDIR")]
pub fn temporary_folder() -> PathBuf {
    Some(std::env::temp_dir()).filter(|folder| folder.is_absolute()).unwrap_or_else(|| "/tmp".into())
}

/// The host name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of the processor.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "unknown".into(), |(_, name)| name.to_owned())
}
