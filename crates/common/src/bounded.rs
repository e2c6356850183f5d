//! Reads whole files up to a size limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::open;

/// A file whose early end is an error: it ends before the size that it had when it was opened. It may grow.
#[derive(Debug)]
pub struct Whole<R = File> {
    reader: R,
    path: PathBuf,
    size: u64,
    read: u64,
}

impl Whole {
    /// Opens a regular file.
    ///
    /// # Errors
    /// As [`open::regular`].
    pub fn open(path: &Path) -> io::Result<Self> {
        let reader = open::regular(path)?;
        let size = reader.metadata()?.len();
        Ok(Self { reader, path: path.to_owned(), size, read: 0 })
    }
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.read += count as u64;
        if count == 0 && !buffer.is_empty() && self.read < self.size {
            let Self { path, size, read, .. } = self;
            // Not `UnexpectedEof`, which readers of JSON return for a file that was written in part.
            return Err(io::Error::other(format!("{} ends after {read} of {size} bytes; try again", path.display())));
        }
        Ok(count)
    }
}

/// Reads a file of at most `limit` bytes. It may grow meanwhile.
///
/// # Errors
/// When it is not a regular file or cannot be read, also when it ends early as in [`Whole`], and
/// [`io::ErrorKind::FileTooLarge`] when it is larger than `limit`.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = Whole::open(path)?;
    if file.size > limit {
        return Err(too_large(limit));
    }
    let mut bytes = vec![];
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large(limit)) } else { Ok(bytes) }
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
        let read = |size| {
            let mut bytes = vec![];
            let mut file = Whole { reader: &b"12345"[..], path: "/a/b".into(), size, read: 0 };
            file.read_to_end(&mut bytes).map(|_| bytes)
        };
        assert_eq!((read(5).unwrap(), read(3).unwrap()), (b"12345".to_vec(), b"12345".to_vec()));
        let error = read(6).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::Other, "/a/b ends after 5 of 6 bytes; try again")
        );
    }
}
