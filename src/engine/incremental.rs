//! `[export] live`: exports each video when it is done, on a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use reeldeck_common::layout::Layout;
use reeldeck_common::video::{VideoName, printable};

use crate::engine::publish::RunObserver;
use crate::errln;
use crate::export::incremental::Incremental;
use crate::protocol::event::{Event, Line};
use crate::protocol::snapshot::Snapshot;

/// The number of problems that are printed one by one; further ones are counted.
const TOLD: usize = 5;

/// Observes a run and exports its finished videos.
pub(crate) struct IncrementalExport {
    layout: Layout,
    videos: Option<Sender<PathBuf>>,
    thread: Option<JoinHandle<()>>,
}

impl IncrementalExport {
    /// Starts the thread, which writes with `live`. Dropping the exporter waits until everything is written.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(layout: Layout, mut live: Incremental) -> std::io::Result<Self> {
        let (videos, waiting) = mpsc::channel::<PathBuf>();
        let thread = reeldeck_common::thread::spawn("live", move || {
            let mut problems = 0;
            for path in waiting {
                if let Err(error) = live.write(&path) {
                    problems += 1;
                    if problems <= TOLD {
                        errln!("note: {}", printable(&format!("{:#}", anyhow::Error::from(error))));
                    }
                }
            }
            if problems > TOLD {
                errln!("note: {problems} videos were not exported on the way; `reeldeck export` does it");
            }
        })?;
        Ok(Self { layout, videos: Some(videos), thread: Some(thread) })
    }
}

impl RunObserver for IncrementalExport {
    fn event(&mut self, line: &Line, _text: &Arc<str>) {
        if let (Event::VideoDone { video, .. }, Some(videos)) = (&line.event, &self.videos)
            && let Ok(name) = VideoName::new(video)
        {
            let _ = videos.send(self.layout.feature(&name));
        }
    }

    fn snapshot(&mut self, _snapshot: &Snapshot) {}
}

impl Drop for IncrementalExport {
    fn drop(&mut self) {
        self.videos = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
