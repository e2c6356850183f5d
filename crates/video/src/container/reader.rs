//! Reads small pieces of a file at given positions, for walks over the structure of a container.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// A buffered reader that knows the size of the file.
pub(crate) struct Reader<R> {
    file: BufReader<R>,
    position: u64,
    size: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// # Errors
    /// If the size cannot be determined.
    pub(crate) fn new(mut file: R) -> io::Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file: BufReader::with_capacity(1 << 16, file), position: 0, size })
    }

    /// Size of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Reads as many bytes as the file has at this position, and returns their number.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        if at >= self.size {
            return Ok(0);
        }
        // Both positions lie in the file, and files are far smaller than the largest i64.
        self.file.seek_relative(at as i64 - self.position as i64)?;
        self.position = at;
        let mut done = 0;
        while done < into.len() {
            let available = self.file.fill_buf()?;
            let length = available.len().min(into.len() - done);
            if length == 0 {
                break;
            }
            into[done..done + length].copy_from_slice(&available[..length]);
            self.file.consume(length);
            done += length;
            self.position += length as u64;
        }
        Ok(done)
    }

    /// Reads exactly `N` bytes; `None` if the file ends before.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn array<const N: usize>(&mut self, at: u64) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        Ok((self.read(at, &mut bytes)? == N).then_some(bytes))
    }

    /// Reads `length` bytes, but never more than `limit` or than the file has.
    ///
    /// # Errors
    /// If reading fails or there is no memory.
    pub(crate) fn bytes(&mut self, at: u64, length: u64, limit: usize) -> io::Result<Vec<u8>> {
        let length = length.min(self.size.saturating_sub(at)).min(limit as u64) as usize;
        let mut bytes = vec![];
        bytes.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(length, 0);
        let read = self.read(at, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// The position of the next occurrence of `pattern` at or after `at`.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn find(&mut self, at: u64, pattern: &[u8]) -> io::Result<Option<u64>> {
        let mut from = at;
        let mut window = vec![0; (1 << 16).max(pattern.len() * 2)];
        loop {
            let length = self.read(from, &mut window)?;
            let found = window[..length].windows(pattern.len()).position(|bytes| bytes == pattern);
            if let Some(found) = found {
                return Ok(Some(from + found as u64));
            }
            if length < window.len() {
                return Ok(None);
            }
            from += (length - (pattern.len() - 1)) as u64;
        }
    }
}

/// A big-endian number of up to eight bytes.
pub(crate) fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A little-endian number of up to eight bytes.
pub(crate) fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn pieces_are_read_at_any_position() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let mut reader = Reader::new(Cursor::new(&bytes)).unwrap();
        assert_eq!(reader.size(), 200_000);
        for at in [0, 199_990, 70_000, 3, 65_530] {
            assert_eq!(reader.array::<8>(at).unwrap().unwrap(), bytes[at as usize..at as usize + 8]);
        }
        assert_eq!(reader.array::<8>(199_993).unwrap(), None);
        assert_eq!(reader.array::<8>(u64::MAX).unwrap(), None);
        assert_eq!(reader.bytes(199_000, u64::MAX, 5000).unwrap(), bytes[199_000..]);
        assert_eq!(reader.bytes(10, 100, 7).unwrap(), bytes[10..17]);
    }

    #[test]
    fn a_pattern_is_found_across_the_ends_of_windows() {
        for at in [0, 5, (1 << 16) - 2, 1 << 16, 131_000] {
            let mut bytes = vec![0; 140_000];
            bytes[at..at + 4].copy_from_slice(b"moof");
            let mut reader = Reader::new(Cursor::new(&bytes)).unwrap();
            assert_eq!(reader.find(0, b"moof").unwrap(), Some(at as u64));
            assert_eq!(reader.find(at as u64 + 1, b"moof").unwrap(), None);
        }
    }

    #[test]
    fn numbers_of_both_byte_orders() {
        assert_eq!((be(&[1, 2]), le(&[1, 2]), be(&[]), le(&[0xff; 8])), (0x102, 0x201, 0, u64::MAX));
    }
}
