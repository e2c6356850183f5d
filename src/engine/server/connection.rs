//! One client: its questions are answered in order, and events are sent as fast as it takes them and no faster.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use reeldeck_contract::protocol::line;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::table::View;
use crate::engine::control::{Asked, Order};
use crate::engine::protocol::snapshot::Snapshot;
use crate::engine::protocol::{Command, FromEngine, MAX_LINE, MAX_ROWS, ToEngine, VERSION};

/// What goes to all clients that have subscribed.
#[derive(Clone)]
pub enum Broadcast {
    /// The line of an event.
    Event(Arc<str>),
    /// A new snapshot: the one of that moment, so that none is read before the events that led to it.
    Snapshot(Arc<Snapshot>),
}

struct Client {
    shared: Rc<RefCell<Shared>>,
    orders: mpsc::UnboundedSender<Asked>,
    /// The last view that was asked for: scrolling does not filter and sort anew.
    view: Option<(View, std::time::Instant, std::time::Duration)>,
    subscribed: bool,
}

/// Talks to a client until one of both is gone.
pub async fn talk(
    stream: UnixStream,
    shared: Rc<RefCell<Shared>>,
    mut events: broadcast::Receiver<Broadcast>,
    orders: mpsc::UnboundedSender<Asked>,
) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    // Reading is a task of its own: a line that has arrived in part must not be lost to an event.
    let (sender, mut questions) = mpsc::channel::<Vec<u8>>(4);
    let reader = tokio::task::spawn_local(async move {
        let mut reading = BufReader::new(reading);
        while let Some(line) = next_line(&mut reading).await {
            if sender.send(line).await.is_err() {
                return;
            }
        }
    });
    let mut client = Client { shared, orders, view: None, subscribed: false };
    let talked = client.talk(&mut writing, &mut questions, &mut events).await;
    reader.abort();
    talked
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.subscribed {
            self.shared.borrow().followers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Client {
    async fn talk(
        &mut self,
        writing: &mut OwnedWriteHalf,
        questions: &mut mpsc::Receiver<Vec<u8>>,
        events: &mut broadcast::Receiver<Broadcast>,
    ) -> io::Result<()> {
        let Some(first) = questions.recv().await else { return Ok(()) };
        let (greeting, welcome) = self.greet(&first);
        say(writing, &greeting).await?;
        if !welcome {
            return Ok(());
        }
        loop {
            tokio::select! {
                biased;
                question = questions.recv() => match question {
                    Some(question) => {
                        let (before, answer) = (self.subscribed, self.answer(&question).await);
                        say(writing, &answer).await?;
                        if self.subscribed && !before {
                            // What has happened between its last question and this one.
                            *events = events.resubscribe();
                            let snapshot = self.shared.borrow().snapshot.clone();
                            if let Some(snapshot) = snapshot {
                                say_snapshot(writing, &snapshot).await?;
                            }
                        }
                    }
                    None => return Ok(()),
                },
                event = events.recv() => match event {
                    Ok(_) if !self.subscribed => {}
                    Ok(Broadcast::Event(text)) => {
                        // The line as it is: putting it into a message by hand saves reading it first.
                        let text = format!("{{\"type\":\"event\",\"line\":{}}}\n", text.trim_end());
                        writing.write_all(text.as_bytes()).await?;
                    }
                    Ok(Broadcast::Snapshot(snapshot)) => say_snapshot(writing, &snapshot).await?,
                    Err(RecvError::Lagged(_)) if self.subscribed => {
                        let revision = self.shared.borrow().table.revision();
                        say(writing, &FromEngine::Resync { revision }).await?;
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return writing.shutdown().await,
                },
            }
        }
    }

    fn greet(&self, first: &[u8]) -> (FromEngine, bool) {
        let refused = |reason: String| (FromEngine::Refused { reason }, false);
        // The version first: another version may say hello in other words.
        let version = serde_json::from_slice::<serde_json::Value>(first)
            .ok()
            .filter(|hello| hello.get("type").is_some_and(|t| t == "hello"))
            .and_then(|hello| hello.get("version")?.as_u64());
        match version {
            Some(version) if version == u64::from(VERSION) => {
                (FromEngine::Welcome(self.shared.borrow().welcome.clone()), true)
            }
            Some(version) => refused(format!(
                "the engine is {} and speaks protocol {VERSION}, the client speaks {version}: use the program that \
                 started the run",
                self.shared.borrow().welcome.tool
            )),
            None => refused("the first message must be hello".into()),
        }
    }

    async fn answer(&mut self, question: &[u8]) -> FromEngine {
        let question = match serde_json::from_slice::<ToEngine>(question) {
            Ok(question) => question,
            Err(error) => {
                let id = serde_json::from_slice::<serde_json::Value>(question).ok().and_then(|q| q.get("id")?.as_u64());
                return FromEngine::Error { id: id.unwrap_or(0), message: format!("not understood: {error}") };
            }
        };
        match question {
            ToEngine::Hello { .. } => FromEngine::Error { id: 0, message: "a second hello".into() },
            ToEngine::Snapshot { id } => match self.shared.borrow().snapshot.as_deref() {
                Some(snapshot) => FromEngine::Snapshot { id: Some(id), snapshot: snapshot.clone() },
                None => FromEngine::Error { id, message: "the run has not begun; ask again in a moment".into() },
            },
            ToEngine::Classes { id } => FromEngine::Classes { id, classes: self.shared.borrow().table.classes() },
            ToEngine::Subscribe { id } => {
                if !std::mem::replace(&mut self.subscribed, true) {
                    self.shared.borrow().followers.fetch_add(1, Ordering::Relaxed);
                }
                FromEngine::Ok { id, message: "subscribed".into() }
            }
            ToEngine::Query { id, filter, sort, offset, len } => {
                let shared = self.shared.borrow();
                let (table, began) = (&shared.table, std::time::Instant::now());
                // A view may be as old as it took to make ten times over, so that no client keeps the thread busy.
                let usable = self.view.as_ref().is_some_and(|(view, made, cost)| {
                    let fresh = view.revision == table.revision() || made.elapsed() < *cost * 10;
                    fresh && view.filter == filter && view.sort == sort
                });
                if !usable {
                    let view = table.view(filter, sort);
                    self.view = Some((view, std::time::Instant::now(), began.elapsed()));
                }
                let (total, rows) = match &self.view {
                    Some((view, ..)) => (view.ids.len(), table.rows(view, offset, len.min(MAX_ROWS))),
                    None => (0, vec![]),
                };
                FromEngine::Rows { id, revision: table.revision(), total, rows }
            }
            ToEngine::Details { id, .. }
            | ToEngine::Locate { id, .. }
            | ToEngine::History { id }
            | ToEngine::Log { id, .. } => FromEngine::Error { id, message: "not answered yet".into() },
            ToEngine::Command { id, command } => match self.command(command).await {
                Ok(message) => FromEngine::Ok { id, message },
                Err(message) => FromEngine::Error { id, message },
            },
        }
    }

    async fn command(&self, command: Command) -> Result<String, String> {
        let order = match command {
            Command::Pause => Order::Pause,
            Command::Resume => Order::Resume,
            Command::Stop { now } => Order::Stop { now },
            Command::Start
            | Command::Redo { .. }
            | Command::Exclude { .. }
            | Command::Rescan
            | Command::Check { .. }
            | Command::WriteList
            | Command::Export { .. }
            | Command::WriteMissing
            | Command::Leave => return Err("not done yet".into()),
            Command::Retry { patterns } => Order::Retry(self.shared.borrow().table.failed(&patterns)?),
        };
        let (reply, answer) = oneshot::channel();
        let gone = || "the engine is ending".to_owned();
        self.orders.send(Asked { order, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn say_snapshot(writing: &mut OwnedWriteHalf, snapshot: &Snapshot) -> io::Result<()> {
    say(writing, &FromEngine::Snapshot { id: None, snapshot: snapshot.clone() }).await
}

async fn say(writing: &mut OwnedWriteHalf, message: &FromEngine) -> io::Result<()> {
    writing.write_all(line(message)?.as_bytes()).await
}

/// One line without its end; `None` at the end of the stream, or where a line is longer than any message.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = vec![];
    let read = reader.take(MAX_LINE as u64).read_until(b'\n', &mut line).await.ok()?;
    (read > 0 && line.pop() == Some(b'\n')).then_some(line)
}
