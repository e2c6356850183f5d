//! What an engine is given before its first run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use reeldeck_common::atomic::Owner;
use reeldeck_common::layout::Layout;
use reeldeck_common::protocol::Init;
use reeldeck_common::video::VideoName;

use super::assess::Policy;
use super::background_tasks::TaskContext;
use super::output::Output;
use super::worker::Launch;
use crate::dataset::watch::WatchOptions;

/// Everything about a run that does not change.
pub struct Plan {
    /// The dataset folder.
    pub root: PathBuf,
    /// Where everything is written.
    pub layout: Layout,
    /// Named in temporary files.
    pub owner: Owner,
    /// The first message to each worker.
    pub inits: Vec<Init>,
    /// How each worker is started.
    pub launches: Vec<Launch>,
    /// The output folder, for when it cannot be written to.
    pub output: Output,
    /// Where the journal is written.
    pub journal: PathBuf,
    /// Nothing begins before somebody asks for it, and new files are looked at.
    pub waits: bool,
    /// What counts as done.
    pub policy: Policy,
    /// What is left alone.
    pub excluded: BTreeSet<VideoName>,
    /// How the dataset folder is watched, where it is.
    pub watch: Option<WatchOptions>,
    /// For background tasks.
    pub task_context: TaskContext,
    /// Bytes of a feature.
    pub feature_size: u64,
}
