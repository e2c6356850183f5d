//! The socket of an engine.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reeldeck_common::protocol::line;
use reeldeck_process::{LineError, LineReader};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::ClientError;
use crate::protocol::holder::Holder;
use crate::protocol::{self, FromEngine, ToEngine};

/// How often to try again to reach a socket whose queue of connections is full.
const CONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// The longest message of an engine, in bytes: a thousand rows take a few hundred kilobytes.
const MAX_LINE: usize = 1 << 24;

/// The socket of an engine, with a deadline for everything that is asked of it.
pub(super) struct Connection {
    stream: UnixStream,
    lines: LineReader<BufReader<UnixStream>>,
    pid: u32,
    socket: PathBuf,
    pub(super) timeout: Duration,
}

impl Connection {
    pub(super) fn open(holder: &Holder, timeout: Duration) -> Result<Self, ClientError> {
        let pid = holder.pid;
        let socket = holder.socket.clone().ok_or(ClientError::NoSocket { pid })?;
        let opened = connect_within(&socket, timeout).and_then(|stream| {
            stream.set_write_timeout(Some(timeout))?;
            let lines = LineReader::new(BufReader::new(stream.try_clone()?), MAX_LINE);
            Ok((stream, lines))
        });
        match opened {
            Ok((stream, lines)) => Ok(Self { stream, lines, pid, socket, timeout }),
            Err(error) if is_timeout(&error) => Err(ClientError::NoAnswer { pid, socket, timeout }),
            Err(source) => Err(ClientError::Unreachable { pid, socket, source }),
        }
    }

    pub(super) fn send(&mut self, message: &ToEngine) -> Result<(), ClientError> {
        let text = line(message).map_err(io::Error::from)?;
        // Without the line break.
        let bytes = text.len() - 1;
        if bytes > protocol::MAX_LINE {
            return Err(ClientError::TooLong { bytes });
        }
        self.stream.write_all(text.as_bytes()).map_err(|error| self.failed(error))
    }

    pub(super) fn read_within(&mut self, timeout: Duration) -> Result<FromEngine, ClientError> {
        self.read(Some(Instant::now() + timeout))
    }

    /// The next message; without a deadline, waits for it as long as it takes.
    pub(super) fn read(&mut self, deadline: Option<Instant>) -> Result<FromEngine, ClientError> {
        let remaining = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if remaining.is_some_and(|remaining| remaining.is_zero()) {
            return Err(self.failed(io::ErrorKind::TimedOut.into()));
        }
        self.stream.set_read_timeout(remaining)?;
        match self.lines.next_message() {
            Ok(Some(message)) => Ok(message),
            Ok(None) | Err(LineError::Incomplete) => Err(ClientError::Ended),
            Err(LineError::Read(error)) => Err(self.failed(error)),
            Err(error) => Err(ClientError::Unexpected(error.to_string())),
        }
    }

    fn failed(&self, error: io::Error) -> ClientError {
        let (pid, socket, timeout) = (self.pid, self.socket.clone(), self.timeout);
        if is_timeout(&error) { ClientError::NoAnswer { pid, socket, timeout } } else { ClientError::Broken(error) }
    }
}

/// Connects to a socket. A blocking `connect` would wait without limit for an engine that no longer accepts connections.
pub(super) fn connect_within(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let deadline = Instant::now() + timeout;
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    while let Err(error) = connect(&socket, &address) {
        if error != rustix::io::Errno::AGAIN {
            return Err(error.into());
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(CONNECT_INTERVAL);
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
