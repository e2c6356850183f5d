//! Claims videos for an engine, on a thread of its own, because the output folder may respond late.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reeldeck_claims::{BEAT, Change, Claimer, DiskFolder, Item, Load, Settled, Turn, Video};
use reeldeck_common::error::Failure;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::Recipe;
use reeldeck_common::video::printable;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc as tokio_mpsc, oneshot};
use xxhash_rust::xxh3::xxh3_64;

use super::assess::Policy;
use super::crash_recovery;
use super::files::Files;
use super::orders::{self, Order, Orders};
use super::registration::Registration;
use super::state::{Status, VideoId};
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::out::errln;
use crate::protocol::holder;

mod copies;
mod folder;

use copies::Copies;
use folder::OutputFolder;

/// The time before a file operation that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Milliseconds after which operations that still fail are a warning, and between two such warnings.
const WARN: [u64; 2] = [5_000, 60_000];

/// A message from the engine to its claims.
pub(crate) enum ClaimsRequest {
    /// Take part in a run.
    Join,
    /// The videos of the engine, in the order of their numbers.
    Videos(Files, Vec<Item>),
    /// A file is new or has changed.
    Seen(VideoId, VideoFile),
    /// The status of a video.
    Status(VideoId, Stage),
    /// The videos that the engine can use.
    Load(Load),
    /// Asks whether this engine may end the run; true: with an export. The answer also has whether other engines have settled
    /// videos.
    Turn(bool, oneshot::Sender<io::Result<(Turn, bool)>>),
    /// This engine no longer ends the run. If the end is done: with an export or without.
    TurnOver(Option<bool>),
    /// Passes an order on to the other engines.
    Order(Order),
    /// Give all claims back.
    Leave(oneshot::Sender<()>),
}

/// Where a video is in the engine.
pub(crate) enum Stage {
    /// It waits.
    Queued,
    /// A worker has it.
    Running,
    /// It is settled.
    Settled(Settled),
}

/// A message from the claims to the engine.
#[derive(Debug)]
pub(crate) enum ClaimsEvent {
    /// These may be extracted. Those with these names may have crashed another engine.
    Granted(Vec<VideoId>, BTreeSet<String>),
    /// These may not be extracted any more.
    Revoked(Vec<VideoId>),
    /// Another engine has settled a video.
    Settled(VideoId, Status),
    /// Another engine has ended without giving its videos back.
    EngineDied(String),
    /// An order that another engine or a command has given.
    Order(Order),
    /// So many other engines take part in a run.
    Others(usize),
    /// Another engine reads other copies of the videos; with what to do.
    OtherCopies(String),
}

/// The engine's handle on its claims. The thread ends with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Claims(Sender<ClaimsRequest>);

impl Claims {
    /// Tells the claims something.
    pub(crate) fn tell(&self, request: ClaimsRequest) {
        let _ = self.0.send(request);
    }
}

/// The inputs of the claims.
pub(crate) struct ClaimsContext {
    /// The layout of the output folder.
    pub layout: Layout,
    /// The recipe of the features.
    pub recipe: Recipe,
    /// Which videos are extracted.
    pub policy: Policy,
    /// The engine's file.
    pub registration: Registration,
}

/// Starts the thread, which writes heartbeats from now on. `distrusts`: the engine reads its videos long before it takes part.
///
/// # Errors
/// When the thread cannot be started.
pub(crate) fn start(
    context: ClaimsContext,
    distrusts: bool,
) -> io::Result<(Claims, tokio_mpsc::UnboundedReceiver<ClaimsEvent>)> {
    let (sender, requests) = mpsc::channel();
    let (news, receiver) = tokio_mpsc::unbounded_channel();
    let id = context.registration.id();
    let mut claimer = Claimer::new(&id);
    if distrusts {
        claimer.distrust();
    }
    let path = context.layout.private().join("claims").join(context.layout.set());
    let disk = DiskFolder::new(&path, &id);
    let folder = OutputFolder { disk, path, context, files: Files::default(), started: Timestamp::now() };
    let load = Load { want: 0, free: 0, patience: u64::MAX };
    let orders = Orders::new(&folder.context.layout.private(), &id);
    let began = Instant::now();
    let thread = Thread {
        claimer,
        folder,
        news,
        load,
        orders,
        me: id,
        joined: false,
        others: 0,
        began,
        next_beat: 0,
        next_orders: BEAT,
        next_warning: None,
        copies: Copies::default(),
        next_comparison: 0,
    };
    reeldeck_common::thread::spawn("claims", move || thread.work(&requests))?;
    Ok((Claims(sender), receiver))
}

/// A video, as the claims need it.
pub(crate) fn item(file: &VideoFile, cost: u64, status: &Status) -> Item {
    let settled = match stage(status) {
        Stage::Settled(settled) => Some(settled),
        _ => None,
    };
    Item { hash: xxh3_64(file.name.as_str().as_bytes()), cost, settled }
}

/// Where a video of this status is.
pub(crate) fn stage(status: &Status) -> Stage {
    match status {
        Status::Queued => Stage::Queued,
        Status::Running(_) => Stage::Running,
        Status::Done { degraded: false, .. } => Stage::Settled(Settled::Done),
        Status::Done { degraded: true, .. } => other(Other::Degraded),
        Status::Failed { failure, before, unreadable: false } => {
            other(Other::Failed { failure: (**failure).clone(), before: *before })
        }
        _ => other(Other::Kept),
    }
}

/// The details of a settled video, in the records of buckets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Other {
    Degraded,
    Failed {
        failure: Failure,
        before: bool,
    },
    /// The engine does not extract it, because it is excluded, stale, beyond the limit, or unreadable.
    Kept,
}

fn other(other: Other) -> Stage {
    Stage::Settled(Settled::Other(serde_json::to_string(&other).unwrap_or_default()))
}

/// The status of a video that another engine has settled.
fn status(settled: &Settled) -> Option<Status> {
    let text = match settled {
        Settled::Done => return Some(Status::Done { degraded: false, resumed: false }),
        Settled::Other(text) => text,
    };
    match serde_json::from_str(text).ok()? {
        Other::Degraded => Some(Status::Done { degraded: true, resumed: false }),
        Other::Failed { failure, before } => {
            Some(Status::Failed { failure: Box::new(failure), before, unreadable: false })
        }
        Other::Kept => None,
    }
}

struct Thread {
    claimer: Claimer,
    folder: OutputFolder,
    news: tokio_mpsc::UnboundedSender<ClaimsEvent>,
    load: Load,
    orders: Orders,
    /// The id of the engine.
    me: String,
    joined: bool,
    /// The other engines that take part, as the engine knows it.
    others: usize,
    began: Instant,
    next_beat: u64,
    next_orders: u64,
    /// Operations fail: when to warn next.
    next_warning: Option<u64>,
    copies: Copies,
    next_comparison: u64,
}

impl Thread {
    fn work(mut self, requests: &Receiver<ClaimsRequest>) {
        let mut wait = Duration::ZERO;
        loop {
            match requests.recv_timeout(wait) {
                Ok(first) => std::iter::once(first).chain(requests.try_iter()).for_each(|request| self.take(request)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            wait = self.step();
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Does what is due, and returns the time until something is due again.
    fn step(&mut self) -> Duration {
        let now = self.now();
        if now >= self.next_orders {
            self.next_orders = now + self.claimer.beat_interval();
            // Orders that cannot be read now are read with the next heartbeat.
            for order in self.orders.look().unwrap_or_default() {
                let _ = self.news.send(ClaimsEvent::Order(order));
            }
        }
        self.step_claims(now).min(Duration::from_millis(self.next_orders - now))
    }

    fn step_claims(&mut self, now: u64) -> Duration {
        if self.joined && now >= self.next_comparison {
            self.next_comparison = now + BEAT;
            self.compare();
        }
        if !self.joined && now >= self.next_beat {
            // The hold of the run handles a missing or full disk.
            let _ = self.folder.context.registration.beat();
            let _ = self.claimer.follow(&mut self.folder, now);
            self.tell_of_others();
            self.next_beat = now + BEAT;
        }
        let (changes, result) = self.claimer.step(&mut self.folder, now, self.load);
        changes.into_iter().for_each(|change| self.tell(change));
        if !self.joined {
            return Duration::from_millis(self.next_beat - now);
        }
        match result {
            Ok(()) => {
                self.next_warning = None;
                Duration::from_millis(self.claimer.due().saturating_sub(now))
            }
            Err(error) => {
                tracing::debug!("failed to share videos with other engines: {error}");
                if now >= *self.next_warning.get_or_insert(now + WARN[0]) {
                    self.next_warning = Some(now + WARN[1]);
                    let folder = shown(&self.folder.path);
                    let error = printable(&error.to_string());
                    let text = format!(
                        "no more videos can be claimed: {error}; check the disk, or stop all runs and remove {folder}"
                    );
                    tracing::warn!("{text}");
                    errln!("note: {text}");
                }
                RETRY
            }
        }
    }

    /// Compares the videos with those of other engines.
    fn compare(&mut self) {
        let ClaimsContext { layout, registration, .. } = &self.folder.context;
        let me = registration.holder();
        if let Some(reason) = self.copies.compare(&layout.private(), &me, self.claimer.engines()) {
            let _ = self.news.send(ClaimsEvent::OtherCopies(reason));
            // It must claim nothing until the engine has ended the run.
            self.load = Load { want: 0, free: 0, patience: u64::MAX };
        }
    }

    /// Tells an engine that takes no part how many others do.
    fn tell_of_others(&mut self) {
        let mut others = 0;
        if self.claimer.engines().any(|engine| *engine != self.me) {
            // The marks of engines that were killed stay until another engine takes part.
            let seen = holder::holders(&self.folder.context.layout.private()).unwrap_or_default();
            let held = seen.into_iter().filter(|seen| seen.held).filter_map(|seen| seen.holder);
            let takes_part = |id: &str| id != self.me && self.claimer.engines().any(|engine| engine == id);
            others = held.filter(|holder| takes_part(&holder.id)).count();
        }
        if others != std::mem::replace(&mut self.others, others) {
            let _ = self.news.send(ClaimsEvent::Others(others));
        }
    }

    fn tell(&self, change: Change) {
        let ids = |videos: Vec<Video>| videos.into_iter().map(VideoId).collect();
        let news = match change {
            Change::Granted { videos, from } => {
                let private = self.folder.context.layout.private();
                let read = |engine: String| crash_recovery::suspects_of(&private, &engine).ok();
                ClaimsEvent::Granted(ids(videos), from.and_then(read).unwrap_or_default())
            }
            Change::Revoked(videos) => ClaimsEvent::Revoked(ids(videos)),
            Change::Settled(video, settled) => match status(&settled) {
                Some(status) => ClaimsEvent::Settled(VideoId(video), status),
                None => return,
            },
            Change::EngineDied(engine) => ClaimsEvent::EngineDied(engine),
        };
        let _ = self.news.send(news);
    }

    fn take(&mut self, request: ClaimsRequest) {
        match request {
            ClaimsRequest::Join => {
                self.joined = true;
                let now = self.now();
                if let Err(error) = self.claimer.join(&mut self.folder, now) {
                    tracing::warn!("failed to share videos with other engines: {error}");
                }
            }
            ClaimsRequest::Videos(files, items) => {
                // A missing or full disk is handled elsewhere, and the next heartbeat tells them, too.
                let _ = self.folder.context.registration.tell_videos(&copies::some(&files, &items));
                self.next_comparison = 0;
                self.folder.files = files;
                items.into_iter().for_each(|item| self.claimer.add(item));
            }
            ClaimsRequest::Seen(id, file) if id.0 < self.folder.files.len() => {
                self.folder.files.restamp(id, file.stamp)
            }
            ClaimsRequest::Seen(_, file) => {
                self.claimer.add(item(&file, file.stamp.size, &Status::Gone));
                self.folder.files.push(file);
            }
            ClaimsRequest::Status(VideoId(video), Stage::Queued) => {
                self.claimer.back(video);
                self.claimer.reopen(video, true);
            }
            ClaimsRequest::Status(VideoId(video), Stage::Running) => self.claimer.begin(video),
            ClaimsRequest::Status(VideoId(video), Stage::Settled(settled)) => {
                if self.claimer.is_open(video) {
                    self.claimer.settle(video, settled);
                }
            }
            ClaimsRequest::Load(load) => self.load = load,
            ClaimsRequest::Turn(exports, reply) => {
                let now = self.now();
                let turn = self.claimer.turn(&mut self.folder, now, exports);
                let _ = reply.send(turn.map(|turn| (turn, self.claimer.is_shared())));
            }
            ClaimsRequest::TurnOver(ended) => {
                if let Err(error) = self.claimer.turn_over(&mut self.folder, ended) {
                    tracing::warn!("failed to tell other engines that the run has ended: {error}");
                }
            }
            ClaimsRequest::Order(order) => {
                // The order is written even if no other engine is known: one may just have joined.
                let ClaimsContext { layout, registration, .. } = &self.folder.context;
                if let Err(error) = orders::give(&layout.private(), order, Some(registration.id())) {
                    tracing::warn!("failed to pass an order on to other engines: {error}");
                }
            }
            ClaimsRequest::Leave(reply) => {
                self.joined = false;
                self.next_beat = 0;
                let now = self.now();
                match self.claimer.leave(&mut self.folder, now) {
                    // Only an empty folder is removed.
                    Ok(()) => drop(
                        fs::remove_dir(&self.folder.path)
                            .and_then(|()| self.folder.path.parent().map_or(Ok(()), fs::remove_dir)),
                    ),
                    Err(error) => tracing::warn!("failed to give videos back to other engines: {error}"),
                }
                if self.claimer.engines().count() == 0 {
                    self.orders.clear();
                }
                // The engine gets the revoked videos before the reply.
                let (changes, _) = self.claimer.step(&mut self.folder, now, self.load);
                changes.into_iter().for_each(|change| self.tell(change));
                let _ = reply.send(());
            }
        }
    }
}
