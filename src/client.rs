//! A blocking client of an engine: finds it by the lock of the output folder and asks one question at a time. No question
//! waits longer than ten seconds.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use reeldeck_common::layout::Layout;
use reeldeck_common::protocol::line;
use reeldeck_process::{LineError, LineReader};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::config::Settings;
use crate::dataset::shard::Shard;
use crate::dataset::shown;
use crate::error::{Exit, ExitError};
use crate::protocol::details::Details;
use crate::protocol::holder::{self, Holder, Seen};
use crate::protocol::row::{ClassRow, Filter, Row, Sort};
use crate::protocol::snapshot::{History, Snapshot};
use crate::protocol::{Command, FromEngine, LogLine, ToEngine, VERSION, Welcome};

/// An engine that does not answer within this time is taken to hang.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often to try again to reach a socket whose queue of connections is full.
const CONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// The longest message of an engine, in bytes: a thousand rows take a few hundred kilobytes.
const MAX_LINE: usize = 1 << 24;

/// Why an engine cannot be talked to.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ClientError {
    #[error(
        "no run holds the output folder {}; start one with `reeldeck --batch`, in the background with --detach",
        shown(out)
    )]
    NoRun { out: PathBuf },
    #[error("no run over part {shard} holds the output folder {}", shown(out))]
    NoSuchPart { out: PathBuf, shard: Shard },
    #[error("several runs hold the output folder {}: parts {parts}; say which with --shard", shown(out))]
    Several { out: PathBuf, parts: String },
    #[error("the run that holds the output folder is on host {host} (process {pid}); go there to follow or steer it")]
    Elsewhere { host: String, pid: u32 },
    #[error("the run that holds the output folder (process {pid}) does not listen to clients")]
    Deaf { pid: u32 },
    #[error("failed to look for runs in the output folder {}; check that its disk is there", shown(out))]
    Locks { out: PathBuf, source: io::Error },
    #[error("failed to reach the run (process {pid}) at {}; if it hangs, end it with `kill {pid}`", shown(socket))]
    Unreachable { pid: u32, socket: PathBuf, source: io::Error },
    #[error(
        "the run (process {pid}) has not answered at {} within {} s; try again, and if it hangs, end it with `kill {pid}`",
        shown(socket),
        timeout.as_secs_f32()
    )]
    NoAnswer { pid: u32, socket: PathBuf, timeout: Duration },
    #[error("{reason}")]
    Refused { reason: String },
    #[error(
        "the lock of {} leads to a run over another output folder ({}): it was copied; remove {}",
        shown(out),
        shown(other),
        shown(lock)
    )]
    OtherFolder { out: PathBuf, other: PathBuf, lock: PathBuf },
    #[error("the connection to the run broke")]
    Broken(#[from] io::Error),
    #[error("the run has ended")]
    Ended,
    #[error("unexpected reply from the run: {0}")]
    Unexpected(String),
    #[error("{0}")]
    No(String),
}

impl From<ClientError> for ExitError {
    fn from(error: ClientError) -> Self {
        let exit = match error {
            ClientError::NoRun { .. } | ClientError::NoSuchPart { .. } | ClientError::Several { .. } => Exit::Usage,
            _ => Exit::Internal,
        };
        Self::new(exit, error)
    }
}

/// A connection to an engine.
pub struct Client {
    connection: Connection,
    welcome: Welcome,
    next_id: u64,
    /// Events that arrived before an answer.
    early: Vec<FromEngine>,
}

/// A window of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Increases with every change of a video.
    pub revision: u64,
    /// The number of videos that pass the filter.
    pub total: usize,
    /// The rows.
    pub rows: Vec<Row>,
}

/// The runs that hold an output folder, by part.
///
/// # Errors
/// When the locks cannot be read, or not within ten seconds.
pub fn runs(out: &Path) -> Result<Vec<(Shard, Holder)>, ClientError> {
    let private = Layout::new(out, "").private();
    let (sender, receiver) = mpsc::channel();
    // A file system that does not answer cannot be interrupted: the thread is left behind.
    std::thread::spawn(move || sender.send(holder::holders(&private)));
    let seen = receiver.recv_timeout(ANSWER_TIMEOUT).unwrap_or_else(|_| {
        let seconds = ANSWER_TIMEOUT.as_secs();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("it has not answered within {seconds} s")))
    });
    let seen = seen.map_err(|source| ClientError::Locks { out: out.to_owned(), source })?;
    let held = seen.into_iter().filter(|seen| seen.held);
    Ok(held.filter_map(|Seen { shard, holder, .. }| Some((shard, holder?))).collect())
}

/// The run over this part that holds the output folder. For the whole dataset, runs on this host go first.
///
/// # Errors
/// When there is none, several, or one on another host.
pub fn find_run(out: &Path, shard: Shard) -> Result<(Shard, Holder), ClientError> {
    let mut runs = runs(out)?;
    if !shard.is_whole() {
        runs.retain(|(part, _)| *part == shard);
        if runs.is_empty() {
            return Err(ClientError::NoSuchPart { out: out.to_owned(), shard });
        }
    } else if runs.iter().any(|(_, holder)| holder.host == holder::host()) {
        runs.retain(|(_, holder)| holder.host == holder::host());
    }
    match runs.as_slice() {
        [] => Err(ClientError::NoRun { out: out.to_owned() }),
        [(_, holder)] if holder.host != holder::host() => {
            Err(ClientError::Elsewhere { host: holder.host.clone(), pid: holder.pid })
        }
        [run] => Ok(run.clone()),
        several => {
            let parts: Vec<String> = several.iter().map(|(part, _)| part.to_string()).collect();
            Err(ClientError::Several { out: out.to_owned(), parts: parts.join(", ") })
        }
    }
}

impl Client {
    /// Connects to the run that these settings mean.
    ///
    /// # Errors
    /// As [`find_run`], and when the engine cannot be reached or does not answer.
    pub fn find(settings: &Settings) -> Result<Self, ClientError> {
        let (shard, holder) = find_run(&settings.out, settings.shard)?;
        Self::connect(&settings.out, shard, &holder)
    }

    /// Connects to this run.
    ///
    /// # Errors
    /// As [`Client::find`].
    pub fn connect(out: &Path, shard: Shard, holder: &Holder) -> Result<Self, ClientError> {
        Self::connect_within(out, shard, holder, ANSWER_TIMEOUT)
    }

    /// Connects to this run; every answer must arrive within `timeout`.
    fn connect_within(out: &Path, shard: Shard, holder: &Holder, timeout: Duration) -> Result<Self, ClientError> {
        if holder.host != holder::host() {
            return Err(ClientError::Elsewhere { host: holder.host.clone(), pid: holder.pid });
        }
        let mut connection = Connection::open(holder, timeout)?;
        let tool = concat!("reeldeck ", env!("CARGO_PKG_VERSION")).into();
        connection.send(&ToEngine::Hello { version: VERSION, tool })?;
        let welcome = match connection.read_within(timeout)? {
            FromEngine::Welcome(welcome) => welcome,
            FromEngine::Refused { reason } => return Err(ClientError::Refused { reason }),
            other => return Err(unexpected(other)),
        };
        let same =
            |a: &Path, b: &Path| a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if !same(&welcome.out, out) {
            let lock = Layout::new(out, "").private().join("locks").join(format!("{}-of-{}", shard.index, shard.of));
            return Err(ClientError::OtherFolder { out: out.to_owned(), other: welcome.out, lock });
        }
        Ok(Self { connection, welcome, next_id: 1, early: vec![] })
    }

    /// The engine's greeting.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The state of the run.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn snapshot(&mut self) -> Result<Snapshot, ClientError> {
        match self.ask(|id| ToEngine::Snapshot { id })? {
            FromEngine::Snapshot { snapshot, .. } => Ok(snapshot),
            other => Err(unexpected(other)),
        }
    }

    /// A window of the table.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn rows(&mut self, filter: Filter, sort: Sort, offset: usize, len: usize) -> Result<Window, ClientError> {
        match self.ask(|id| ToEngine::Query { id, filter, sort, offset, len })? {
            FromEngine::Rows { revision, total, rows, .. } => Ok(Window { revision, total, rows }),
            other => Err(unexpected(other)),
        }
    }

    /// The classes with their counts.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn classes(&mut self) -> Result<Vec<ClassRow>, ClientError> {
        match self.ask(|id| ToEngine::Classes { id })? {
            FromEngine::Classes { classes, .. } => Ok(classes),
            other => Err(unexpected(other)),
        }
    }

    /// The position of a video among those that pass the filter, if it passes, and their number.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn locate(&mut self, video: &str, filter: Filter, sort: Sort) -> Result<(Option<usize>, usize), ClientError> {
        match self.ask(|id| ToEngine::Locate { id, video: video.to_owned(), filter, sort })? {
            FromEngine::Place { offset, total, .. } => Ok((offset, total)),
            other => Err(unexpected(other)),
        }
    }

    /// Everything about one video.
    ///
    /// # Errors
    /// When there is no video of this name, and as [`Client::ask`].
    pub fn details(&mut self, video: &str) -> Result<Details, ClientError> {
        match self.ask(|id| ToEngine::Details { id, video: video.to_owned() })? {
            FromEngine::Details { details, .. } => Ok(*details),
            other => Err(unexpected(other)),
        }
    }

    /// Throughput so far.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn history(&mut self) -> Result<History, ClientError> {
        match self.ask(|id| ToEngine::History { id })? {
            FromEngine::History { history, .. } => Ok(history),
            other => Err(unexpected(other)),
        }
    }

    /// The last lines of the log, oldest first.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn log(&mut self, len: usize) -> Result<Vec<LogLine>, ClientError> {
        match self.ask(|id| ToEngine::Log { id, len })? {
            FromEngine::Log { lines, .. } => Ok(lines),
            other => Err(unexpected(other)),
        }
    }

    /// Gives the engine an order. Returns its answer, a text for people.
    ///
    /// # Errors
    /// When the engine refuses, and as [`Client::ask`].
    pub fn command(&mut self, command: Command) -> Result<String, ClientError> {
        match self.ask(|id| ToEngine::Command { id, command })? {
            FromEngine::Ok { message, .. } => Ok(message),
            other => Err(unexpected(other)),
        }
    }

    /// Subscribes to events, which [`Client::follow`] returns.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn subscribe(&mut self) -> Result<(), ClientError> {
        self.ask(|id| ToEngine::Subscribe { id }).map(drop)
    }

    /// The next event or snapshot; waits for it as long as it takes.
    ///
    /// # Errors
    /// [`ClientError::Ended`] when the engine has left.
    pub fn follow(&mut self) -> Result<FromEngine, ClientError> {
        if self.early.is_empty() { self.connection.read(None) } else { Ok(self.early.remove(0)) }
    }

    /// Asks a question and waits for its answer.
    ///
    /// # Errors
    /// When no answer arrives within ten seconds, and when the connection breaks.
    pub fn ask(&mut self, question: impl FnOnce(u64) -> ToEngine) -> Result<FromEngine, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        self.connection.send(&question(id))?;
        let deadline = Instant::now() + self.connection.timeout;
        loop {
            let answer = self.connection.read(Some(deadline))?;
            match &answer {
                FromEngine::Event { .. } | FromEngine::Resync { .. } | FromEngine::Snapshot { id: None, .. } => {
                    self.early.push(answer);
                }
                _ => return Ok(answer),
            }
        }
    }
}

/// The socket of an engine, with a deadline for everything that is asked of it.
struct Connection {
    stream: UnixStream,
    lines: LineReader<BufReader<UnixStream>>,
    pid: u32,
    socket: PathBuf,
    timeout: Duration,
}

impl Connection {
    fn open(holder: &Holder, timeout: Duration) -> Result<Self, ClientError> {
        let pid = holder.pid;
        let socket = holder.socket.clone().ok_or(ClientError::Deaf { pid })?;
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

    fn send(&mut self, message: &ToEngine) -> Result<(), ClientError> {
        let text = line(message).map_err(io::Error::from)?;
        self.stream.write_all(text.as_bytes()).map_err(|error| self.failed(error))
    }

    fn read_within(&mut self, timeout: Duration) -> Result<FromEngine, ClientError> {
        self.read(Some(Instant::now() + timeout))
    }

    /// The next message; without a deadline, waits for it as long as it takes.
    fn read(&mut self, deadline: Option<Instant>) -> Result<FromEngine, ClientError> {
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
fn connect_within(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
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

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

fn unexpected(answer: FromEngine) -> ClientError {
    match answer {
        FromEngine::Error { message, .. } => ClientError::No(message),
        other => ClientError::Unexpected(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::os::unix::net::UnixListener;

    use jiff::Timestamp;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(200);

    /// An engine that is not there: a socket that does what `serve` does with the first connection.
    fn engine(serve: impl FnOnce(UnixStream) + Send + 'static) -> (tempfile::TempDir, Holder) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || serve(listener.accept().unwrap().0));
        let now = Timestamp::now();
        let holder = Holder {
            host: holder::host(),
            pid: 4711,
            tool: String::new(),
            started: now,
            heartbeat: now,
            socket: Some(socket),
        };
        (dir, holder)
    }

    fn connect_to(dir: &tempfile::TempDir, holder: &Holder) -> Result<Client, ClientError> {
        Client::connect_within(dir.path(), Shard::WHOLE, holder, TIMEOUT)
    }

    fn greet(mut stream: &UnixStream, out: &Path) {
        let welcome = Welcome {
            version: VERSION,
            tool: String::new(),
            pid: 4711,
            root: out.to_owned(),
            out: out.to_owned(),
            set: String::new(),
            shard: String::new(),
            dataset: String::new(),
            checkpoint: String::new(),
            meaningless: false,
            manifest: None,
        };
        stream.write_all(line(&FromEngine::Welcome(welcome)).unwrap().as_bytes()).unwrap();
    }

    #[test]
    fn an_engine_that_never_greets_is_given_up_at_the_deadline() {
        let (dir, holder) = engine(|stream| {
            // Until the client has left.
            let _ = BufReader::new(stream).lines().count();
        });
        let error = connect_to(&dir, &holder).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("process 4711") && text.contains("socket") && text.contains("`kill 4711`"), "{text}");
        assert!(matches!(error, ClientError::NoAnswer { .. }));
    }

    #[test]
    fn events_do_not_extend_the_deadline_of_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().to_owned();
        let (_socket, holder) = engine(move |mut stream| {
            greet(&stream, &out);
            let event = line(&FromEngine::Resync { revision: 1 }).unwrap();
            while stream.write_all(event.as_bytes()).is_ok() {
                std::thread::sleep(TIMEOUT / 20);
            }
        });
        let mut client = connect_to(&dir, &holder).unwrap();
        assert!(matches!(client.snapshot(), Err(ClientError::NoAnswer { .. })));
    }

    #[test]
    fn a_socket_whose_queue_is_full_is_given_up_at_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let mut waiting = vec![];
        let error = loop {
            match connect_within(&path, TIMEOUT) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert!(is_timeout(&error) && !waiting.is_empty(), "{error}");
    }

    #[test]
    fn a_line_may_arrive_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().to_owned();
        let (_socket, holder) = engine(move |mut stream| {
            greet(&stream, &out);
            let text = line(&FromEngine::Ok { id: 1, message: "paused".into() }).unwrap();
            let (first, rest) = text.split_at(10);
            stream.write_all(first.as_bytes()).unwrap();
            std::thread::yield_now();
            stream.write_all(rest.as_bytes()).unwrap();
            let _ = BufReader::new(stream).lines().count();
        });
        assert_eq!(connect_to(&dir, &holder).unwrap().command(Command::Pause).unwrap(), "paused");
    }
}
