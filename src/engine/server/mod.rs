//! The engine's socket: clients are served on a thread of their own, from a copy of the table, so that none of them can
//! slow the engine.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc};

use reeldeck_common::probe::Probed;

use super::control::Asked;
use super::listing::Listing;
use super::lock;
use super::publish::Front;
use super::state::{State, VideoId};
use crate::protocol::Welcome;
use crate::protocol::event::Line;
use crate::protocol::snapshot::{ScanState, Snapshot};
use history::Samples;
use table::{Changed, RowSummary};

mod connection;
pub mod details;
mod history;
mod log_tail;
mod table;

pub use details::Backstage;
pub use table::Table;

/// More clients at a time are turned away.
const MOST_CLIENTS: usize = 64;

/// Events that a client may be behind before it is told to ask anew.
const BEHIND: usize = 1024;

/// To the thread that serves.
enum News {
    /// What the engine does before its first run.
    Step(&'static str),
    /// The videos, once the engine knows them.
    Table(Box<Table>),
    Changed(Vec<Changed>),
    Event(Arc<str>),
    Snapshot(Box<Snapshot>),
    Listing(Arc<Listing>),
    Probed(Vec<(VideoId, Probed)>),
    Scan(Option<ScanState>),
    End,
}

/// Where those put what they find out who look at the dataset.
#[derive(Clone)]
pub struct InspectionSink(mpsc::UnboundedSender<News>);

impl InspectionSink {
    /// What should be there. Before anything else.
    pub fn listing(&self, listing: Arc<Listing>) {
        let _ = self.0.send(News::Listing(listing));
    }

    /// What checks found.
    pub fn probed(&self, found: Vec<(VideoId, Probed)>) {
        let _ = self.0.send(News::Probed(found));
    }

    /// How far a check of all files is.
    pub fn scan(&self, scan: Option<ScanState>) {
        let _ = self.0.send(News::Scan(scan));
    }
}

/// Tells clients which step an engine takes before its first run.
#[derive(Clone)]
pub struct Steps(mpsc::UnboundedSender<News>);

impl Steps {
    /// Publishes the step.
    pub fn begin(&self, step: &'static str) {
        let _ = self.0.send(News::Step(step));
    }
}

/// The engine's end: a front like any other.
pub struct Server {
    news: mpsc::UnboundedSender<News>,
    followers: Arc<AtomicUsize>,
    socket: PathBuf,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What connections share.
struct Shared {
    welcome: Welcome,
    table: Table,
    snapshot: Arc<Snapshot>,
    scan: Option<ScanState>,
    samples: Samples,
    followers: Arc<AtomicUsize>,
    backstage: Arc<Backstage>,
}

impl Server {
    /// Opens the socket and serves clients until it is dropped. Their orders go to `orders`. Clients see an engine that is
    /// starting, without videos, until [`Server::set_table`] and the first snapshot.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(welcome: Welcome, backstage: Backstage, orders: mpsc::UnboundedSender<Asked>) -> io::Result<Self> {
        let socket = place(&welcome.out)?;
        let listener = std::os::unix::net::UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let (news, told) = mpsc::unbounded_channel();
        let followers = Arc::new(AtomicUsize::new(0));
        let shared = Shared {
            welcome,
            table: Table::default(),
            snapshot: Arc::new(Snapshot::starting("starting")),
            scan: None,
            samples: Samples::default(),
            followers: Arc::clone(&followers),
            backstage: Arc::new(backstage),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("server".into()).spawn(move || {
            runtime.block_on(serve(listener, shared, told, orders));
            // Somebody may still be reading for a client that is gone.
            runtime.shutdown_background();
        })?;
        Ok(Self { news, followers, socket, thread: Some(thread) })
    }

    fn send(&self, news: News) {
        let _ = self.news.send(news);
    }

    /// Publishes the steps of a start.
    pub fn steps(&self) -> Steps {
        Steps(self.news.clone())
    }

    /// Replaces the table of videos.
    pub fn set_table(&self, table: Table) {
        self.send(News::Table(Box::new(table)));
    }

    /// Where others put what they find out.
    pub fn feed(&self) -> InspectionSink {
        InspectionSink(self.news.clone())
    }

    /// Where clients find it.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How many clients follow the run; goes on working after the server was handed over as a front. Those that only ask
    /// something are not counted: whoever asks every second does not keep an engine.
    pub fn followers(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.followers)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that stays is known to be stale: nobody holds the lock.
        let _ = fs::remove_file(&self.socket);
        self.send(News::End);
        // What clients are still to read is sent before the program ends.
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

impl Front for Server {
    fn event(&mut self, _line: &Line, text: &Arc<str>) {
        self.send(News::Event(Arc::clone(text)));
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        self.send(News::Snapshot(Box::new(snapshot.clone())));
    }

    fn changed(&mut self, state: &State, videos: &[VideoId]) {
        let changed = videos.iter().filter_map(|id| {
            let (brief, reason) = RowSummary::of(state.videos.get(*id)?);
            let file = if state.files.is_new(*id) { state.files.get(*id).cloned() } else { None };
            Some(Changed { id: *id, brief, reason, file })
        });
        let changed = News::Changed(changed.collect());
        self.send(changed);
    }
}

impl Shared {
    /// Puts together what the engine says and what is known here; none where it says nothing new.
    fn take(&mut self, mut snapshot: Snapshot) -> Option<Arc<Snapshot>> {
        self.samples.take(&snapshot);
        self.table.set_active(is_active(&snapshot));
        snapshot.states = self.table.totals();
        snapshot.revision = self.table.revision();
        snapshot.scan = self.scan;
        // Time alone is no news.
        let same = is_same(&self.snapshot, &snapshot);
        let snapshot: Arc<Snapshot> = snapshot.into();
        self.snapshot = Arc::clone(&snapshot);
        (!same).then_some(snapshot)
    }
}

/// Whether there is a run that will do what is to be done.
fn is_active(snapshot: &Snapshot) -> bool {
    use crate::protocol::snapshot::Phase;
    !matches!(snapshot.phase, Phase::Starting | Phase::Waiting | Phase::Idle)
}

async fn serve(
    listener: std::os::unix::net::UnixListener,
    shared: Shared,
    mut told: mpsc::UnboundedReceiver<News>,
    orders: mpsc::UnboundedSender<Asked>,
) {
    let Ok(listener) = UnixListener::from_std(listener) else { return };
    // One thread: whoever holds it is never interrupted, and never holds it while waiting.
    let shared = std::rc::Rc::new(std::cell::RefCell::new(shared));
    let (events, _) = broadcast::channel(BEHIND);
    let local = tokio::task::LocalSet::new();
    let connected = std::rc::Rc::new(std::cell::Cell::new(0));
    let accept = async {
        loop {
            tokio::select! {
                news = told.recv() => match news {
                    Some(News::Step(step)) => {
                        if let Some(snapshot) = shared.borrow_mut().take(Snapshot::starting(step)) {
                            let _ = events.send(connection::Broadcast::Snapshot(snapshot));
                        }
                    }
                    Some(News::Table(table)) => shared.borrow_mut().table = *table,
                    Some(News::Changed(changed)) => shared.borrow_mut().table.change(changed),
                    Some(News::Event(text)) => drop(events.send(connection::Broadcast::Event(text))),
                    Some(News::Snapshot(snapshot)) => {
                        if let Some(snapshot) = shared.borrow_mut().take(*snapshot) {
                            let _ = events.send(connection::Broadcast::Snapshot(snapshot));
                        }
                    }
                    Some(News::Listing(listing)) => shared.borrow_mut().table.set_listing(listing),
                    Some(News::Probed(found)) => shared.borrow_mut().table.probed(found),
                    Some(News::Scan(scan)) => shared.borrow_mut().scan = scan,
                    // The engine is over. What its clients have not read yet, they still can.
                    Some(News::End) | None => return,
                },
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else {
                        // Out of file descriptors, most likely: not a reason to spin.
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        continue;
                    };
                    let trusted = stream.peer_cred().is_ok_and(|peer| is_trusted(peer.uid()));
                    if !trusted || connected.get() >= MOST_CLIENTS {
                        continue;
                    }
                    connected.set(connected.get() + 1);
                    let talk = connection::talk(stream, std::rc::Rc::clone(&shared), events.subscribe(), orders.clone());
                    let connected = std::rc::Rc::clone(&connected);
                    tokio::task::spawn_local(async move {
                        // However it ends, the client is gone.
                        let _ = talk.await;
                        connected.set(connected.get() - 1);
                    });
                }
            }
        }
    };
    local.run_until(accept).await;
    drop(events);
    // What was said last is on its way for a moment; nobody is waited for longer.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(300), local).await;
}

fn is_same(a: &Snapshot, b: &Snapshot) -> bool {
    let still = |s: &Snapshot| {
        let mut s = s.clone();
        s.elapsed_s = 0.0;
        s.eta_s = None;
        s.devices.iter_mut().flat_map(|d| &mut d.in_hand).for_each(|hand| hand.seconds = 0.0);
        s
    };
    still(a) == still(b)
}

fn is_trusted(user: u32) -> bool {
    user == rustix::process::geteuid().as_raw() || user == 0
}

/// A free place for a socket in a folder that is ours alone.
fn place(out: &Path) -> io::Result<PathBuf> {
    let name = format!("{}-{:08x}.sock", std::process::id(), digest(out));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| is_ours(dir));
    let user = rustix::process::geteuid().as_raw();
    let folder = match runtime {
        Some(dir) => dir.join("reeldeck"),
        None => std::env::temp_dir().join(format!("reeldeck-{user}")),
    };
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !is_ours(&folder) {
        return Err(io::Error::other(format!("{} is not a folder of ours alone", folder.display())));
    }
    sweep(&folder);
    let socket = folder.join(name);
    // Left behind by a process of the same number that is gone: we are that process now.
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(socket),
    }
}

/// Removes what engines left behind that were killed.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_suffix(".sock")?.split_once('-')?.0.parse().ok());
        // The number may be that of a process which only another container sees: then somebody listens.
        let refused = || {
            let connected = std::os::unix::net::UnixStream::connect(entry.path());
            connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if pid.is_some_and(lock::is_gone) && refused() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A folder, no link, of this user, closed to all others.
fn is_ours(folder: &Path) -> bool {
    let ours = |m: fs::Metadata| {
        m.is_dir() && m.uid() == rustix::process::geteuid().as_raw() && m.permissions().mode() & 0o077 == 0
    };
    fs::symlink_metadata(folder).is_ok_and(ours)
}

fn digest(out: &Path) -> u32 {
    xxhash_rust::xxh3::xxh3_64(out.as_os_str().as_encoded_bytes()) as u32
}
