//! What an engine is given before its first run.

use std::path::PathBuf;

use reeldeck_contract::atomic::Owner;
use reeldeck_contract::layout::Layout;
use reeldeck_contract::protocol::Init;

use super::output::Output;
use super::worker::Launch;

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
}
