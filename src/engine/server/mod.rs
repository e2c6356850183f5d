//! The engine's socket: clients are served on a thread of their own, from a copy of the table, so that none of them can
//! slow the engine.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc};

use super::control::Asked;
use super::lock;
use super::protocol::Welcome;
use super::protocol::event::Line;
use super::protocol::snapshot::Snapshot;
use super::publish::Front;
use super::state::{State, Status, VideoId};
use table::{Brief, Table};

mod connection;
mod table;

/// More clients at a time are turned away.
const MOST_CLIENTS: usize = 64;

/// Events that a client may be behind before it is told to ask anew.
const BEHIND: usize = 1024;

/// From the engine to the thread that serves.
enum News {
    Changed(Vec<(VideoId, Brief, Option<String>)>),
    Event(Arc<str>),
    Snapshot(Box<Snapshot>),
}

/// The engine's end: a front like any other.
pub struct Server {
    news: Option<mpsc::UnboundedSender<News>>,
    followers: Arc<AtomicUsize>,
    socket: PathBuf,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What connections share.
struct Shared {
    welcome: Welcome,
    table: Table,
    snapshot: Option<Arc<Snapshot>>,
    followers: Arc<AtomicUsize>,
}

impl Server {
    /// Opens the socket and serves clients until it is dropped. Their orders go to `orders`.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(state: &State, welcome: Welcome, orders: mpsc::UnboundedSender<Asked>) -> io::Result<Self> {
        let socket = place(&welcome.out)?;
        let listener = std::os::unix::net::UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let (news, told) = mpsc::unbounded_channel();
        let followers = Arc::new(AtomicUsize::new(0));
        let table = Table::new(Arc::clone(&state.files), state.videos.iter().map(brief));
        let shared = Shared { welcome, table, snapshot: None, followers: Arc::clone(&followers) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("server".into()).spawn(move || {
            runtime.block_on(serve(listener, shared, told, orders));
        })?;
        Ok(Self { news: Some(news), followers, socket, thread: Some(thread) })
    }

    fn send(&self, news: News) {
        if let Some(sender) = &self.news {
            let _ = sender.send(news);
        }
    }

    /// Where clients find it.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How many clients follow the run; goes on working after the server was handed over as a front. Those that only ask
    /// something are not counted: whoever asks every second does not keep an engine.
    pub fn followers(&self) -> impl Fn() -> usize + use<> {
        let followers = Arc::clone(&self.followers);
        move || followers.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that stays is known to be stale: nobody holds the lock.
        let _ = fs::remove_file(&self.socket);
        self.news = None;
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
            let (brief, reason) = brief(state.videos.get(*id)?);
            Some((*id, brief, reason))
        });
        let changed = News::Changed(changed.collect());
        self.send(changed);
    }
}

fn brief(video: &super::state::Video) -> (Brief, Option<String>) {
    use super::protocol::row::RowState;
    let (state, reason) = match &video.status {
        Status::Done { degraded: false, .. } => (RowState::Done, None),
        Status::Done { degraded: true, .. } => (RowState::Degraded, None),
        Status::Stale => (RowState::Stale, None),
        Status::Failed { failure, .. } => (RowState::Failed, Some(failure.line())),
        Status::Queued => (RowState::Queued, None),
        Status::Running(_) => (RowState::Running, None),
        Status::LeftOut => (RowState::LeftOut, None),
    };
    (Brief { state, attempts: u8::try_from(video.attempts).unwrap_or(u8::MAX) }, reason)
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
                    Some(News::Changed(changed)) => shared.borrow_mut().table.change(changed),
                    Some(News::Event(text)) => drop(events.send(connection::Broadcast::Event(text))),
                    Some(News::Snapshot(snapshot)) => {
                        let mut shared = shared.borrow_mut();
                        // Time alone is no news.
                        let same = shared.snapshot.as_ref().is_some_and(|before| is_same(before, &snapshot));
                        let snapshot: Arc<Snapshot> = snapshot.into();
                        shared.snapshot = Some(Arc::clone(&snapshot));
                        if !same {
                            let _ = events.send(connection::Broadcast::Snapshot(snapshot));
                        }
                    }
                    // The engine is over. What its clients have not read yet, they still can.
                    None => return,
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
