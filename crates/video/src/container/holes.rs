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
        Data::whole(size)
    }
}

/// More pieces of data than this are not looked up one by one: the rest of the file counts as data.
const MOST_PIECES: usize = 1 << 16;

/// Where the data of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    /// The ranges that are not in holes, in order.
    pieces: Vec<Range<u64>>,
}

impl Data {
    fn whole(size: u64) -> Self {
        Self { pieces: std::iter::once(0..size).collect() }
    }

    /// Looks up the data of a file of this size. On a file system that does not tell, all of the file is data.
    pub(crate) fn of(file: &File, size: u64) -> Self {
        let mut pieces: Vec<Range<u64>> = vec![];
        while pieces.len() < MOST_PIECES {
            let at = pieces.last().map_or(0, |piece| piece.end);
            let Some(piece) = (at < size).then(|| piece_at(file, at)).flatten() else { return Self { pieces } };
            pieces.push(piece.start.min(size)..piece.end.min(size));
        }
        if let Some(last) = pieces.last_mut() {
            last.end = size;
        }
        Self { pieces }
    }

    /// Bytes that are not in holes.
    pub(crate) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.end - piece.start).sum()
    }

    /// Where the last data ends. Zeros follow.
    pub(crate) fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// The first position at or after this one that is not in a hole; `None` if only a hole follows.
    pub(crate) fn next(&self, position: u64) -> Option<u64> {
        let next = self.pieces.partition_point(|piece| piece.end <= position);
        self.pieces.get(next).map(|piece| piece.start.max(position))
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
        assert_eq!(Data::of(&file, 0), Data { pieces: vec![] });
        file.write_all(&[1; 1 << 20]).unwrap();
        assert_eq!(Data::of(&file, 1 << 20), Data::whole(1 << 20));
        file.set_len(1 << 40).unwrap();
        file.write_all_at(&[1; 1 << 20], 1 << 30).unwrap();
        let data = Data::of(&file, 1 << 40);
        // Without holes, as some file systems are, all of it is data.
        if data.bytes() < 1 << 40 {
            assert_eq!(data, Data { pieces: vec![0..1 << 20, 1 << 30..(1 << 30) + (1 << 20)] });
            let nexts = [0, (1 << 20) - 1, 1 << 20, 1 << 30, 1 << 31].map(|position| data.next(position));
            assert_eq!(nexts, [Some(0), Some((1 << 20) - 1), Some(1 << 30), Some(1 << 30), None]);
            assert_eq!((data.bytes(), data.end()), (2 << 20, (1 << 30) + (1 << 20)));
        }
    }
}
