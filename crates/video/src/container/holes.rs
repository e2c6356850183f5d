//! The holes of sparse files. They read as zeros and take no space, so a small file may claim terabytes of them, as a download does
//! that was laid out in full.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::ops::Range;
use std::os::fd::AsRawFd;

/// A file, or bytes in memory.
pub(crate) trait Source: Read + Seek {
    /// Where the data is. `size`: of the file, in bytes.
    fn data(&self, size: u64) -> Data;
}

impl Source for &File {
    fn data(&self, size: u64) -> Data {
        Data::of(self, size)
    }
}

impl<T: AsRef<[u8]>> Source for Cursor<T> {
    fn data(&self, size: u64) -> Data {
        Data { bytes: size, end: size }
    }
}

/// More pieces of data than this are not looked up one by one: the rest of the file counts as data.
const MOST_PIECES: usize = 1 << 16;

/// Where the data of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    /// Bytes that are not in holes.
    pub bytes: u64,
    /// Where the last data ends. Zeros follow.
    pub end: u64,
}

impl Data {
    /// Looks up the data of a file of this size. On a file system that does not tell, all of the file is data.
    pub(crate) fn of(file: &File, size: u64) -> Self {
        let mut data = Self { bytes: 0, end: 0 };
        for _ in 0..MOST_PIECES {
            let Some(piece) = piece_at(file, data.end) else { return data };
            let (start, end) = (piece.start.min(size), piece.end.min(size));
            data = Self { bytes: data.bytes + (end - start), end };
            if end >= size {
                return data;
            }
        }
        Self { bytes: data.bytes + (size - data.end), end: size }
    }
}

/// The data at a position, or the next data after it; `None` if there is only a hole. This moves the position of the file.
pub(crate) fn piece_at(file: &File, position: u64) -> Option<Range<u64>> {
    match seek(file, position, libc::SEEK_DATA) {
        Ok(start) => {
            Some(start..seek(file, start, libc::SEEK_HOLE).ok().filter(|end| *end > start).unwrap_or(u64::MAX))
        }
        // Also the answer at the end of the file.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => None,
        Err(_) => Some(position..u64::MAX),
    }
}

fn seek(file: &File, position: u64, whence: libc::c_int) -> io::Result<u64> {
    let position = i64::try_from(position).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: the descriptor is open, and the call uses no memory of this process.
    let found = unsafe { libc::lseek(file.as_raw_fd(), position, whence) };
    u64::try_from(found).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn data_is_told_from_holes() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(Data::of(&file, 0), Data { bytes: 0, end: 0 });
        file.write_all(&[1; 1 << 20]).unwrap();
        assert_eq!(Data::of(&file, 1 << 20), Data { bytes: 1 << 20, end: 1 << 20 });
        file.set_len(1 << 40).unwrap();
        file.write_all_at(&[1; 1 << 20], 1 << 30).unwrap();
        let data = Data::of(&file, 1 << 40);
        // Without holes, as some file systems are, all of it is data.
        assert!(data == Data { bytes: 2 << 20, end: (1 << 30) + (1 << 20) } || data.bytes == 1 << 40, "{data:?}");
    }
}
