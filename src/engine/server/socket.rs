//! The place of the engine's socket: a folder that only its user can enter, never on the dataset's file system.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Binds a new socket for the engine of this output folder, for its user alone.
///
/// # Errors
/// When there is no private folder for it.
pub(super) fn bind(out: &Path) -> io::Result<(UnixListener, PathBuf)> {
    let path = place(out)?;
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok((listener, path))
}

/// A free path for a socket, in a folder of this user.
fn place(out: &Path) -> io::Result<PathBuf> {
    let digest = xxhash_rust::xxh3::xxh3_64(out.as_os_str().as_encoded_bytes()) as u32;
    let name = format!("{}-{digest:08x}.sock", std::process::id());
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| is_private(folder));
    let folder = match runtime {
        Some(folder) => folder.join("reeldeck"),
        None => reeldeck_common::machine::temporary_folder().join(format!("reeldeck-{}", own_user())),
    };
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !is_private(&folder) {
        return Err(io::Error::other(format!("{} is accessible to other users", folder.display())));
    }
    remove_stale(&folder);
    let socket = folder.join(name);
    // An engine that was killed may have had the same process id.
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(socket),
    }
}

/// Removes the sockets of engines that were killed.
fn remove_stale(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_suffix(".sock")?.split_once('-')?.0.parse().ok());
        // A process of another container is not visible here, but its socket accepts connections.
        let is_refused = || {
            let connected = UnixStream::connect(entry.path());
            connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if pid.is_some_and(reeldeck_common::pid::is_gone) && is_refused() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether this is a folder, not a link, that only this user can enter.
fn is_private(folder: &Path) -> bool {
    let is_private = |m: fs::Metadata| m.is_dir() && m.uid() == own_user() && m.permissions().mode() & 0o077 == 0;
    fs::symlink_metadata(folder).is_ok_and(is_private)
}

/// Whether a process of this user may connect.
pub(super) fn is_trusted(user: u32) -> bool {
    user == own_user() || user == 0
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
