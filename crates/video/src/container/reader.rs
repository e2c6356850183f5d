//! Reads small pieces of a file at given positions, for walks over the structure of a container.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::holes::{Data, Source};

/// A walk reads some parts of a damaged file again, to find where the chain of elements continues. No more is read than this many
/// times the data of the file, and a constant. So a walk that ends where reading ends has an end in any file.
const MOST_PASSES: u64 = 64;
const SMALLEST_BUDGET: u64 = 64 << 20;
/// What a single read costs, however short it is.
const COST_OF_READ: u64 = 16;

/// How many bytes a search looks at, at first and at most at a time.
const FIRST_WINDOW: usize = 256;
const LARGEST_WINDOW: usize = 1 << 16;

/// A buffered reader that knows the size of the file.
pub(crate) struct Reader<R> {
    file: BufReader<R>,
    position: u64,
    size: u64,
    data: Data,
    /// Bytes that may still be read. At 0, the file looks as if it ended everywhere.
    budget: u64,
}

impl<R: Source> Reader<R> {
    /// # Errors
    /// If the size cannot be determined.
    pub(crate) fn new(mut file: R) -> io::Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        let data = file.data(size);
        file.seek(SeekFrom::Start(0))?;
        let budget = data.bytes().saturating_mul(MOST_PASSES).saturating_add(SMALLEST_BUDGET);
        Ok(Self { file: BufReader::with_capacity(1 << 16, file), position: 0, size, data, budget })
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Where the last data ends. Only a hole follows.
    pub(crate) fn data_end(&self) -> u64 {
        self.data.end()
    }

    /// Whether so much was read that nothing more is.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.budget == 0
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
        self.budget = self.budget.saturating_sub(COST_OF_READ);
        if at >= self.size || self.is_exhausted() {
            return Ok(0);
        }
        // Both positions lie in the file, and files are far smaller than the largest i64.
        self.file.seek_relative(at as i64 - self.position as i64)?;
        self.position = at;
        let mut done = 0;
        while done < into.len() {
            let is_loaded = !self.file.buffer().is_empty();
            let available = self.file.fill_buf()?;
            let length = available.len().min(into.len() - done);
            let loaded = if is_loaded { 0 } else { available.len() };
            self.budget = self.budget.saturating_sub((loaded + length) as u64);
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
        let length = length.min(self.size.saturating_sub(at)).min(limit as u64).min(self.budget) as usize;
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
        self.find_in(at, self.size, pattern.len(), |bytes| bytes == pattern)
    }

    /// The first position from `at` up to `end` where `length` bytes fulfil a condition.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn find_in(
        &mut self,
        at: u64,
        end: u64,
        length: usize,
        condition: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Option<u64>> {
        let mut from = at;
        // The effort is in proportion to the distance.
        let mut window = vec![0; FIRST_WINDOW.max(2 * length)];
        // A hole is passed without reading it, if zeros do not fulfil the condition.
        let passes_holes = !condition(&vec![0; length]);
        while from < end {
            if passes_holes {
                let Some(data) = self.data.next(from) else { break };
                // What is looked for may begin with the last zeros of the hole.
                from = from.max(data.saturating_sub(length as u64 - 1));
            }
            let read = self.read(from, &mut window)?;
            if let Some(found) = window[..read].windows(length).position(&condition) {
                return Ok(Some(from + found as u64).filter(|found| *found < end));
            }
            if read < window.len() {
                break;
            }
            from += (read - (length - 1)) as u64;
            window.resize((window.len() * 4).min(LARGEST_WINDOW), 0);
        }
        Ok(None)
    }

    /// The number of zero bytes from a position on, but at most `limit`.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn zeros(&mut self, at: u64, limit: u64) -> io::Result<u64> {
        let other = self.find_in(at, at.saturating_add(limit), 1, |byte| byte != [0])?;
        Ok(other.map_or(limit.min(self.size.saturating_sub(at)), |other| other - at))
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
    use std::io::{Cursor, Write};
    use std::os::unix::fs::FileExt;

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
    fn holes_are_passed_without_reading_them() {
        let mut file = tempfile::tempfile().unwrap();
        let end = (1 << 40) + 8;
        file.set_len(end).unwrap();
        file.write_all(b"moov").unwrap();
        file.write_all_at(b"\0moof", 1 << 39).unwrap();
        let mut reader = Reader::new(&file).unwrap();
        if reader.data.bytes() == end {
            return eprintln!("the file system has no holes");
        }
        for at in [0, 4, 1 << 20, 1 << 38] {
            assert_eq!(reader.find(at, b"moof").unwrap(), Some((1 << 39) + 1));
            // It begins in the hole, or ends there.
            assert_eq!(reader.find(at, b"\0\0\0moo").unwrap(), Some((1 << 39) - 2));
            assert_eq!(reader.find(at, b"of\0\0\0").unwrap(), Some((1 << 39) + 3));
            assert_eq!(reader.find((1 << 39) + 2, b"moof").unwrap(), None);
        }
        assert_eq!(reader.find(4, &[0; 8]).unwrap(), Some(4));
        assert_eq!(reader.zeros(1 << 30, 1 << 20).unwrap(), 1 << 20);
        assert!(!reader.is_exhausted());
    }

    #[test]
    fn numbers_of_both_byte_orders() {
        assert_eq!((be(&[1, 2]), le(&[1, 2]), be(&[]), le(&[0xff; 8])), (0x102, 0x201, 0, u64::MAX));
    }
}
