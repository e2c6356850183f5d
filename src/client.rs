//! A client of an engine: finds it by the lock of the output folder, and asks it one thing after another. Blocking.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::layout::Layout;
use reeldeck_common::protocol::line;

use crate::config::Settings;
use crate::dataset::shard::Shard;
use crate::dataset::shown;
use crate::engine::lock::{self, Holder, Seen};
use crate::error::{Exit, ExitError};
use crate::protocol::details::Details;
use crate::protocol::row::{ClassRow, Filter, Row, Sort};
use crate::protocol::snapshot::{History, Snapshot};
use crate::protocol::{Command, FromEngine, LogLine, ToEngine, VERSION, Welcome};

/// An engine that does not answer for so long is taken to hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// No message from an engine is longer: a thousand rows are a few hundred kilobytes.
const MAX_LINE: u64 = 1 << 24;

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
    #[error("failed to reach the run (process {pid}) at {}; if it hangs, end it with `kill {pid}`", shown(socket))]
    Unreachable { pid: u32, socket: PathBuf, source: io::Error },
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
    #[error("the run said what was not expected: {0}")]
    Nonsense(String),
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

/// A connection.
pub struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    welcome: Welcome,
    next: u64,
    /// Events that came while an answer was waited for.
    early: Vec<FromEngine>,
}

/// A window of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Goes up with every change of a video.
    pub revision: u64,
    /// How many videos the filter lets through.
    pub total: usize,
    /// The rows.
    pub rows: Vec<Row>,
}

/// The runs that hold an output folder, by part.
///
/// # Errors
/// When the locks cannot be looked at.
pub fn runs(out: &Path) -> io::Result<Vec<(Shard, Holder)>> {
    let held = lock::holders(&Layout::new(out, "").private())?.into_iter().filter(|seen| seen.held);
    Ok(held.filter_map(|Seen { shard, holder, .. }| Some((shard, holder?))).collect())
}

impl Client {
    /// Connects to the run that these settings mean.
    ///
    /// # Errors
    /// When there is none, several, one elsewhere, or one that is not to be understood.
    pub fn find(settings: &Settings) -> Result<Self, ClientError> {
        let out = &settings.out;
        let mut runs = runs(out)?;
        if !settings.shard.is_whole() {
            runs.retain(|(shard, _)| *shard == settings.shard);
            if runs.is_empty() {
                return Err(ClientError::NoSuchPart { out: out.clone(), shard: settings.shard });
            }
        } else if runs.iter().any(|(_, holder)| holder.host == lock::host()) {
            runs.retain(|(_, holder)| holder.host == lock::host());
        }
        match runs.as_slice() {
            [] => Err(ClientError::NoRun { out: out.clone() }),
            [(shard, holder)] => Self::connect(out, *shard, holder),
            several => {
                let parts: Vec<String> = several.iter().map(|(shard, _)| shard.to_string()).collect();
                Err(ClientError::Several { out: out.clone(), parts: parts.join(", ") })
            }
        }
    }

    /// Connects to this run.
    ///
    /// # Errors
    /// As [`Client::find`].
    pub fn connect(out: &Path, shard: Shard, holder: &Holder) -> Result<Self, ClientError> {
        let pid = holder.pid;
        if holder.host != lock::host() {
            return Err(ClientError::Elsewhere { host: holder.host.clone(), pid });
        }
        let socket = holder.socket.clone().ok_or(ClientError::Deaf { pid })?;
        let unreachable = |source| ClientError::Unreachable { pid, socket: socket.clone(), source };
        let stream = UnixStream::connect(&socket).map_err(unreachable)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(unreachable)?;
        let mut writer = stream.try_clone().map_err(unreachable)?;
        let mut reader = BufReader::new(stream);
        let hello = ToEngine::Hello { version: VERSION, tool: concat!("reeldeck ", env!("CARGO_PKG_VERSION")).into() };
        writer.write_all(line(&hello).map_err(io::Error::from)?.as_bytes()).map_err(unreachable)?;
        let welcome = match read(&mut reader).map_err(|error| match error {
            ClientError::Broken(source) => unreachable(source),
            error => error,
        })? {
            FromEngine::Welcome(welcome) => welcome,
            FromEngine::Refused { reason } => return Err(ClientError::Refused { reason }),
            other => return Err(ClientError::Nonsense(format!("{other:?}"))),
        };
        let same =
            |a: &Path, b: &Path| a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if !same(&welcome.out, out) {
            let lock = Layout::new(out, "").private().join("locks").join(format!("{}-of-{}", shard.index, shard.of));
            return Err(ClientError::OtherFolder { out: out.to_owned(), other: welcome.out, lock });
        }
        Ok(Self { reader, writer, welcome, next: 1, early: vec![] })
    }

    /// Who answers.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Where the run stands.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn snapshot(&mut self) -> Result<Snapshot, ClientError> {
        loop {
            let answer = self.ask(|id| ToEngine::Snapshot { id });
            match answer? {
                FromEngine::Snapshot { snapshot, .. } => return Ok(snapshot),
                // The run is only just beginning.
                FromEngine::Error { .. } => std::thread::sleep(Duration::from_millis(50)),
                other => return Err(ClientError::Nonsense(format!("{other:?}"))),
            }
        }
    }

    /// A window of the table.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn rows(&mut self, filter: Filter, sort: Sort, offset: usize, len: usize) -> Result<Window, ClientError> {
        match self.ask(|id| ToEngine::Query { id, filter, sort, offset, len })? {
            FromEngine::Rows { revision, total, rows, .. } => Ok(Window { revision, total, rows }),
            other => Err(unexpected(other)),
        }
    }

    /// The classes with their counts.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn classes(&mut self) -> Result<Vec<ClassRow>, ClientError> {
        match self.ask(|id| ToEngine::Classes { id })? {
            FromEngine::Classes { classes, .. } => Ok(classes),
            other => Err(unexpected(other)),
        }
    }

    /// Where a video is in a view, where the filter lets it through, and how many it lets through.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn locate(&mut self, video: &str, filter: Filter, sort: Sort) -> Result<(Option<usize>, usize), ClientError> {
        match self.ask(|id| ToEngine::Locate { id, video: video.to_owned(), filter, sort })? {
            FromEngine::Place { offset, total, .. } => Ok((offset, total)),
            other => Err(unexpected(other)),
        }
    }

    /// All about one video.
    ///
    /// # Errors
    /// When there is none of this name, and when the connection breaks.
    pub fn details(&mut self, video: &str) -> Result<Details, ClientError> {
        match self.ask(|id| ToEngine::Details { id, video: video.to_owned() })? {
            FromEngine::Details { details, .. } => Ok(*details),
            other => Err(unexpected(other)),
        }
    }

    /// Throughput so far.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn history(&mut self) -> Result<History, ClientError> {
        match self.ask(|id| ToEngine::History { id })? {
            FromEngine::History { history, .. } => Ok(history),
            other => Err(unexpected(other)),
        }
    }

    /// The last lines of the log, the oldest first.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn log(&mut self, len: usize) -> Result<Vec<LogLine>, ClientError> {
        match self.ask(|id| ToEngine::Log { id, len })? {
            FromEngine::Log { lines, .. } => Ok(lines),
            other => Err(unexpected(other)),
        }
    }

    /// Has the engine do something; what came of it, for people.
    ///
    /// # Errors
    /// When it is not possible, and when the connection breaks.
    pub fn command(&mut self, command: Command) -> Result<String, ClientError> {
        match self.ask(|id| ToEngine::Command { id, command })? {
            FromEngine::Ok { message, .. } => Ok(message),
            FromEngine::Error { message, .. } => Err(ClientError::No(message)),
            other => Err(ClientError::Nonsense(format!("{other:?}"))),
        }
    }

    /// Asks for events. From here on [`Client::follow`] gives them, and waits for as long as it takes.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn subscribe(&mut self) -> Result<(), ClientError> {
        self.ask(|id| ToEngine::Subscribe { id })?;
        Ok(self.reader.get_ref().set_read_timeout(None)?)
    }

    /// The next event or snapshot.
    ///
    /// # Errors
    /// [`ClientError::Ended`] when the engine has left.
    pub fn follow(&mut self) -> Result<FromEngine, ClientError> {
        if self.early.is_empty() { read(&mut self.reader) } else { Ok(self.early.remove(0)) }
    }

    /// Asks anything and waits for its answer.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn ask(&mut self, question: impl FnOnce(u64) -> ToEngine) -> Result<FromEngine, ClientError> {
        let id = self.next;
        self.next += 1;
        self.writer.write_all(line(&question(id)).map_err(io::Error::from)?.as_bytes())?;
        loop {
            let answer = read(&mut self.reader)?;
            match &answer {
                FromEngine::Event { .. } | FromEngine::Resync { .. } | FromEngine::Snapshot { id: None, .. } => {
                    self.early.push(answer);
                }
                _ => return Ok(answer),
            }
        }
    }
}

fn unexpected(answer: FromEngine) -> ClientError {
    match answer {
        FromEngine::Error { message, .. } => ClientError::No(message),
        other => ClientError::Nonsense(format!("{other:?}")),
    }
}

fn read(reader: &mut impl BufRead) -> Result<FromEngine, ClientError> {
    let mut text = vec![];
    reader.take(MAX_LINE).read_until(b'\n', &mut text)?;
    if text.is_empty() {
        return Err(ClientError::Ended);
    }
    serde_json::from_slice(&text).map_err(|error| ClientError::Nonsense(error.to_string()))
}
