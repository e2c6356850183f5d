//! The engine's socket. Clients are served on a thread of their own from a copy of the table, so that none of them can slow
//! the engine down.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::LocalSet;

use super::control::ClientRequest;
use super::inspector::Inspection;
use super::other_files::OtherFiles;
use super::publish::RunObserver;
use super::state::{State, VideoId};
use crate::protocol::Welcome;
use crate::protocol::event::Line;
use crate::protocol::snapshot::{Folder, ScanState, Snapshot};
use connection::Broadcast;
use details::Context;
use history::Samples;
use table::{Changed, RowSummary, Table};

mod answers;
pub(crate) mod class_names;
mod connection;
pub(crate) mod details;
mod history;
mod log_tail;
mod socket;
pub(crate) mod table;

/// More clients than this at a time are refused.
const MAX_CLIENTS: usize = 64;

/// Connections without a greeting that are kept. Another one closes the oldest of them, so that silent connections do
/// not keep clients out.
const MAX_SILENT: usize = 64;

/// The number of events that a subscriber may be behind before it is told to ask for everything again.
const MAX_BEHIND: usize = 1024;

/// How long clients have at the end of the engine to read what was sent to them.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(300);

/// How long to wait after a connection could not be accepted, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A change that clients are to see.
enum Update {
    /// The engine prepares its first run and is at this step, or waits for a folder.
    Starting(String, Option<Folder>),
    /// The engine knows its videos.
    Table(Box<Table>),
    Changed(Vec<Changed>),
    Event(Arc<str>),
    Snapshot(Box<Snapshot>),
    Inspection(Inspection),
    /// The files of the dataset folder that are no videos.
    Others(Arc<OtherFiles>),
    /// The engine ends.
    End,
}

/// Serves clients until it is dropped.
pub(crate) struct Server {
    updates: mpsc::UnboundedSender<Update>,
    followers: Arc<AtomicUsize>,
    socket: PathBuf,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What all connections share.
struct Shared {
    welcome: Welcome,
    table: Table,
    snapshot: Arc<Snapshot>,
    scan: Option<ScanState>,
    samples: Samples,
    followers: Arc<AtomicUsize>,
    context: Arc<Context>,
}

impl Server {
    /// Opens the socket. Orders of clients go to `requests`. Clients see a starting engine without videos until
    /// [`Server::set_table`] and the first snapshot.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(crate) fn start(
        welcome: Welcome,
        context: Context,
        requests: mpsc::UnboundedSender<ClientRequest>,
    ) -> io::Result<Self> {
        let (listener, socket) = socket::bind(&welcome.out)?;
        let (updates, incoming) = mpsc::unbounded_channel();
        let followers = Arc::new(AtomicUsize::new(0));
        let shared = Shared {
            welcome,
            table: Table::default(),
            snapshot: Arc::new(Snapshot::starting("starting", None)),
            scan: None,
            samples: Samples::default(),
            followers: Arc::clone(&followers),
            context: Arc::new(context),
        };
        let runtime = crate::runtime::start()?;
        let thread = reeldeck_common::thread::spawn("server", move || {
            runtime.block_on(serve(listener, shared, incoming, requests));
            // A thread may still read files for a client that has disconnected.
            runtime.shutdown_background();
        })?;
        Ok(Self { updates, followers, socket, thread: Some(thread) })
    }

    fn send(&self, update: Update) {
        let _ = self.updates.send(update);
    }

    /// Publishes the steps of the start.
    pub(crate) fn starting_sink(&self) -> impl Fn(&str, Option<Folder>) + Send + 'static {
        let updates = self.updates.clone();
        move |step, held_by| drop(updates.send(Update::Starting(step.to_owned(), held_by)))
    }

    /// Publishes what an inspection finds.
    pub(crate) fn inspection_sink(&self) -> impl Fn(Inspection) + Send + use<> {
        let updates = self.updates.clone();
        move |inspection| drop(updates.send(Update::Inspection(inspection)))
    }

    /// Replaces the table of videos.
    pub(crate) fn set_table(&self, table: Table) {
        self.send(Update::Table(Box::new(table)));
    }

    /// The path of the socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The number of subscribed clients, kept up to date. Clients that only ask questions do not count: one that asks every
    /// second must not keep an engine alive.
    pub(crate) fn followers(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.followers)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A socket that cannot be removed is recognised as stale: no process holds the lock.
        let _ = fs::remove_file(&self.socket);
        self.send(Update::End);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

impl RunObserver for Server {
    fn event(&mut self, _line: &Line, text: &Arc<str>) {
        self.send(Update::Event(Arc::clone(text)));
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        self.send(Update::Snapshot(Box::new(snapshot.clone())));
    }

    fn others(&mut self, others: &Arc<OtherFiles>) {
        self.send(Update::Others(Arc::clone(others)));
    }

    fn changed(&mut self, state: &State, videos: &[VideoId]) {
        let changed = videos.iter().filter_map(|id| {
            let (summary, reason) = RowSummary::in_run(state, *id)?;
            let file = if state.files.is_new(*id) { state.files.get(*id).cloned() } else { None };
            Some(Changed { id: *id, summary, reason, file })
        });
        let changed = Update::Changed(changed.collect());
        self.send(changed);
    }
}

impl Shared {
    /// Applies an update. Returns what subscribers are to receive.
    fn apply(&mut self, update: Update) -> Option<Broadcast> {
        match update {
            Update::Starting(step, held_by) => {
                return self.set_snapshot(Snapshot::starting(&step, held_by)).map(Broadcast::Snapshot);
            }
            Update::Table(table) => self.table = *table,
            Update::Changed(changed) => self.table.change(changed),
            Update::Event(text) => return Some(Broadcast::Event(text)),
            Update::Snapshot(snapshot) => return self.set_snapshot(*snapshot).map(Broadcast::Snapshot),
            Update::Inspection(Inspection::Listing(listing)) => self.table.set_listing(listing),
            Update::Inspection(Inspection::Probed(found)) => self.table.probed(found),
            Update::Inspection(Inspection::Progress(scan)) => self.scan = scan,
            Update::Others(others) => self.table.set_others(others),
            Update::End => {}
        }
        None
    }

    /// Completes a snapshot with what is known here. Returns it if it differs from the last one.
    fn set_snapshot(&mut self, mut snapshot: Snapshot) -> Option<Arc<Snapshot>> {
        self.samples.take(&snapshot);
        snapshot.states = self.table.totals();
        snapshot.findings = self.table.findings();
        snapshot.revision = self.table.revision();
        snapshot.scan = self.scan;
        let is_same = is_same(&self.snapshot, &snapshot);
        self.snapshot = Arc::new(snapshot);
        (!is_same).then(|| Arc::clone(&self.snapshot))
    }
}

/// Whether two snapshots differ only in the time that has passed.
fn is_same(a: &Snapshot, b: &Snapshot) -> bool {
    let without_times = |snapshot: &Snapshot| {
        let mut snapshot = snapshot.clone();
        snapshot.elapsed_s = 0.0;
        (snapshot.eta_s, snapshot.eta_guess_s) = (None, None);
        snapshot.devices.iter_mut().flat_map(|device| &mut device.in_flight).for_each(|video| video.seconds = 0.0);
        snapshot
    };
    without_times(a) == without_times(b)
}

async fn serve(
    listener: StdListener,
    shared: Shared,
    mut updates: mpsc::UnboundedReceiver<Update>,
    requests: mpsc::UnboundedSender<ClientRequest>,
) {
    let Ok(listener) = UnixListener::from_std(listener) else { return };
    // All tasks run on one thread, and none of them holds the borrow while it waits.
    let shared = Rc::new(RefCell::new(shared));
    let (events, _) = broadcast::channel(MAX_BEHIND);
    let mut clients = Clients::default();
    let local = LocalSet::new();
    let serve = async {
        loop {
            tokio::select! {
                update = updates.recv() => match update {
                    None | Some(Update::End) => return,
                    Some(update) => {
                        if let Some(message) = shared.borrow_mut().apply(update) {
                            let _ = events.send(message);
                        }
                    }
                },
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => clients.serve(stream, &shared, events.subscribe(), requests.clone()),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    };
    local.run_until(serve).await;
    drop(events);
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, local).await;
}

/// The connected clients.
#[derive(Default)]
struct Clients {
    /// Clients that have greeted.
    count: Rc<Cell<usize>>,
    /// Connections that have not, the oldest first. Dropping an entry closes its connection.
    silent: VecDeque<oneshot::Sender<()>>,
}

impl Clients {
    fn serve(
        &mut self,
        stream: UnixStream,
        shared: &Rc<RefCell<Shared>>,
        events: broadcast::Receiver<Broadcast>,
        requests: mpsc::UnboundedSender<ClientRequest>,
    ) {
        if !stream.peer_cred().is_ok_and(|peer| socket::is_trusted(peer.uid())) {
            return;
        }
        self.silent.retain(|connection| !connection.is_closed());
        while self.silent.len() >= MAX_SILENT {
            self.silent.pop_front();
        }
        let (silent, closed) = oneshot::channel();
        self.silent.push_back(silent);
        let seats = ClientSlots { taken: Rc::clone(&self.count) };
        let connection = connection::serve(stream, Rc::clone(shared), events, requests, Silence { closed, seats });
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::warn!("{error}");
            }
        });
    }
}

/// What a connection needs before its greeting.
struct Silence {
    /// Ends when the connection must make room for another one.
    closed: oneshot::Receiver<()>,
    seats: ClientSlots,
}

/// The number of clients that have greeted.
struct ClientSlots {
    taken: Rc<Cell<usize>>,
}

/// One of [`MAX_CLIENTS`].
struct ClientSlot(Rc<Cell<usize>>);

impl ClientSlots {
    /// A slot, unless all are taken.
    fn take(self) -> Option<ClientSlot> {
        let taken = self.taken.get();
        if taken >= MAX_CLIENTS {
            return None;
        }
        self.taken.set(taken + 1);
        Some(ClientSlot(self.taken))
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
