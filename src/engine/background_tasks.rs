//! Tasks that touch files and therefore run on other threads: scans of the dataset folder, lists, exports.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail, ensure};
use reeldeck_common::atomic::Owner;
use reeldeck_common::error::ErrorKind;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::Recipe;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use tokio::sync::oneshot;

use super::assess::{self, StoredResult};
use super::control::ClientRequest;
use super::dataset_folder::DatasetFolder;
use super::excluded;
use super::files::Files;
use super::other_files::OtherFiles;
use super::state::VideoId;
use crate::dataset::manifest::Manifest;
use crate::dataset::probe::known;
use crate::dataset::report::Report;
use crate::dataset::scan::{Refused, Scan, ScanRules, VideoFile, as_they_are, scan};
use crate::dataset::shown;
use crate::dataset::state::Accepted;
use crate::dataset::video_list::{LabelStyle, entries, write_dataset_list};
use crate::export::missing::{self, Written};
use crate::export::pickle::PAIR;
use crate::export::{self, ExportJob, ExportSpec, Outcome};
use crate::format::{Axes, Format};
use crate::out::{count, errln};
use crate::progress::Progress;
use crate::protocol::summary::RunSummary;

/// Where the answer to a request goes.
pub(crate) struct Reply {
    /// The request, for the log.
    pub command: String,
    /// The client.
    pub client: oneshot::Sender<Result<String, String>>,
}

/// The result of a background task.
pub(crate) enum TaskResult {
    /// How the last run ended, which other engines had.
    LastRun(Option<Box<RunSummary>>),
    /// A request to extract videos again, and why it is refused.
    MayRedo(ClientRequest, Option<String>),
    /// An answer to a request.
    Answer(Reply, Result<String, String>),
    /// The list of excluded videos was written.
    Excluded {
        /// The channel for the answer.
        reply: Reply,
        /// The videos.
        videos: Vec<VideoId>,
        /// Their names.
        names: Vec<VideoName>,
        /// They are included again.
        undo: bool,
        /// The error, where the list could not be written.
        written: Result<(), String>,
    },
    /// An export has ended.
    Exported {
        /// Its result.
        done: anyhow::Result<Vec<Outcome>>,
        /// The channel for it, if a caller waits for it.
        reply: Option<ExportReply>,
    },
    /// What the output folder holds of the videos that an export missed though they were done.
    Missed {
        /// The videos.
        found: Vec<(VideoId, StoredResult)>,
        /// The export.
        outcomes: Vec<Outcome>,
        /// The channel for its result, if a caller waits for it.
        reply: Option<ExportReply>,
    },
}

/// Where the result of an export goes.
pub(crate) type ExportReply = oneshot::Sender<anyhow::Result<Exported>>;

/// The result of an export.
#[derive(Debug)]
pub(crate) struct Exported {
    /// What was written.
    pub outcomes: Vec<Outcome>,
    /// The number of videos that were done and are not in it.
    pub missed: usize,
    /// The number of those that have changed since.
    pub stale: usize,
    /// The number of those that are extracted again now.
    pub again: usize,
}

/// Cancels an export.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Requests the end of the export.
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Progress for Cancel {
    fn note(&self, text: &str) {
        errln!("note: {text}");
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What background tasks need. It does not change while an engine runs.
#[derive(Clone)]
pub(crate) struct TaskContext {
    /// The dataset folder.
    pub root: PathBuf,
    /// Tells whether the dataset folder is there.
    pub dataset: Arc<DatasetFolder>,
    /// What counts as a video.
    pub scan: ScanRules,
    /// The layout of the output folder.
    pub layout: Layout,
    /// The recipe of the features.
    pub recipe: Recipe,
    /// The style of the labels in the list of videos.
    pub style: LabelStyle,
    /// The owner that is named in temporary files.
    pub owner: Owner,
    /// The manifest, if there is one.
    pub manifest: Option<PathBuf>,
    /// The prefix of file names before the id.
    pub prefix: String,
    /// What is accepted of a file.
    pub accepted: Accepted,
}

/// The differences between the known files and the dataset folder.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    /// New and changed files, with what the output folder holds of them.
    pub seen: Vec<(VideoFile, StoredResult)>,
    /// Removed files.
    pub gone: Vec<VideoName>,
    /// The files that are no videos.
    pub others: OtherFiles,
}

impl TaskContext {
    /// What the output folder holds of a file.
    pub(crate) fn found(&self, file: &VideoFile) -> StoredResult {
        match assess::look(&self.layout, &self.recipe, file) {
            StoredResult::Stale if !assess::other_outputs(&self.layout, &self.recipe, &file.name).is_empty() => {
                StoredResult::StaleWithMore
            }
            found => found,
        }
    }

    /// Looks at one file again. None where it cannot be read at present; the name where it was removed.
    pub(crate) fn look_at(&self, name: VideoName) -> Option<Result<(VideoFile, StoredResult), VideoName>> {
        match SourceStamp::read(&name.under(&self.root)) {
            Ok(stamp) => {
                let file = VideoFile { name, stamp };
                let found = self.found(&file);
                Some(Ok((file, found)))
            }
            // While its folder is gone, nothing is known of the file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.dataset.look_at(&name, ErrorKind::Missing).is_none().then_some(Err(name))
            }
            Err(_) => None,
        }
    }

    /// Scans the dataset folder. `gone` tells which of the known files are known to be removed.
    ///
    /// # Errors
    /// When the folder cannot be read, or is empty as if its disk were not mounted.
    pub(crate) fn rescan(&self, known: &Files, gone: impl Fn(VideoId) -> bool) -> anyhow::Result<Differences> {
        let found: Scan = scan(&self.root, &self.scan)?;
        self.dataset.look(&[]).map_err(anyhow::Error::msg)?;
        let there = |id: &VideoId| !gone(*id);
        let any = (0..known.len()).any(|id| there(&VideoId(id)));
        ensure!(
            !found.videos.is_empty() || !any,
            "{} contains no videos any more; check that its disk is mounted",
            shown(&self.root)
        );
        let mut differences =
            Differences { others: OtherFiles::of(&found, self.layout.out()), ..Differences::default() };
        let mut still = vec![false; known.len()];
        for file in found.videos {
            let id = known.find(file.name.as_str());
            if let Some(still) = id.and_then(|id| still.get_mut(id.0)) {
                *still = true;
            }
            let same = |id: VideoId| there(&id) && known.get(id).is_some_and(|known| known.stamp == file.stamp);
            if !id.is_some_and(same) {
                let found = self.found(&file);
                differences.seen.push((file, found));
            }
        }
        let lost = still
            .iter()
            .enumerate()
            .map(|(id, still)| (VideoId(id), still))
            .filter(|(id, still)| !**still && there(id));
        // What cannot be read may still be there.
        if differences.others.unreadable.is_none() {
            differences.gone = lost.filter_map(|(id, _)| Some(known.get(id)?.name.clone())).collect();
        }
        Ok(differences)
    }

    /// Writes the list of videos again if it is gone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn restore_list(&self, names: Vec<VideoName>) -> anyhow::Result<()> {
        match self.layout.list().try_exists() {
            Ok(false) if !names.is_empty() => self.write_list(names).map(drop),
            _ => Ok(()),
        }
    }

    /// Writes the list of videos.
    ///
    /// # Errors
    /// When there is no video, or the list cannot be written; the old list is kept then.
    pub(crate) fn write_list(&self, mut names: Vec<VideoName>) -> anyhow::Result<String> {
        names.sort_unstable();
        ensure!(!names.is_empty(), "no videos to list");
        let path = self.layout.list();
        write_dataset_list(&path, &entries(&names, self.style), &self.owner)
            .with_context(|| format!("failed to write {}; check space and permissions", shown(&path)))?;
        Ok(format!("wrote {} with {}", shown(&path), count(names.len(), "video", "videos")))
    }

    /// Writes download and request lists for videos of the manifest that are not on disk.
    ///
    /// # Errors
    /// When there is no manifest, or a file cannot be read or written.
    pub(crate) fn write_missing(&self) -> anyhow::Result<String> {
        let path = self.manifest.as_ref().context("no manifest to compare with; name one with --manifest")?;
        let manifest = Manifest::read(path, &self.prefix)?;
        let scan = scan(&self.root, &self.scan)?;
        if let Some(Refused { shown, reason }) = scan.unreadable(self.layout.out()) {
            bail!("cannot tell which videos are missing: {shown}: {reason}");
        }
        let probes = known(self.layout.out(), &scan.videos)?;
        let report = Report::new(Some(&manifest), &scan, &probes, self.accepted);
        let folder = self.layout.out().join("missing");
        let Written { wanted, .. } = missing::write(&folder, &report, &self.owner)
            .with_context(|| format!("failed to write the lists in {}; check space and permissions", shown(&folder)))?;
        Ok(format!(
            "{wanted} of {} videos are missing or corrupt; wrote the lists to {}",
            manifest.len(),
            shown(&folder)
        ))
    }

    /// Exports until it is done or cancelled.
    ///
    /// # Errors
    /// When the disk has too little space, writing fails, or the export is cancelled.
    pub(crate) fn export(
        &self,
        videos: Vec<VideoFile>,
        formats: &[Format],
        progress: &Cancel,
    ) -> anyhow::Result<Vec<Outcome>> {
        let mut videos = as_they_are(&self.root, videos);
        videos.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let Self { layout, recipe, style, owner, .. } = self;
        let job = ExportJob { layout, recipe, videos: &videos, style: *style, owner };
        let specs: Vec<ExportSpec> = formats.iter().map(|format| self.spec(*format)).collect();
        export::export(&job, &specs, progress)
    }

    /// The export in a format, as a run makes it.
    pub(crate) fn spec(&self, format: Format) -> ExportSpec {
        let output = self.recipe.main_output();
        match format {
            Format::Pkl => PAIR,
            format => ExportSpec { format, output, axes: Axes::Tc, compact: false, half: false },
        }
    }

    /// Adds names to the list of excluded videos, or removes them, and tells the other engines. `engine`: this one.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub(crate) fn exclude(&self, names: &[VideoName], undo: bool, engine: String) -> anyhow::Result<()> {
        let private = self.layout.private();
        excluded::change(&private, &self.owner, names, undo, engine).with_context(|| {
            format!("failed to write {}; check space and permissions", shown(&excluded::path(&private)))
        })
    }
}
