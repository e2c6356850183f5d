//! What the dataset is like, found out while the engine does something else: the manifest, what earlier checks have found,
//! and checks. A thread of its own, of low priority, that sends what it finds to the table.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Probed};

use super::files::Files;
use super::listing::Listing;
use super::state::VideoId;
use crate::dataset::manifest::Manifest;
use crate::dataset::probe::cache::Cache;
use crate::dataset::probe::{Ended, Finding, Request, Setup, probe};
use crate::dataset::scan::VideoFile;
use crate::protocol::snapshot::ScanState;

/// Findings are passed on so often, and no more than so many at a time.
const EVERY: Duration = Duration::from_millis(200);
const MOST: usize = 512;

/// A file that somebody was still writing to is looked at again after this.
const ARRIVING: Duration = Duration::from_secs(6);

/// More processes at a time would take too much from a run.
const MOST_PROCESSES: usize = 8;

/// What is asked for.
pub enum InspectRequest {
    /// Somebody wants to know: say what is known without looking into files.
    Begin,
    /// Look into these at least as closely as that, unless it is known already.
    Look(Vec<(VideoId, VideoFile)>, Level),
    /// Look into all of them, and say how far it is.
    LookAtAll(Files, Level),
}

/// What an inspection has found.
pub enum Inspection {
    /// The manifest. Sent before anything else.
    Listing(Arc<Listing>),
    /// What checks have found of some files.
    Probed(Vec<(VideoId, Probed)>),
    /// The progress of a check of all files; `None` once it is over.
    Progress(Option<ScanState>),
}

type Sink = Box<dyn Fn(Inspection) + Send>;

/// What a inspector needs.
pub struct Plan {
    /// The dataset folder.
    pub root: PathBuf,
    /// What should be there.
    pub manifest: Option<PathBuf>,
    /// What stands before the id in a file's name.
    pub prefix: String,
    /// By how many seconds a duration may differ.
    pub tolerance_s: f64,
    /// What earlier checks have found.
    pub cache: PathBuf,
    /// Bounds on each video.
    pub limits: Limits,
    /// The files at the beginning.
    pub files: Files,
    /// `reeldeck-probe`, or why it cannot be had.
    pub prober: Result<PathBuf, String>,
}

/// The running inspector. Dropping it ends what it is about.
pub struct Inspector {
    cancel: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Inspector {
    /// Waits for questions; what is found goes to `feed`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        plan: Plan,
        asked: Receiver<InspectRequest>,
        feed: impl Fn(Inspection) + Send + 'static,
    ) -> io::Result<Self> {
        let cancel = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&cancel);
        let thread = std::thread::Builder::new().name("inspector".into()).spawn(move || {
            // Of this thread and all that it starts. Where that is not possible, it is done with the usual priority.
            let _ = rustix::process::setpriority_process(None, 10);
            let mut work =
                Work { plan, feed: Box::new(feed), cancel: stop, begun: false, cache: None, again: vec![], due: None };
            work.answer(&asked);
        })?;
        Ok(Self { cancel, thread: Some(thread) })
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        // Those who ask are still there: the thread is left to itself, and its processes end with it.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

struct Work {
    plan: Plan,
    feed: Sink,
    cancel: Arc<AtomicBool>,
    begun: bool,
    /// Where findings are kept.
    cache: Option<Cache>,
    /// Files that were still being written to.
    again: Vec<(VideoId, VideoFile)>,
    due: Option<Instant>,
}

impl Work {
    fn answer(&mut self, asked: &Receiver<InspectRequest>) {
        let mut kept = None;
        while !self.cancel.load(Ordering::Relaxed) {
            let wait = self.due.map_or(Duration::from_secs(3600), |due| due.saturating_duration_since(Instant::now()));
            let next = kept.take().map_or_else(|| asked.recv_timeout(wait), Ok);
            match next {
                Ok(InspectRequest::Begin) => self.begin(),
                Ok(InspectRequest::Look(mut files, level)) => {
                    self.begin();
                    // Files come one by one; they are looked at together.
                    for next in asked.try_iter() {
                        match next {
                            InspectRequest::Look(more, other) if other == level => files.extend(more),
                            other => {
                                kept = Some(other);
                                break;
                            }
                        }
                    }
                    self.look(files, level, false);
                }
                Ok(InspectRequest::LookAtAll(files, level)) => {
                    self.begin();
                    self.cache = None;
                    self.look(files.iter().cloned().enumerate().collect(), level, true);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.due = None;
                    let again = std::mem::take(&mut self.again);
                    self.look(again, Level::Quick, false);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Tells what is known without looking into files.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        if let Some(path) = &self.plan.manifest {
            match Manifest::read(path, &self.plan.prefix) {
                Ok(manifest) => {
                    (self.feed)(Inspection::Listing(Arc::new(Listing::new(manifest, self.plan.tolerance_s))))
                }
                Err(error) => tracing::warn!("{:#}", anyhow::Error::from(error)),
            }
        }
        if !self.plan.cache.exists() {
            return;
        }
        // The cache knows its videos by their sorted names.
        let (ids, videos) = sorted(self.plan.files.iter().cloned().enumerate().collect());
        let cache = Cache::open(&self.plan.cache, &videos, false);
        let mut news = News::new(&self.feed);
        for (id, video) in ids.iter().zip(&videos) {
            if let Some(probed) = cache.known(video, Level::Quick) {
                news.add(*id, probed.clone());
            }
        }
        news.send();
    }

    fn look(&mut self, files: Vec<(VideoId, VideoFile)>, level: Level, all: bool) {
        let (ids, videos) = sorted(files);
        if videos.is_empty() {
            return;
        }
        let setup = match &self.plan.prober {
            Ok(program) => {
                let usual = Setup::new(program.clone(), &self.plan.limits);
                let processes = (usual.processes / 2).clamp(1, MOST_PROCESSES);
                Setup { processes, ..usual }
            }
            Err(why) => return tracing::warn!("videos are not checked: {why}"),
        };
        let Self { plan, feed, cancel, cache, again, .. } = self;
        let cache = cache.get_or_insert_with(|| Cache::open(&plan.cache, &videos, true));
        let request = Request { root: &plan.root, videos: &videos, level, limits: &plan.limits };
        let mut scan = ScanState { deep: level == Level::Deep, done: 0, all: videos.len() };
        let mut news = News::new(feed);
        let told = all.then_some(&*feed);
        told.inspect(|feed| feed(Inspection::Progress(Some(scan))));
        let ended = probe(request, &setup, cache, cancel, &mut |index, finding| {
            scan.done += 1;
            let (Some(id), Some(video)) = (ids.get(index), videos.get(index)) else { return };
            match finding {
                Finding::Probed { probed, .. } => news.add(*id, probed),
                Finding::Arriving => again.push((*id, video.clone())),
                // Stays unchecked; the next look tries again.
                Finding::Unread(_) => {}
            }
            if news.is_due() {
                news.send();
                told.inspect(|feed| feed(Inspection::Progress(Some(scan))));
            }
        });
        news.send();
        told.inspect(|feed| feed(Inspection::Progress(None)));
        if all {
            // What was learnt is in the table; a million verdicts need not be kept twice.
            cache.forget();
        }
        if let Some(error) = cache.trouble() {
            tracing::warn!("what checks found is not kept: {error}");
        }
        if !again.is_empty() {
            self.due = Some(Instant::now() + ARRIVING);
        }
        match ended {
            Ok(Ended::Complete) if all => {
                tracing::debug!("checked {} videos, {}", videos.len(), level.name());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{:#}", anyhow::Error::from(error)),
        }
    }
}

/// Numbers and files apart, by name.
fn sorted(mut files: Vec<(VideoId, VideoFile)>) -> (Vec<VideoId>, Vec<VideoFile>) {
    files.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    files.into_iter().unzip()
}

/// Findings on their way.
struct News<'f> {
    feed: &'f Sink,
    found: Vec<(VideoId, Probed)>,
    sent: Instant,
}

impl<'f> News<'f> {
    fn new(feed: &'f Sink) -> Self {
        Self { feed, found: vec![], sent: Instant::now() }
    }

    fn add(&mut self, id: VideoId, probed: Probed) {
        self.found.push((id, probed));
        if self.found.len() >= MOST {
            self.send();
        }
    }

    fn is_due(&self) -> bool {
        self.sent.elapsed() >= EVERY
    }

    fn send(&mut self) {
        self.sent = Instant::now();
        if !self.found.is_empty() {
            (self.feed)(Inspection::Probed(std::mem::take(&mut self.found)));
        }
    }
}
