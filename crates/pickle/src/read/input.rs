//! The bytes of a pickle and a position in them.

use super::Problem;

/// A cursor that never goes past the end.
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

    /// Bytes after a length of 8, 32 or 64 bits, least significant byte first.
    pub(super) fn counted<const N: usize>(&mut self) -> Result<&'a [u8], Problem> {
        let mut length = [0; 8];
        for (to, from) in length.iter_mut().zip(self.array::<N>()?) {
            *to = from;
        }
        // A length that does not fit is past the end in any case.
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
