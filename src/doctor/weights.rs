//! Checks the weights and their digest.

use reeldeck_common::protocol::CheckpointSource;

use super::Area;
use crate::config::Settings;
use crate::engine::checkpoint::{self, CheckpointError};
use crate::fetch::Cache;

const NAME: &str = "checkpoint";

/// Checks the weights.
pub(super) fn look(area: &mut Area<'_>, settings: &Settings) {
    let published = &settings.recipe.checkpoint.url;
    match checkpoint::choose(settings.checkpoint.as_ref(), &settings.recipe) {
        Ok(chosen) => {
            let place = match &chosen.source {
                CheckpointSource::File(path) => format!("{}, ", path.display()),
                CheckpointSource::Seeded | CheckpointSource::Url(_) => String::new(),
            };
            let found = format!("{place}digest {}", chosen.id.digest.get(..16).unwrap_or(&chosen.id.digest));
            match chosen.note {
                None => area.ok(NAME, found),
                Some(note) => area.warning(NAME, found, note),
            }
        }
        Err(CheckpointError::NotChosen { .. }) => {
            let next = "set checkpoint = \"published\" in config.toml, or --checkpoint published";
            area.missing(NAME, "none chosen", next);
        }
        Err(CheckpointError::NotHere { url }) => {
            let place = Cache::of_user().and_then(|cache| cache.place(&url));
            let place = place.map_or_else(|error| error.to_string(), |path| path.display().to_string());
            let next = format!(
                "the first run gets it; on a machine without a network: wget -c {url} elsewhere, and put it in {place}"
            );
            area.note(
                NAME,
                format!("{} is not downloaded yet; {next}", if url == *published { "the published one" } else { &url }),
            );
        }
        Err(error) => area.missing(NAME, format!("{:#}", anyhow::Error::from(error)), "name another with --checkpoint"),
    }
}
