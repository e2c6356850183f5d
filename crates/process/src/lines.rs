//! Reads lines of bounded length.

use std::io::{self, BufRead, Read};

use serde::de::DeserializeOwned;

/// Reads lines from a stream and never keeps more than `limit` bytes of one.
#[derive(Debug)]
pub struct LineReader<R> {
    reader: R,
    limit: usize,
    /// The line so far. A read that is cancelled or would block resumes from it.
    line: Vec<u8>,
    is_complete: bool,
    /// The rest of the last line is skipped before the next line is read.
    is_skipping: bool,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is longer than the limit.
    #[error("a line is longer than {limit} bytes")]
    TooLong {
        /// The reader's limit, without the line break.
        limit: usize,
    },
    /// The stream ended within a line.
    #[error("the last line is incomplete")]
    Incomplete,
    /// The line is not a message of the expected type.
    #[error("a line is not a valid message: {0}")]
    Invalid(#[from] serde_json::Error),
    /// The stream cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
}

impl<R> LineReader<R> {
    /// Reads from `reader`; a line may have `limit` bytes, not counting its line break.
    pub fn new(reader: R, limit: usize) -> Self {
        Self { reader, limit, line: vec![], is_complete: false, is_skipping: false }
    }

    /// How many bytes may still be read of the current line: one more than the limit, for the line break.
    fn begin(&mut self) -> u64 {
        if self.is_complete {
            self.line.clear();
            self.is_complete = false;
        }
        (self.limit + 1).saturating_sub(self.line.len()) as u64
    }

    fn finish(&mut self) -> Result<Option<&[u8]>, LineError> {
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            self.is_complete = true;
            return Ok(Some(&self.line));
        }
        match self.line.len() {
            0 => Ok(None),
            length if length > self.limit => {
                self.line.clear();
                self.is_skipping = true;
                Err(LineError::TooLong { limit: self.limit })
            }
            _ => Err(LineError::Incomplete),
        }
    }
}

impl<R: BufRead> LineReader<R> {
    /// Skips the rest of a line that was too long.
    fn skip(&mut self) -> io::Result<()> {
        if self.is_skipping {
            self.reader.skip_until(b'\n')?;
            self.is_skipping = false;
        }
        Ok(())
    }

    /// The next line without its line break; `None` at the end of the stream.
    ///
    /// # Errors
    /// When the stream cannot be read, or the line is too long or incomplete. After a line that is too long, the next call skips its
    /// rest.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, LineError> {
        self.skip()?;
        let room = self.begin();
        self.reader.by_ref().take(room).read_until(b'\n', &mut self.line)?;
        self.finish()
    }

    /// The next line as a JSON message; `None` at the end of the stream.
    ///
    /// # Errors
    /// As [`next_line`](Self::next_line), and when the line is not a valid `M`; then the next call reads the next line.
    pub fn next_message<M: DeserializeOwned>(&mut self) -> Result<Option<M>, LineError> {
        Ok(self.next_line()?.map(serde_json::from_slice).transpose()?)
    }

    /// The next line without its line break, cut at the limit; the rest of the line is skipped. A line without a line break
    /// at the end of the stream counts as one. `None` at the end of the stream.
    ///
    /// # Errors
    /// When the stream cannot be read. After [`io::ErrorKind::WouldBlock`] the next call resumes.
    pub fn next_line_truncated(&mut self) -> io::Result<Option<&[u8]>> {
        self.skip()?;
        let room = self.begin();
        self.reader.by_ref().take(room).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.is_complete = true;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > self.limit {
            self.line.pop();
            self.is_skipping = true;
        }
        Ok(Some(&self.line))
    }
}

#[cfg(feature = "tokio")]
impl<R: tokio::io::AsyncBufRead + Unpin> LineReader<R> {
    /// The same as [`next_line`](Self::next_line) for an asynchronous stream. Cancel safe: a read that is cancelled keeps
    /// what it has read for the next call.
    ///
    /// # Errors
    /// As [`next_line`](Self::next_line).
    pub async fn next_line_async(&mut self) -> Result<Option<&[u8]>, LineError> {
        use tokio::io::{AsyncBufReadExt, AsyncReadExt};
        while self.is_skipping {
            let bytes = self.reader.fill_buf().await?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            self.is_skipping = end.is_none() && !bytes.is_empty();
            let skipped = end.map_or(bytes.len(), |end| end + 1);
            self.reader.consume(skipped);
        }
        let room = self.begin();
        (&mut self.reader).take(room).read_until(b'\n', &mut self.line).await?;
        self.finish()
    }

    /// The same as [`next_message`](Self::next_message) for an asynchronous stream. Cancel safe.
    ///
    /// # Errors
    /// As [`next_message`](Self::next_message).
    pub async fn next_message_async<M: DeserializeOwned>(&mut self) -> Result<Option<M>, LineError> {
        Ok(self.next_line_async().await?.map(serde_json::from_slice).transpose()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: Option<&[u8]>) -> Option<String> {
        line.map(|line| String::from_utf8(line.to_vec()).unwrap())
    }

    #[test]
    fn gives_lines_up_to_the_limit() {
        let mut reader = LineReader::new(&b"1234\n\nab\n"[..], 4);
        let mut next = || text(reader.next_line().unwrap());
        assert_eq!(next().unwrap(), "1234");
        assert_eq!(next().unwrap(), "");
        assert_eq!(next().unwrap(), "ab");
        assert_eq!((next(), next()), (None, None));
    }

    #[test]
    fn refuses_lines_that_are_too_long_or_incomplete() {
        let mut reader = LineReader::new(&b"1\n1234567\n2\n12345"[..], 4);
        assert_eq!(text(reader.next_line().unwrap()).unwrap(), "1");
        assert!(matches!(reader.next_line(), Err(LineError::TooLong { limit: 4 })));
        assert_eq!(text(reader.next_line().unwrap()).unwrap(), "2");
        assert!(matches!(reader.next_line(), Err(LineError::TooLong { limit: 4 })));
        assert!(reader.next_line().unwrap().is_none());
        let mut endless = LineReader::new(io::BufReader::new(io::repeat(b'x')), 1000);
        assert!(matches!(endless.next_line(), Err(LineError::TooLong { .. })));
        let mut cut = LineReader::new(&b"12"[..], 4);
        assert!(matches!(cut.next_line(), Err(LineError::Incomplete)));
        let mut cut = LineReader::new(&b"1234"[..], 4);
        assert!(matches!(cut.next_line(), Err(LineError::Incomplete)));
    }

    #[test]
    fn truncates_long_lines() {
        let mut reader = LineReader::new(&b"12345678\n1234\n\nab"[..], 4);
        let mut next = || text(reader.next_line_truncated().unwrap());
        assert_eq!(next().unwrap(), "1234");
        assert_eq!(next().unwrap(), "1234");
        assert_eq!(next().unwrap(), "");
        assert_eq!(next().unwrap(), "ab");
        assert_eq!(next(), None);
        let mut long = LineReader::new(&b"123456"[..], 4);
        assert_eq!(text(long.next_line_truncated().unwrap()).unwrap(), "1234");
        assert_eq!(text(long.next_line_truncated().unwrap()), None);
    }

    /// Gives one piece a read, and reports that it would block between two pieces.
    struct Pieces(std::vec::IntoIter<&'static [u8]>, bool);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let piece = self.0.next().unwrap_or_default();
            into[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn a_read_that_would_block_resumes() {
        let pieces: Vec<&[u8]> = vec![b"1", b"2\n1234", b"56", b"7", b"8\n\nab", b"c"];
        let mut reader = LineReader::new(io::BufReader::new(Pieces(pieces.into_iter(), false)), 4);
        let mut lines = vec![];
        loop {
            match reader.next_line_truncated() {
                Ok(Some(line)) => lines.push(String::from_utf8(line.to_vec()).unwrap()),
                Ok(None) => break,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(lines, ["12", "1234", "", "abc"]);
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn a_cancelled_read_loses_nothing() {
        use tokio::io::{AsyncWriteExt, BufReader};
        let (mut writer, stream) = tokio::io::duplex(64);
        let mut reader = LineReader::new(BufReader::new(stream), 8);
        writer.write_all(b"half").await.unwrap();
        // The read takes what there is, and is then cancelled while it waits for the rest.
        tokio::select! {
            biased;
            line = reader.next_line_async() => panic!("{line:?}"),
            () = tokio::task::yield_now() => {}
        }
        writer.write_all(b" way\nfar over the").await.unwrap();
        assert_eq!(text(reader.next_line_async().await.unwrap()).unwrap(), "half way");
        assert!(matches!(reader.next_line_async().await, Err(LineError::TooLong { limit: 8 })));
        // It skips what there is, and is then cancelled while it waits for the rest.
        tokio::select! {
            biased;
            line = reader.next_line_async() => panic!("{line:?}"),
            () = tokio::task::yield_now() => {}
        }
        writer.write_all(b" limit\nnext\n").await.unwrap();
        assert_eq!(text(reader.next_line_async().await.unwrap()).unwrap(), "next");
    }
}
