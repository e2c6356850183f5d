//! Opens files in a folder that other users may be able to write to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// `custom_flags` for files that are written in place: a link is an error, so that nothing outside the folder is changed.
pub const IN_PLACE: i32 = OFlags::NOFOLLOW.bits() as i32;

/// Opens a file for appending, and creates it if it does not exist.
///
/// # Errors
/// Those of the file system; a link is one.
pub fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).custom_flags(IN_PLACE).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| dir.path().join(name));
        append(&file).unwrap().write_all(b"one").unwrap();
        append(&file).unwrap().write_all(b"two").unwrap();
        symlink(&file, &link).unwrap();
        assert!(append(&link).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"onetwo");
    }
}
