//! Writes to the standard streams. A closed stream is ignored: the macros of the standard library would panic, and a run must
//! survive the reader of its output.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Writes to standard output.
pub(crate) fn stdout(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}

/// Writes a complete document to standard output. A reader that closes the pipe early, such as `head`, is no error.
///
/// # Errors
/// When it cannot be written, for example to a file on a full disk.
pub(crate) fn document(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Whether a stream has a reader. False for a pipe whose other end is closed, and for a terminal that has hung up.
pub(crate) fn is_read(stream: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&stream, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::ERR | PollFlags::HUP;
    poll(&mut polled, Some(&now)).is_err() || !polled[0].revents().intersects(gone)
}

/// Writes to standard error.
pub(crate) fn stderr(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Writes a line to standard output.
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::out::stdout(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes a line to standard error.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::out::stderr(format_args!("{}\n", format_args!($($text)*))) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_has_no_reader() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(is_read(&writer));
        drop(reader);
        assert!(!is_read(&writer));
        assert!(is_read(tempfile::tempfile().unwrap()));
    }
}
