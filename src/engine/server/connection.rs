//! One client. A task of its own reads the socket and another one writes it, so that neither direction waits for the other.
//! Requests are answered in order; events are sent as fast as the client reads them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use reeldeck_common::protocol::line;
use reeldeck_process::{LineError, LineReader};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc::{self, Permit};
use tokio::task::JoinHandle;

use super::answers::Answers;
use super::{MAX_CLIENTS, Shared, Silence};
use crate::engine::control::ClientRequest;
use crate::protocol::snapshot::Snapshot;
use crate::protocol::{FromEngine, MAX_LINE};

/// Requests that are read before the ones before them are answered.
const MAX_REQUESTS: usize = 4;

/// Messages that wait for a client to read them.
const MAX_OUTGOING: usize = 16;

/// A connection without a greeting is closed after this time.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that does not read its answers for this long is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A line of a client, or why it cannot be read.
type Question = Result<Vec<u8>, LineError>;

/// A message for every client that has subscribed.
#[derive(Clone)]
pub(super) enum Broadcast {
    /// The line of an event.
    Event(Arc<str>),
    /// A new snapshot, sent in order with the events that led to it.
    Snapshot(Arc<Snapshot>),
}

/// Why the engine ended a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The client asks and does not read.
    #[error("a client ({tool}) has not read its answers for {} s and is disconnected", WRITE_TIMEOUT.as_secs())]
    NotReading {
        /// The name that the client gave.
        tool: String,
    },
    /// A message has no JSON form.
    #[error("failed to encode a message for a client")]
    Encode(#[from] serde_json::Error),
}

/// Serves a client until it disconnects or the engine ends.
///
/// # Errors
/// When the client does not read.
pub(super) async fn serve(
    stream: UnixStream,
    shared: Rc<RefCell<Shared>>,
    mut events: broadcast::Receiver<Broadcast>,
    requests: mpsc::UnboundedSender<ClientRequest>,
    silence: Silence,
) -> Result<(), ConnectionError> {
    let (reading, writing) = stream.into_split();
    let (outgoing, messages) = mpsc::channel(MAX_OUTGOING);
    let (lines, mut questions) = mpsc::channel(MAX_REQUESTS);
    let reader = tokio::task::spawn_local(read(reading, lines));
    let mut writer = tokio::task::spawn_local(write(writing, messages));
    let mut connection = Connection { outgoing, answers: Answers::new(shared, requests) };
    let served = connection.run(&mut questions, &mut events, silence).await;
    reader.abort();
    drop(connection);
    match served {
        Ok(()) => finish(&mut writer).await,
        Err(_) => writer.abort(),
    }
    served
}

/// Sends what is still queued. A client that does not read it loses it.
async fn finish(writer: &mut JoinHandle<()>) {
    if tokio::time::timeout(WRITE_TIMEOUT, &mut *writer).await.is_err() {
        writer.abort();
    }
}

/// Passes on lines until the stream ends. Instead of a line that is too long, it passes on the error.
async fn read(stream: OwnedReadHalf, lines: mpsc::Sender<Question>) {
    let mut reader = LineReader::new(BufReader::new(stream), MAX_LINE);
    loop {
        let line = match reader.next_line_async().await {
            Ok(Some(line)) => Ok(line.to_vec()),
            Err(error @ LineError::TooLong { .. }) => Err(error),
            Ok(None) | Err(_) => return,
        };
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

/// Writes messages until there are no more or the client is gone.
async fn write(mut stream: OwnedWriteHalf, mut messages: mpsc::Receiver<String>) {
    while let Some(message) = messages.recv().await {
        if stream.write_all(message.as_bytes()).await.is_err() {
            return;
        }
    }
    // Fails only when the client has closed its side first.
    let _ = stream.shutdown().await;
}

struct Connection {
    outgoing: mpsc::Sender<String>,
    answers: Answers,
}

impl Connection {
    async fn run(
        &mut self,
        questions: &mut mpsc::Receiver<Question>,
        events: &mut broadcast::Receiver<Broadcast>,
        silence: Silence,
    ) -> Result<(), ConnectionError> {
        let Silence { closed, seats } = silence;
        let first = tokio::select! {
            biased;
            first = questions.recv() => first,
            _ = closed => None,
            () = tokio::time::sleep(GREETING_TIMEOUT) => None,
        };
        let Some(first) = first else { return Ok(()) };
        let Some(_seat) = seats.take() else {
            let reason = format!("the engine has {MAX_CLIENTS} clients already: close one of them, and try again");
            return self.answer(&FromEngine::Refused { reason }).await;
        };
        let greeting = self.answers.greet(&first.unwrap_or_default());
        let is_welcome = matches!(greeting, FromEngine::Welcome(_));
        self.answer(&greeting).await?;
        if !is_welcome {
            return Ok(());
        }
        loop {
            tokio::select! {
                biased;
                question = questions.recv() => {
                    let Some(question) = question else { return Ok(()) };
                    let was_subscribed = self.answers.is_subscribed();
                    let answer = match question {
                        Ok(question) => self.answers.answer(&question).await,
                        Err(error) => FromEngine::Error { id: 0, message: format!("not understood: {error}") },
                    };
                    self.answer(&answer).await?;
                    if self.answers.is_subscribed() && !was_subscribed {
                        *events = events.resubscribe();
                        let snapshot = self.answers.snapshot();
                        self.answer(&FromEngine::Snapshot { id: None, snapshot }).await?;
                    }
                }
                next = next_broadcast(&self.outgoing, self.answers.is_subscribed(), events) => match next {
                    Next::Message(permit, message) => permit.send(text_of(message)?),
                    Next::Missed(permit) => {
                        let revision = self.answers.revision();
                        permit.send(line(&FromEngine::Resync { revision })?);
                    }
                    Next::Ignored => {}
                    Next::End => return Ok(()),
                },
            }
        }
    }

    /// Queues an answer. The queue is full only if the client keeps asking and does not read.
    async fn answer(&self, answer: &FromEngine) -> Result<(), ConnectionError> {
        match self.outgoing.send_timeout(line(answer)?, WRITE_TIMEOUT).await {
            // The client has disconnected. The writer has noticed it, and the reader will notice it, too.
            Ok(()) | Err(mpsc::error::SendTimeoutError::Closed(_)) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(ConnectionError::NotReading { tool: self.answers.tool().to_owned() })
            }
        }
    }
}

/// What [`next_broadcast`] has received.
enum Next<'c> {
    Message(Permit<'c, String>, Broadcast),
    /// The client was too slow and has missed messages.
    Missed(Permit<'c, String>),
    /// The client has not subscribed.
    Ignored,
    /// The engine ends.
    End,
}

/// Waits for a broadcast and, for a subscriber, first for room to send it: a client that does not read misses broadcasts
/// instead of filling the memory. Cancel safe.
async fn next_broadcast<'c>(
    outgoing: &'c mpsc::Sender<String>,
    is_subscribed: bool,
    events: &mut broadcast::Receiver<Broadcast>,
) -> Next<'c> {
    let permit = match is_subscribed {
        true => match outgoing.reserve().await {
            Ok(permit) => Some(permit),
            Err(_) => return Next::End,
        },
        false => None,
    };
    match (events.recv().await, permit) {
        (Err(RecvError::Closed), _) => Next::End,
        (_, None) => Next::Ignored,
        (Ok(message), Some(permit)) => Next::Message(permit, message),
        (Err(RecvError::Lagged(_)), Some(permit)) => Next::Missed(permit),
    }
}

fn text_of(message: Broadcast) -> serde_json::Result<String> {
    match message {
        // The event is JSON already; parsing it only to encode it again would cost more than this.
        Broadcast::Event(text) => Ok(format!("{{\"type\":\"event\",\"line\":{}}}\n", text.trim_end())),
        Broadcast::Snapshot(snapshot) => {
            let snapshot = (*snapshot).clone();
            line(&FromEngine::Snapshot { id: None, snapshot })
        }
    }
}
