//! Reads the journal of a run in progress.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use reeldeck::internals::protocol::event::{Event, Line};

use crate::support::real::everything;

/// The content of a run's journal so far.
#[derive(Default)]
pub struct Journal {
    in_flight: HashMap<usize, HashSet<String>>,
    pub begun: bool,
    pub restarts: usize,
    /// Videos that were queued again because a worker was killed.
    pub dropped: usize,
}

impl Journal {
    /// The journal of the engine with this process ID; empty if it has not written one yet.
    pub fn of(out: &Path, pid: u32) -> Self {
        let mut journal = Self::default();
        // The name ends with the id of the engine: host, process, and when it started.
        let part = format!("-{pid}-");
        let mut runs = everything(&out.join(".reeldeck/runs"));
        runs.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(&part)));
        let text = runs.iter().max().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            match line.event {
                Event::VideoAssigned { video, worker, .. } => {
                    journal.begun = true;
                    journal.in_flight.entry(worker).or_default().insert(video);
                }
                Event::VideoDone { video, .. } => journal.take(&video),
                Event::VideoFailed { video, error: reason, .. } | Event::VideoReturned { video, reason } => {
                    journal.take(&video);
                    journal.dropped += usize::from(reason.contains("signal 9"));
                }
                Event::WorkerRestarted { reason, .. } => {
                    journal.restarts += usize::from(reason.contains("signal 9"));
                }
                _ => {}
            }
        }
        journal
    }

    fn take(&mut self, video: &str) {
        for videos in self.in_flight.values_mut() {
            videos.remove(video);
        }
    }

    /// Whether a worker has a video in progress.
    pub fn is_busy(&self) -> bool {
        self.in_flight.values().any(|videos| !videos.is_empty())
    }
}
