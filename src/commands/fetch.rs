//! `reeldeck fetch`: downloads the weights before a run, for clusters whose compute nodes have no network.

use anyhow::Context;
use reeldeck_common::protocol::CheckpointSource;

use crate::config::Settings;
use crate::dataset::shown;
use crate::engine::checkpoint;
use crate::error::{Exit, ExitError};
use crate::out::{errln, outln};

/// Downloads the chosen weights, by default the recipe's, and prints their path.
///
/// # Errors
/// When the download fails or has another digest.
pub(crate) fn run_fetch(settings: &Settings) -> anyhow::Result<Exit> {
    let url = settings.recipe.checkpoint.url.clone().map(CheckpointSource::Url);
    let settings = Settings { checkpoint: settings.checkpoint.clone().or(url), ..settings.clone() };
    let chosen = checkpoint::obtain(&settings).context(ExitError::new(Exit::Usage, "no weights"))?;
    match &chosen.source {
        CheckpointSource::File(path) => outln!("{}", shown(path)),
        CheckpointSource::Seeded | CheckpointSource::Url(_) => {
            errln!("seeded weights are generated; nothing to download");
        }
    }
    errln!("SHA-256 {}", chosen.id.digest);
    if let Some(note) = chosen.note {
        errln!("note: {note}");
    }
    Ok(Exit::Done)
}
