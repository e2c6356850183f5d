//! A cursor over the bytes of a pickle.

use super::Problem;

/// A cursor that reports the end of the input as an error.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let end = self.position.checked_add(count).ok_or(Problem::EndsEarly)?;
        let taken = self.bytes.get(self.position..end).ok_or(Problem::EndsEarly)?;
        self.position = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        self.take(N)?.try_into().map_err(|_| Problem::EndsEarly)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Problem> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        self.array().map(u32::from_le_bytes)
    }

    /// The bytes after a little-endian length of `N` bytes.
    pub(super) fn counted<const N: usize>(&mut self) -> Result<&'a [u8], Problem> {
        let mut length = [0; 8];
        for (to, from) in length.iter_mut().zip(self.array::<N>()?) {
            *to = from;
        }
        // A length that does not fit `usize` is beyond the end.
        self.take(usize::try_from(u64::from_le_bytes(length)).map_err(|_| Problem::EndsEarly)?)
    }

    /// The bytes up to the next newline, without it.
    pub(super) fn line(&mut self) -> Result<&'a [u8], Problem> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(Problem::EndsEarly)?;
        let line = self.take(length)?;
        self.position += 1;
        Ok(line)
    }
}
