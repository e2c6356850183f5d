//! Claims videos for an engine, on a thread of its own, because the output folder may respond late.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::time::Instant;

use reeldeck_claims::{BEAT, Claimer, DiskFolder, Item, LEASE, Load, SILENT, Settled, Turn};
use reeldeck_common::clock;
use reeldeck_common::error::Failure;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::Recipe;
use rustix::fs::Access;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc as tokio_mpsc, oneshot};
use xxhash_rust::xxh3::xxh3_64;

use super::assess::Policy;
use super::files::Files;
use super::orders::{Asked, Order, Orders};
use super::registration::Registration;
use super::state::{Status, VideoId};
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::protocol::last_run;

mod copies;
mod folder;
mod thread;

use copies::Copies;
use folder::OutputFolder;
use thread::Thread;

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
    /// Passes an order on to the other engines, with the time when this one got it.
    Order(Order, Asked),
    /// The engine was paused or resumed: write a heartbeat, so that engines that join see it.
    Beat,
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
    /// This engine takes no part in a run, and so many others do.
    Others(usize),
    /// So many other engines take part in the run of this one.
    Partners(usize),
    /// Whether this engine waits for others.
    Waits(Wait),
    /// Another engine has ended a run.
    RunEnded,
    /// Another engine reads other copies of the videos; with what to do.
    OtherCopies(String),
}

/// Whether an engine waits for the videos of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It has videos, or none are left.
    #[default]
    No,
    /// Other engines have all that are left.
    Others,
    /// The same, and this one of them may be dead.
    Silent(String),
}

impl Wait {
    /// What the run waits for, for people.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::No => None,
            Self::Others => Some("waiting for other engines, which have the remaining videos".into()),
            Self::Silent(engine) => Some(format!(
                "waiting for {engine}, whose last heartbeat is more than {} s old; after {} s, its videos are extracted here",
                SILENT / 1000,
                LEASE / 1000
            )),
        }
    }
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

/// Whether claims can be made in this folder, or it can be created.
fn check(folder: &Path) -> io::Result<()> {
    let found = match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(data) if !data.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Ok(_) => {
            rustix::fs::access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
        }
        Err(error) => Err(error),
    };
    found.map_err(|error| {
        let text = format!("{}: {error}; make it a folder that this user may write to, or remove it", shown(folder));
        io::Error::new(error.kind(), text)
    })
}

/// Starts the thread, which writes heartbeats from now on. `distrusts`: the engine reads its videos long before it takes part.
///
/// # Errors
/// When the folder of the claims cannot be used, or the thread cannot be started.
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
    let parent = context.layout.private().join("claims");
    let path = parent.join(context.layout.set());
    [&parent, &path].into_iter().try_for_each(|folder| check(folder))?;
    let disk = DiskFolder::new(&path, &id);
    let folder = OutputFolder { disk, path, context, files: Files::default(), started: clock::now() };
    let load = Load { want: 0, free: 0, patience: u64::MAX };
    let orders = Orders::new(&folder.context.layout.private(), &id);
    let last_run = last_run::version(&folder.context.layout.private());
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
        partners: 0,
        wait: Wait::No,
        last_run,
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
