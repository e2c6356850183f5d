//! A writer for a library that continues to write after an error.

use std::io::{self, Seek, SeekFrom, Write};

/// Passes everything on until the first error, and discards what follows. A `ZipWriter` that is dropped after an error completes its
/// archive, and prints to standard error if that fails, too.
pub(super) struct UntilError<W> {
    inner: W,
    has_failed: bool,
    /// Where the inner writer is, or would be.
    position: u64,
    end: u64,
}

impl<W: Write + Seek> UntilError<W> {
    /// Writes to the beginning of `inner`, which is empty.
    pub(super) fn new(inner: W) -> Self {
        Self { inner, has_failed: false, position: 0, end: 0 }
    }

    /// The inner writer.
    pub(super) fn into_inner(self) -> W {
        self.inner
    }

    /// Does something with the inner writer; with `instead` after an error.
    fn pass<T>(&mut self, work: impl FnOnce(&mut W) -> io::Result<T>, instead: T) -> io::Result<T> {
        if self.has_failed {
            return Ok(instead);
        }
        work(&mut self.inner).inspect_err(|error| self.has_failed = error.kind() != io::ErrorKind::Interrupted)
    }
}

impl<W: Write + Seek> Write for UntilError<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.pass(|inner| inner.write(bytes), bytes.len())?;
        // Writers report a full disk like this, too.
        self.has_failed |= written == 0 && !bytes.is_empty();
        self.position += written as u64;
        self.end = self.end.max(self.position);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass(W::flush, ())
    }
}

impl<W: Write + Seek> Seek for UntilError<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let instead = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::Current(by) => self.position.saturating_add_signed(by),
            SeekFrom::End(by) => self.end.saturating_add_signed(by),
        };
        self.position = self.pass(|inner| inner.seek(to), instead)?;
        Ok(self.position)
    }
}
