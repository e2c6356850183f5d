//! The standard error of a child process.

use std::collections::VecDeque;
use std::io::{self, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ChildStderr;

use reeldeck_common::video::printable;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::lines::LineReader;

/// How many lines are kept.
const KEPT_LINES: usize = 20;

/// The longest line that is kept, in bytes.
const KEPT_BYTES: usize = 400;

/// Reads lines without waiting for them, and keeps the last ones.
#[derive(Debug)]
pub(crate) struct Stderr {
    reader: LineReader<BufReader<ChildStderr>>,
    last: VecDeque<String>,
}

/// The pipe, for waiting while another thread may read from it.
#[derive(Debug)]
pub(crate) struct Pipe(OwnedFd);

impl Stderr {
    /// # Errors
    /// When the pipe cannot be made non-blocking.
    pub(crate) fn new(pipe: ChildStderr) -> io::Result<(Self, Pipe)> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let other = Pipe(pipe.as_fd().try_clone_to_owned()?);
        let reader = LineReader::new(BufReader::new(pipe), KEPT_BYTES);
        Ok((Self { reader, last: VecDeque::with_capacity(KEPT_LINES) }, other))
    }

    /// Reads the lines that the process has written so far. False at the end of the stream.
    pub(crate) fn read_available(&mut self, mut each: impl FnMut(String)) -> bool {
        loop {
            let line = match self.reader.next_line_truncated() {
                Ok(Some(line)) => printable(String::from_utf8_lossy(line).trim_end()),
                Ok(None) => return false,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
            if self.last.len() == KEPT_LINES {
                self.last.pop_front();
            }
            self.last.push_back(line.clone());
            each(line);
        }
    }

    /// The last lines, oldest first. Control characters are escaped, and long lines are cut.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}

impl Pipe {
    /// Waits until there is something to read, or the stream has ended. False when that cannot be known.
    pub(crate) fn wait(&self) -> bool {
        loop {
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None) {
                Err(Errno::INTR) => {}
                waited => return waited.is_ok(),
            }
        }
    }
}
