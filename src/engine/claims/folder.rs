//! The file operations of the claims in the output folder.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use jiff::Timestamp;
use reeldeck_claims::{DiskFolder, Folder, Pulse, Settled, Video};

use super::{ClaimsContext, Other, Stage, stage};
use crate::dataset::scan::VideoFile;
use crate::engine::assess::{self, Policy, StoredResult};
use crate::engine::files::Files;
use crate::engine::state::{Status, VideoId};
use crate::protocol::holder;

/// The output folder, for the claims.
pub(super) struct OutputFolder {
    pub(super) disk: DiskFolder,
    pub(super) path: PathBuf,
    pub(super) context: ClaimsContext,
    pub(super) files: Files,
    pub(super) started: Timestamp,
}

impl Folder for OutputFolder {
    fn list(&mut self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&mut self, name: &str, text: &str) -> io::Result<bool> {
        match self.disk.create(name, text) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.context.layout.create_private(&self.path)?;
                self.disk.create(name, text)
            }
            created => created,
        }
    }

    fn read(&mut self, name: &str) -> io::Result<Option<String>> {
        self.disk.read(name)
    }

    fn write(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.disk.write(name, text)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<bool> {
        self.disk.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn beat(&mut self, _counter: u64) -> io::Result<bool> {
        let ClaimsContext { layout, registration, .. } = &self.context;
        match registration.beat() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                layout.create_private(&holder::folder(&layout.private()))?;
                registration.renew().map(|()| true)
            }
            written => written,
        }
    }

    fn pulse(&mut self, engine: &str) -> io::Result<Pulse> {
        let seen = holder::look(&holder::file(&self.context.layout.private(), engine))?;
        Ok(match seen.map(|seen| (seen.held, seen.holder)) {
            Some((held, Some(holder))) if held || !holder.is_here() => Pulse::Counter(holder.counter),
            // It is being written.
            Some((true, None)) => Pulse::Counter(0),
            _ => Pulse::Gone,
        })
    }

    fn bury(&mut self, engine: &str) -> io::Result<()> {
        match fs::remove_file(holder::file(&self.context.layout.private(), engine)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn results(&mut self, videos: &[Video]) -> io::Result<Vec<(Video, Settled)>> {
        let ClaimsContext { layout, recipe, policy, .. } = &self.context;
        let known = videos.iter().filter_map(|video| Some((*video, self.files.get(VideoId(*video))?.clone())));
        let (videos, files): (Vec<Video>, Vec<VideoFile>) = known.unzip();
        let found = assess::look_each(layout, recipe, &files)?;
        let settled = |(video, found): (Video, StoredResult)| {
            // A video that another engine has tried during this run is not tried again.
            let is_new = matches!(&found, StoredResult::Failed(failure)
                if failure.last().is_some_and(|last| last.ended >= self.started));
            let policy = Policy { retry_failed: policy.retry_failed && !is_new, ..*policy };
            let mut status = policy.status(found);
            if let Status::Failed { before, .. } = &mut status {
                *before &= !is_new;
            }
            // A feature of another version of the file, or one that cannot be read, settles nothing: this engine extracts the video.
            let is_result = matches!(status, Status::Done { .. } | Status::Failed { unreadable: false, .. });
            match stage(&status) {
                Stage::Settled(settled) if is_result => Some((video, settled)),
                _ => None,
            }
        };
        Ok(videos.into_iter().zip(found).filter_map(settled).collect())
    }

    fn accepts(&self, _video: Video, text: &str) -> bool {
        match serde_json::from_str(text) {
            Ok(Other::Degraded) => true,
            Ok(Other::Failed { before, .. }) => !(before && self.context.policy.retry_failed),
            Ok(Other::Kept) | Err(_) => false,
        }
    }
}
