//! What an engine needs to know before its first run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use reeldeck_common::atomic::Owner;
use reeldeck_common::layout::Layout;
use reeldeck_common::protocol::Init;
use reeldeck_common::video::VideoName;
use tokio::sync::mpsc;

use super::assess::Policy;
use super::background_tasks::TaskContext;
use super::claims::{Claims, ClaimsEvent};
use super::other_files::OtherFiles;
use super::output::Output;
use super::worker::Launch;
use crate::dataset::watch::Watch;
use crate::protocol::summary::RunSummary;

/// What does not change while an engine runs.
pub(crate) struct Plan {
    /// The dataset folder.
    pub root: PathBuf,
    /// The claims of the engine.
    pub claims: Claims,
    /// The messages of the claims.
    pub news: Option<mpsc::UnboundedReceiver<ClaimsEvent>>,
    /// The layout of the output folder.
    pub layout: Layout,
    /// The owner that is named in temporary files.
    pub owner: Owner,
    /// The id of the engine.
    pub engine: String,
    /// The first message to each worker.
    pub inits: Vec<Init>,
    /// The number of clips in a pass is the default, and may shrink with the memory of a GPU.
    pub default_batch: bool,
    /// How each worker is started.
    pub launches: Vec<Launch>,
    /// Checks the output folder during a hold.
    pub output: Output,
    /// The path of the journal.
    pub journal: PathBuf,
    /// The engine waits for a user to start a run, and checks new files.
    pub waits: bool,
    /// The files of the dataset folder that are no videos.
    pub others: Arc<OtherFiles>,
    /// The last run of the output folder.
    pub last_run: Option<Box<RunSummary>>,
    /// What an engine without weights needs before it can extract.
    pub needs: Option<String>,
    /// Which videos are extracted.
    pub policy: Policy,
    /// The excluded videos.
    pub excluded: BTreeSet<VideoName>,
    /// The watch of the dataset folder, or why there is none; `None` where it is not wanted.
    pub watch: Option<std::io::Result<Watch>>,
    /// For background tasks.
    pub task_context: TaskContext,
    /// Seconds between SIGTERM and SIGKILL. 0: unknown.
    pub kill_wait_s: u64,
    /// The size of a feature in bytes.
    pub feature_size: u64,
}
