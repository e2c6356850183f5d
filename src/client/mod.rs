//! A blocking client of an engine: finds it by its file in the output folder and asks one question at a time. No question
//! waits longer than ten seconds.

use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use reeldeck_common::layout::Layout;

use crate::config::Settings;
use crate::protocol::details::Details;
use crate::protocol::holder::{self, Holder, Seen};
use crate::protocol::row::{ClassRow, Filter, Row, Sort};
use crate::protocol::snapshot::{History, Snapshot};
use crate::protocol::{Command, FromEngine, LogLine, ToEngine, VERSION, Welcome};

mod connection;
mod error;
pub(crate) mod overview;
#[cfg(test)]
mod tests;

use connection::Connection;
pub use error::ClientError;
pub(crate) use overview::Overview;

/// An engine that does not answer within this time is taken to hang.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a killed engine may keep its lock while it does not listen any more.
const ENDING: Duration = Duration::from_secs(2);

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

/// The engines that use an output folder, the one that started first at the beginning.
///
/// # Errors
/// When their files cannot be read, or not within ten seconds.
pub fn runs(out: &Path) -> Result<Vec<Holder>, ClientError> {
    let private = Layout::new(out, "").private();
    let seen = in_time(out, move || holder::holders(&private))?;
    Ok(seen.into_iter().filter(|seen| seen.held).filter_map(|Seen { holder, .. }| holder).collect())
}

fn is_same_folder(a: &Path, b: &Path) -> Result<bool, ClientError> {
    let (one, other) = (a.to_owned(), b.to_owned());
    let same = move || Ok(matches!((one.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b));
    Ok(a == b || in_time(b, same)?)
}

/// Looks at the output folder.
///
/// # Errors
/// When that fails, or its file system does not answer within ten seconds.
fn in_time<T: Send + 'static>(
    out: &Path,
    look: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ClientError> {
    let (sender, receiver) = mpsc::channel();
    // A file system that does not answer cannot be interrupted: the thread is left behind.
    reeldeck_common::thread::spawn("look", move || sender.send(look())).map_err(ClientError::Thread)?;
    let seen = receiver.recv_timeout(ANSWER_TIMEOUT).unwrap_or_else(|_| {
        let seconds = ANSWER_TIMEOUT.as_secs();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("it has not answered within {seconds} s")))
    });
    seen.map_err(|source| ClientError::Locks { out: out.to_owned(), source })
}

/// The engine of the output folder that started first, on this host.
///
/// # Errors
/// When there is none, or only some on other hosts.
pub(crate) fn find_run(out: &Path) -> Result<Holder, ClientError> {
    let runs = runs(out)?;
    match (runs.iter().find(|holder| holder.host == holder::host()), runs.first()) {
        (Some(here), _) => Ok(here.clone()),
        (None, Some(holder)) => Err(ClientError::OtherHost { host: holder.host.clone(), pid: holder.pid }),
        (None, None) => Err(ClientError::NoRun { out: out.to_owned() }),
    }
}

impl Client {
    /// Connects to the run that these settings mean.
    ///
    /// # Errors
    /// As [`find_run`], and when the engine cannot be reached or does not answer.
    pub fn find(settings: &Settings) -> Result<Self, ClientError> {
        let until = Instant::now() + ENDING;
        loop {
            match Self::connect(&settings.out, &find_run(&settings.out)?) {
                // An engine that is killed keeps its lock for a moment. Then there is none, or another one.
                Err(ClientError::Unreachable { source, .. })
                    if source.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                connected => return connected,
            }
        }
    }

    /// Connects to this run.
    ///
    /// # Errors
    /// As [`Client::find`].
    pub fn connect(out: &Path, holder: &Holder) -> Result<Self, ClientError> {
        Self::connect_within(out, holder, ANSWER_TIMEOUT)
    }

    /// Connects to this run; every answer must arrive within `timeout`.
    fn connect_within(out: &Path, holder: &Holder, timeout: Duration) -> Result<Self, ClientError> {
        if holder.host != holder::host() {
            return Err(ClientError::OtherHost { host: holder.host.clone(), pid: holder.pid });
        }
        let mut connection = Connection::open(holder, timeout)?;
        let tool = concat!("reeldeck ", env!("CARGO_PKG_VERSION")).into();
        connection.send(&ToEngine::Hello { version: VERSION, tool })?;
        let welcome = match connection.read_within(timeout)? {
            FromEngine::Welcome(welcome) => welcome,
            FromEngine::Refused { reason } => return Err(ClientError::Refused { reason }),
            other => return Err(unexpected(other)),
        };
        if !is_same_folder(&welcome.out, out)? {
            let file = holder::file(&Layout::new(out, "").private(), &holder.id);
            return Err(ClientError::OtherFolder { out: out.to_owned(), other: welcome.out, file });
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

fn unexpected(answer: FromEngine) -> ClientError {
    match answer {
        FromEngine::Error { message, .. } => ClientError::Failed(message),
        other => ClientError::Unexpected(format!("{other:?}")),
    }
}
