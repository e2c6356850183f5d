//! `[export] live`: exports each video when it is done, on a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use reeldeck_common::layout::Layout;
use reeldeck_common::video::{VideoName, printable};

use crate::engine::publish::RunObserver;
use crate::export::incremental::Incremental;
use crate::out::{count, errln};
use crate::protocol::event::{Event, Line};
use crate::protocol::snapshot::Snapshot;

/// The number of problems that are printed one by one; further ones are counted.
const MAX_NAMED: usize = 5;

/// What the thread receives.
enum Job {
    /// A video is done; with its feature file.
    Export(PathBuf),
    /// Everything before this is to be written, and what was removed meanwhile again. The answer is the number of videos that were not exported.
    Settle(Sender<usize>),
    /// The run is over.
    End,
}

/// Observes a run and exports its finished videos.
pub(crate) struct IncrementalExport {
    layout: Layout,
    jobs: Sender<Job>,
    thread: Option<JoinHandle<()>>,
}

/// Asks the exporter for its result.
#[derive(Clone)]
pub(crate) struct IncrementalExportHandle(Sender<Job>);

impl IncrementalExportHandle {
    /// Waits until all videos that are done are exported. Returns the number of those that could not be.
    pub(crate) fn finish_pending(&self) -> usize {
        let (tell, told) = mpsc::channel();
        let _ = self.0.send(Job::Settle(tell));
        told.recv().unwrap_or_default()
    }
}

impl IncrementalExport {
    /// Starts the thread, which writes with `live`. Dropping the exporter waits until everything is written.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(layout: Layout, mut live: Incremental) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        let thread = reeldeck_common::thread::spawn("live", move || {
            let mut problems = 0;
            for job in waiting {
                match job {
                    Job::Export(path) => write(&mut live, &path, &mut problems),
                    Job::Settle(tell) => {
                        live.removed().iter().for_each(|path| write(&mut live, path, &mut problems));
                        let _ = tell.send(problems);
                    }
                    Job::End => break,
                }
            }
            if problems > MAX_NAMED {
                errln!(
                    "note: {} not exported during the run; `reeldeck export` exports the rest",
                    count(problems, "video was", "videos were")
                );
            }
        })?;
        Ok(Self { layout, jobs, thread: Some(thread) })
    }

    /// Exports the videos that were done before and are not exported yet.
    pub(crate) fn catch_up<'v>(&self, done: impl Iterator<Item = &'v VideoName>) {
        for video in done {
            let _ = self.jobs.send(Job::Export(self.layout.feature(video)));
        }
    }

    /// A handle that asks for the result.
    pub(crate) fn handle(&self) -> IncrementalExportHandle {
        IncrementalExportHandle(self.jobs.clone())
    }
}

/// Exports a feature. A failure is counted and, unless there are many, printed.
fn write(live: &mut Incremental, feature: &Path, problems: &mut usize) {
    if let Err(error) = live.write(feature) {
        *problems += 1;
        if *problems <= MAX_NAMED {
            errln!("note: {}", printable(&format!("{:#}", anyhow::Error::from(error))));
        }
    }
}

impl RunObserver for IncrementalExport {
    fn event(&mut self, line: &Line, _text: &Arc<str>) {
        if let Event::VideoDone { video, .. } = &line.event
            && let Ok(name) = VideoName::new(video)
        {
            let _ = self.jobs.send(Job::Export(self.layout.feature(&name)));
        }
    }

    fn snapshot(&mut self, _snapshot: &Snapshot) {}
}

impl Drop for IncrementalExport {
    fn drop(&mut self) {
        // The thread does not wait for handles that still exist.
        let _ = self.jobs.send(Job::End);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
