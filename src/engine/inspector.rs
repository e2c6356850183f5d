//! Inspects the dataset while the engine works: reads the manifest and the results of earlier checks, and checks files. It
//! runs on a thread of low priority and sends what it finds to the table.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Probed, Verdict};

use super::files::Files;
use super::listing::Listing;
use super::state::VideoId;
use crate::dataset::manifest::Manifest;
use crate::dataset::probe::cache::Cache;
use crate::dataset::probe::{Ended, Outcome, Request, Setup, probe};
use crate::dataset::scan::VideoFile;
use crate::out::count;
use crate::protocol::snapshot::ScanState;

/// How often findings are sent, and how many at most in one message.
const SEND_INTERVAL: Duration = Duration::from_millis(200);
const MAX_BATCH: usize = 512;

/// When to check a file again that was still being written.
const RECHECK_DELAY: Duration = Duration::from_secs(6);

/// The largest number of probe processes, so that a run keeps its share of the machine.
const MAX_PROCESSES: usize = 8;

/// A request to the inspector.
pub(crate) enum InspectRequest {
    /// Publish what is known without opening videos. Sent when a client connects.
    Begin,
    /// Check these files at this level or above, unless the result is known.
    Look(Vec<(VideoId, VideoFile)>, Level),
    /// Check all files and report the progress.
    LookAtAll(Files, Level),
}

/// What an inspection has found.
pub(crate) enum Inspection {
    /// The manifest. Sent before anything else.
    Listing(Arc<Listing>),
    /// What checks have found of some files.
    Probed(Vec<(VideoId, Probed)>),
    /// The progress of a check of all files; `None` once it is over.
    Progress(Option<ScanState>),
}

type Sink = Box<dyn Fn(Inspection) + Send>;

/// The inputs of an inspector.
pub(crate) struct Plan {
    /// The dataset folder.
    pub root: PathBuf,
    /// The manifest.
    pub manifest: Option<PathBuf>,
    /// The prefix of file names before the id.
    pub prefix: String,
    /// The folder with the results of earlier checks.
    pub cache: PathBuf,
    /// The limits for each video.
    pub limits: Limits,
    /// The files of the first scan.
    pub files: Files,
    /// The path of `reeldeck-probe`, or why it is not available.
    pub prober: Result<PathBuf, String>,
}

/// A running inspector. Dropping it cancels its work.
pub(crate) struct Inspector {
    cancel: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Inspector {
    /// Starts the thread. It passes what it finds to `sink`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        plan: Plan,
        asked: Receiver<InspectRequest>,
        sink: impl Fn(Inspection) + Send + 'static,
    ) -> io::Result<Self> {
        let cancel = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&cancel);
        let thread = reeldeck_common::thread::spawn("inspector", move || {
            // The priority applies to this thread and its processes. It is a preference, so a failure is ignored.
            let _ = rustix::process::setpriority_process(None, 10);
            let mut work =
                Work { plan, sink: Box::new(sink), cancel: stop, begun: false, cache: None, again: vec![], due: None };
            work.answer(&asked);
        })?;
        Ok(Self { cancel, thread: Some(thread) })
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        // The thread may wait for a request. It is not joined; its processes end with it.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

struct Work {
    plan: Plan,
    sink: Sink,
    cancel: Arc<AtomicBool>,
    begun: bool,
    /// The cache of results.
    cache: Option<Cache>,
    /// Files that were still being written.
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
                    // New files arrive one by one but are checked together.
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
                    self.look(files.iter_enumerated().map(|(id, file)| (id, file.clone())).collect(), level, true);
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

    /// Publishes the manifest and the cached results, once.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        if let Some(path) = &self.plan.manifest {
            match Manifest::read(path, &self.plan.prefix) {
                Ok(manifest) => (self.sink)(Inspection::Listing(Arc::new(Listing::new(manifest)))),
                Err(error) => tracing::warn!("{:#}", anyhow::Error::from(error)),
            }
        }
        // Without a cache, a copy of the list of files would be for nothing.
        if matches!(self.plan.cache.try_exists(), Ok(false)) {
            return;
        }
        // The cache needs its videos sorted by name.
        let (ids, videos) = sorted(self.plan.files.iter_enumerated().map(|(id, file)| (id, file.clone())).collect());
        let cache = open(&self.plan.cache, &videos, false);
        let mut batch = Batch::new(&self.sink);
        for (id, video) in ids.iter().zip(&videos) {
            if let Some(probed) = cache.known(video, Level::Quick) {
                batch.add(*id, probed.clone());
            }
        }
        batch.send();
    }

    fn look(&mut self, files: Vec<(VideoId, VideoFile)>, level: Level, all: bool) {
        let (ids, videos) = sorted(files);
        if videos.is_empty() {
            return;
        }
        let setup = match &self.plan.prober {
            Ok(program) => {
                let usual = Setup::new(program.clone(), &self.plan.limits);
                let processes = (usual.processes / 2).clamp(1, MAX_PROCESSES);
                Setup { processes, ..usual }
            }
            Err(why) => return tracing::warn!("videos are not checked: {why}"),
        };
        let Self { plan, sink, cancel, cache, again, .. } = self;
        let cache = cache.get_or_insert_with(|| open(&plan.cache, &videos, true));
        let request = Request { root: &plan.root, videos: &videos, level, limits: &plan.limits };
        let mut scan = ScanState { deep: level == Level::Deep, done: 0, all: videos.len() };
        let (mut batch, mut corrupt) = (Batch::new(sink), 0);
        let told = all.then_some(&*sink);
        told.inspect(|sink| sink(Inspection::Progress(Some(scan))));
        let ended = probe(request, &setup, cache, cancel, &mut |index, finding| {
            scan.done += 1;
            let (Some(id), Some(video)) = (ids.get(index), videos.get(index)) else { return };
            match finding {
                Outcome::Probed { probed, .. } => {
                    corrupt += usize::from(matches!(probed.verdict, Verdict::Corrupt { .. }));
                    batch.add(*id, probed);
                }
                Outcome::Arriving => again.push((*id, video.clone())),
                // The file stays unchecked until the next check.
                Outcome::Unreadable(_) => {}
            }
            if batch.is_due() {
                batch.send();
                told.inspect(|sink| sink(Inspection::Progress(Some(scan))));
            }
        });
        batch.send();
        told.inspect(|sink| sink(Inspection::Progress(None)));
        if all {
            // The table holds the results; a second copy of a million verdicts would waste memory.
            cache.forget();
        }
        if let Some(error) = cache.trouble() {
            tracing::warn!("failed to store the results of the checks: {error}");
        }
        if !again.is_empty() {
            self.due = Some(Instant::now() + RECHECK_DELAY);
        }
        match ended {
            Ok(Ended::Complete) if all => {
                // A window shows the same line.
                let videos = count(videos.len(), "video", "videos");
                tracing::debug!("{} check: {videos}, {corrupt} corrupt", level.name());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{:#}", anyhow::Error::from(error)),
        }
    }
}

/// The results of earlier checks. If they cannot be read, this engine checks without them and leaves their file as it is.
fn open(path: &Path, videos: &[VideoFile], keep: bool) -> Cache {
    Cache::open(path, videos, keep).unwrap_or_else(|error| {
        tracing::warn!("{:#}", anyhow::Error::from(error));
        Cache::none()
    })
}

/// The numbers and the files in separate lists, sorted by name.
fn sorted(mut files: Vec<(VideoId, VideoFile)>) -> (Vec<VideoId>, Vec<VideoFile>) {
    files.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    files.into_iter().unzip()
}

/// Collects findings and sends them in batches.
struct Batch<'f> {
    sink: &'f Sink,
    found: Vec<(VideoId, Probed)>,
    sent: Instant,
}

impl<'f> Batch<'f> {
    fn new(sink: &'f Sink) -> Self {
        Self { sink, found: vec![], sent: Instant::now() }
    }

    fn add(&mut self, id: VideoId, probed: Probed) {
        self.found.push((id, probed));
        if self.found.len() >= MAX_BATCH {
            self.send();
        }
    }

    fn is_due(&self) -> bool {
        self.sent.elapsed() >= SEND_INTERVAL
    }

    fn send(&mut self) {
        self.sent = Instant::now();
        if !self.found.is_empty() {
            (self.sink)(Inspection::Probed(std::mem::take(&mut self.found)));
        }
    }
}
