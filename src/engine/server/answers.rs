//! The answers to one client's requests.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tokio::sync::{mpsc, oneshot};

use super::table::{Table, View};
use super::{Shared, log_tail};
use crate::engine::control::{ClientRequest, Request};
use crate::engine::inspector::InspectRequest;
use crate::format::Format;
use crate::protocol::details::Details;
use crate::protocol::row::{Filter, Sort};
use crate::protocol::snapshot::Snapshot;
use crate::protocol::{Command, FromEngine, MAX_ROWS, ToEngine, VERSION};

/// How long reading the files of one video may take.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(5);

/// A view is reused, although the table has changed, for this many times the time that it took to make. So no client keeps
/// the thread busy with sorting.
const VIEW_REUSE: u32 = 10;

/// What one client has asked for so far.
pub(super) struct Answers {
    shared: Rc<RefCell<Shared>>,
    requests: mpsc::UnboundedSender<ClientRequest>,
    /// The last view, so that scrolling does not filter and sort again.
    view: Option<CachedView>,
    is_subscribed: bool,
    /// The client's name and version.
    tool: String,
}

struct CachedView {
    view: View,
    made: Instant,
    cost: Duration,
}

impl Drop for Answers {
    fn drop(&mut self) {
        if self.is_subscribed {
            self.shared.borrow().followers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Answers {
    /// For a client that has just connected.
    pub(super) fn new(shared: Rc<RefCell<Shared>>, requests: mpsc::UnboundedSender<ClientRequest>) -> Self {
        Self { shared, requests, view: None, is_subscribed: false, tool: "unknown".into() }
    }

    /// Whether the client receives events.
    pub(super) fn is_subscribed(&self) -> bool {
        self.is_subscribed
    }

    /// The client's name and version.
    pub(super) fn tool(&self) -> &str {
        &self.tool
    }

    /// The last snapshot.
    pub(super) fn snapshot(&self) -> Snapshot {
        (*self.shared.borrow().snapshot).clone()
    }

    /// The revision of the table.
    pub(super) fn revision(&self) -> u64 {
        self.shared.borrow().table.revision()
    }

    /// The answer to the first message: welcome or refused.
    pub(super) fn greet(&mut self, first: &[u8]) -> FromEngine {
        // Another version may write the rest of its greeting differently, so the version is read first.
        let hello = serde_json::from_slice::<serde_json::Value>(first).unwrap_or_default();
        let version = hello.get("version").filter(|_| hello.get("type").is_some_and(|kind| kind == "hello"));
        let shared = self.shared.borrow();
        match version.and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {
                let tool = hello.get("tool").and_then(serde_json::Value::as_str).unwrap_or_default();
                self.tool = reeldeck_common::video::printable(tool);
                // Clients show what checks have found in the dataset.
                let _ = shared.context.inspector.send(InspectRequest::Begin);
                FromEngine::Welcome(shared.welcome.clone())
            }
            Some(version) => FromEngine::Refused {
                reason: format!(
                    "the engine is {} and speaks protocol {VERSION}, the client speaks {version}: use the program that \
                     started the run",
                    shared.welcome.tool
                ),
            },
            None => FromEngine::Refused { reason: "the first message must be hello".into() },
        }
    }

    /// The answer to any later message.
    pub(super) async fn answer(&mut self, question: &[u8]) -> FromEngine {
        let question = match serde_json::from_slice::<ToEngine>(question) {
            Ok(question) => question,
            Err(error) => {
                let id = serde_json::from_slice::<serde_json::Value>(question).ok().and_then(|q| q.get("id")?.as_u64());
                return FromEngine::Error { id: id.unwrap_or(0), message: format!("not understood: {error}") };
            }
        };
        match question {
            ToEngine::Hello { .. } => FromEngine::Error { id: 0, message: "a second hello".into() },
            ToEngine::Snapshot { id } => FromEngine::Snapshot { id: Some(id), snapshot: self.snapshot() },
            ToEngine::Classes { id } => FromEngine::Classes { id, classes: self.shared.borrow().table.classes() },
            ToEngine::Subscribe { id } => {
                if !std::mem::replace(&mut self.is_subscribed, true) {
                    self.shared.borrow().followers.fetch_add(1, Ordering::Relaxed);
                }
                FromEngine::Ok { id, message: "subscribed".into() }
            }
            ToEngine::Query { id, filter, sort, offset, len } => {
                let (table, view) = self.view(filter, sort);
                let rows = table.rows(view, offset, len.min(MAX_ROWS));
                FromEngine::Rows { id, revision: table.revision(), total: view.ids.len(), rows }
            }
            ToEngine::Locate { id, video, filter, sort } => {
                let (table, view) = self.view(filter, sort);
                FromEngine::Place { id, offset: table.place(view, &video), total: view.ids.len() }
            }
            ToEngine::Details { id, video } => match self.details(&video).await {
                Ok(details) => FromEngine::Details { id, details: Box::new(details) },
                Err(message) => FromEngine::Error { id, message },
            },
            ToEngine::History { id } => FromEngine::History { id, history: self.shared.borrow().samples.history() },
            ToEngine::Log { id, len } => {
                let context = Arc::clone(&self.shared.borrow().context);
                let read = tokio::task::spawn_blocking(move || log_tail::tail(&context.log_file, len.min(MAX_ROWS)));
                match tokio::time::timeout(DETAILS_TIMEOUT, read).await {
                    Ok(lines) => FromEngine::Log { id, lines: lines.unwrap_or_default() },
                    Err(_) => FromEngine::Error { id, message: disk_hangs("the log") },
                }
            }
            ToEngine::Command { id, command } => match self.command(command).await {
                Ok(message) => FromEngine::Ok { id, message },
                Err(message) => FromEngine::Error { id, message },
            },
        }
    }

    /// The requested view, computed again unless the last one is recent enough.
    fn view(&mut self, filter: Filter, sort: Sort) -> (RefMut<'_, Table>, &View) {
        let mut table = RefMut::map(self.shared.borrow_mut(), |shared| &mut shared.table);
        let last = self.view.take().filter(|CachedView { view, made, cost }| {
            let is_recent = view.revision == table.revision() || made.elapsed() < *cost * VIEW_REUSE;
            is_recent && view.filter == filter && view.sort == sort
        });
        let cached = last.unwrap_or_else(|| {
            let begun = Instant::now();
            let view = table.view(filter, sort);
            CachedView { view, made: Instant::now(), cost: begun.elapsed() }
        });
        (table, &self.view.insert(cached).view)
    }

    /// Everything about one video. Its files are read on another thread.
    async fn details(&self, video: &str) -> Result<Details, String> {
        let (entry, context) = {
            let shared = self.shared.borrow();
            let entry = shared.table.look_up(video).ok_or_else(|| format!("the video {video:?} no longer exists"))?;
            (entry, Arc::clone(&shared.context))
        };
        let read = tokio::task::spawn_blocking(move || context.details(entry));
        match tokio::time::timeout(DETAILS_TIMEOUT, read).await {
            Ok(details) => details.map_err(|error| format!("failed to look at it: {error}")),
            Err(_) => Err(disk_hangs("its files")),
        }
    }

    async fn command(&self, command: Command) -> Result<String, String> {
        let request = self.request(command)?;
        let (reply, answer) = oneshot::channel();
        let gone = || "the engine is ending".to_owned();
        self.requests.send(ClientRequest { request, reply }).map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())?;
        // The engine published its changes before it replied: let them be applied first.
        tokio::task::yield_now().await;
        answer
    }

    /// A command with its videos as numbers.
    fn request(&self, command: Command) -> Result<Request, String> {
        let table = || RefMut::map(self.shared.borrow_mut(), |shared| &mut shared.table);
        Ok(match command {
            Command::Pause => Request::Pause,
            Command::Resume => Request::Resume,
            Command::Stop { now } => Request::Stop { now },
            Command::Retry { patterns } => Request::Retry(table().failed(&patterns)?),
            Command::Start => Request::Start,
            Command::Redo { select } => Request::Redo(table().select(&select)?),
            Command::Exclude { select, undo } => Request::Exclude { videos: table().select(&select)?, undo },
            Command::Rescan => Request::Rescan,
            Command::Check { deep } => Request::Check { deep },
            Command::WriteList => Request::WriteList,
            Command::Export { formats } => Request::Export(formats_of(&formats)?),
            Command::WriteMissing => Request::WriteMissing,
            Command::Leave if self.other_followers() > 0 => return Err("other clients follow this engine".into()),
            Command::Leave => Request::Leave,
        })
    }

    fn other_followers(&self) -> usize {
        self.shared.borrow().followers.load(Ordering::Relaxed).saturating_sub(self.is_subscribed.into())
    }
}

fn disk_hangs(what: &str) -> String {
    format!("{what} cannot be read now; check that its disk is mounted")
}

fn formats_of(names: &[String]) -> Result<Vec<Format>, String> {
    let parse = |name: &String| {
        Format::from_str(name, false).map_err(|_| format!("unknown format {name:?}: use pkl, csv, npy, npz or h5"))
    };
    let formats = names.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    Ok(if formats.is_empty() { vec![Format::Pkl] } else { formats })
}
