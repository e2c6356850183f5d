//! One client: its questions are answered in order, and events are sent as fast as it takes them and no faster.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::ValueEnum;
use reeldeck_common::protocol::line;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::log_tail;
use super::table::View;
use crate::engine::control::{Asked, Order};
use crate::engine::inspector::InspectRequest;
use crate::format::Format;
use crate::protocol::details::Details;
use crate::protocol::row::{Filter, Sort};
use crate::protocol::snapshot::Snapshot;
use crate::protocol::{Command, FromEngine, MAX_LINE, MAX_ROWS, ToEngine, VERSION};

/// Files of one video that cannot be read for so long are given up.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

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
        // Somebody looks: what is known of the dataset is wanted now.
        let _ = self.shared.borrow().backstage.inspector.send(InspectRequest::Begin);
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
                            let snapshot = Arc::clone(&self.shared.borrow().snapshot);
                            say_snapshot(writing, &snapshot).await?;
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
            ToEngine::Snapshot { id } => {
                FromEngine::Snapshot { id: Some(id), snapshot: (*self.shared.borrow().snapshot).clone() }
            }
            ToEngine::Classes { id } => FromEngine::Classes { id, classes: self.shared.borrow().table.classes() },
            ToEngine::Subscribe { id } => {
                if !std::mem::replace(&mut self.subscribed, true) {
                    self.shared.borrow().followers.fetch_add(1, Ordering::Relaxed);
                }
                FromEngine::Ok { id, message: "subscribed".into() }
            }
            ToEngine::Query { id, filter, sort, offset, len } => {
                self.look(filter, sort);
                let shared = self.shared.borrow();
                let (total, rows) = match &self.view {
                    Some((view, ..)) => (view.ids.len(), shared.table.rows(view, offset, len.min(MAX_ROWS))),
                    None => (0, vec![]),
                };
                FromEngine::Rows { id, revision: shared.table.revision(), total, rows }
            }
            ToEngine::Locate { id, video, filter, sort } => {
                self.look(filter, sort);
                let shared = self.shared.borrow();
                let place = |view: &View| (shared.table.place(view, &video), view.ids.len());
                let (offset, total) = self.view.as_ref().map_or((None, 0), |(view, ..)| place(view));
                FromEngine::Place { id, offset, total }
            }
            ToEngine::Details { id, video } => match self.details(&video).await {
                Ok(details) => FromEngine::Details { id, details: Box::new(details) },
                Err(message) => FromEngine::Error { id, message },
            },
            ToEngine::History { id } => FromEngine::History { id, history: self.shared.borrow().samples.history() },
            ToEngine::Log { id, len } => {
                let backstage = Arc::clone(&self.shared.borrow().backstage);
                let read = tokio::task::spawn_blocking(move || log_tail::tail(&backstage.log, len.min(MAX_ROWS))).await;
                FromEngine::Log { id, lines: read.unwrap_or_default() }
            }
            ToEngine::Command { id, command } => match self.command(command).await {
                Ok(message) => FromEngine::Ok { id, message },
                Err(message) => FromEngine::Error { id, message },
            },
        }
    }

    /// Makes the view that is asked for, unless the last one will do.
    fn look(&mut self, filter: Filter, sort: Sort) {
        let mut shared = self.shared.borrow_mut();
        let (table, began) = (&mut shared.table, std::time::Instant::now());
        // A view may be as old as it took to make ten times over, so that no client keeps the thread busy.
        let usable = self.view.as_ref().is_some_and(|(view, made, cost)| {
            let fresh = view.revision == table.revision() || made.elapsed() < *cost * 10;
            fresh && view.filter == filter && view.sort == sort
        });
        if !usable {
            let view = table.view(filter, sort);
            self.view = Some((view, std::time::Instant::now(), began.elapsed()));
        }
    }

    /// What is known of a video, read where nobody waits for it.
    async fn details(&self, video: &str) -> Result<Details, String> {
        let (known, backstage) = {
            let shared = self.shared.borrow();
            let known = shared.table.look_up(video).ok_or_else(|| format!("there is no video {video:?} any more"))?;
            (known, Arc::clone(&shared.backstage))
        };
        let read = tokio::task::spawn_blocking(move || backstage.details(known));
        // A disk that hangs must not hang the connection for ever.
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(details) => details.map_err(|error| format!("failed to look at it: {error}")),
            Err(_) => Err("its files cannot be read at the moment; is the disk still there?".into()),
        }
    }

    async fn command(&self, command: Command) -> Result<String, String> {
        let order = self.order(command)?;
        let (reply, answer) = oneshot::channel();
        let gone = || "the engine is ending".to_owned();
        self.orders.send(Asked { order, reply }).map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())?;
        // What the engine has said before it answered is taken over first.
        tokio::task::yield_now().await;
        answer
    }

    /// Followers but this one.
    fn others(&self) -> usize {
        self.shared.borrow().followers.load(Ordering::Relaxed).saturating_sub(self.subscribed.into())
    }

    /// A command with its videos by number.
    fn order(&self, command: Command) -> Result<Order, String> {
        let table = || std::cell::RefMut::map(self.shared.borrow_mut(), |shared| &mut shared.table);
        Ok(match command {
            Command::Pause => Order::Pause,
            Command::Resume => Order::Resume,
            Command::Stop { now } => Order::Stop { now },
            Command::Retry { patterns } => Order::Retry(table().failed(&patterns)?),
            Command::Start => Order::Start,
            Command::Redo { select } => Order::Redo(table().select(&select)?),
            Command::Exclude { select, undo } => Order::Exclude { videos: table().select(&select)?, undo },
            Command::Rescan => Order::Rescan,
            Command::Check { deep } => Order::Check { deep },
            Command::WriteList => Order::WriteList,
            Command::Export { formats } => Order::Export(formats_of(&formats)?),
            Command::WriteMissing => Order::WriteMissing,
            // Whoever looks on needs it still.
            Command::Leave if self.others() > 0 => return Err("others follow this engine".into()),
            Command::Leave => Order::Leave,
        })
    }
}

fn formats_of(names: &[String]) -> Result<Vec<Format>, String> {
    let known = |name: &String| {
        Format::from_str(name, false).map_err(|_| format!("{name:?} is no format: pkl, csv, npy, npz or h5"))
    };
    let formats = names.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    Ok(if formats.is_empty() { vec![Format::Pkl] } else { formats })
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
