//! Reads whole files up to a size limit.

use std::io::{self, Read};
use std::path::Path;

use crate::open;

/// Reads a file of at most `limit` bytes. It may grow meanwhile.
///
/// # Errors
/// When it is not a regular file or cannot be read, also when it ends before the size that it had when it was opened, and
/// [`io::ErrorKind::FileTooLarge`] when it is larger than `limit`.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open::regular(path)?;
    let size = file.metadata()?.len();
    if size > limit {
        return Err(too_large(limit));
    }
    whole(file, path, size, limit)
}

/// Reads up to the end of a file that had `size` bytes when it was opened.
fn whole(file: impl Read, path: &Path, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)? as u64;
    if read > limit {
        return Err(too_large(limit));
    }
    if read < size {
        // Not `UnexpectedEof`, which readers of JSON return for a file that was written in part.
        return Err(io::Error::other(format!("{} ends after {read} of {size} bytes; try again", path.display())));
    }
    Ok(bytes)
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_files_over_the_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"12345").unwrap();
        assert_eq!(read(file.path(), 5).unwrap(), b"12345");
        let error = read(file.path(), 4).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::FileTooLarge, "it has more than 4 bytes")
        );
    }

    #[test]
    fn a_file_may_grow_but_not_end_early() {
        let read = |size| whole(&b"12345"[..], Path::new("/a/b"), size, 9);
        assert_eq!((read(5).unwrap(), read(3).unwrap()), (b"12345".to_vec(), b"12345".to_vec()));
        let error = read(6).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::Other, "/a/b ends after 5 of 6 bytes; try again")
        );
    }
}
