//! Checks the weights and their digest.

use reeldeck_common::protocol::CheckpointSource;

use super::Area;
use crate::config::Settings;
use crate::dataset::shown;
use crate::engine::checkpoint::{self, CheckpointError};
use crate::fetch::{self, Cache};

const NAME: &str = "checkpoint";

/// Checks the weights.
pub(super) fn look(area: &mut Area<'_>, settings: &Settings) {
    let published = &settings.recipe.checkpoint.url;
    let meter = settings.meter();
    match checkpoint::choose(settings.checkpoint.as_ref(), &settings.recipe, &meter) {
        Ok(chosen) => {
            let place = match &chosen.source {
                CheckpointSource::File(path) => format!("{}, ", shown(path)),
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
        Err(error @ CheckpointError::NoAddress { .. }) => {
            area.missing(NAME, error.to_string(), "get the file, then name it with --checkpoint");
        }
        Err(CheckpointError::NotHere { url }) => {
            let place = Cache::of_user().and_then(|cache| cache.place(&url));
            let place = place.map_or_else(|error| error.to_string(), |path| shown(&path));
            let address = fetch::public(&url);
            let which = if Some(&url) == published.as_ref() { "the published one" } else { &address };
            let found = format!(
                "{which} is not downloaded yet; the first run downloads it; on a machine without a network: wget -c {address} \
                 elsewhere, and copy it to {place}"
            );
            area.note(NAME, found);
        }
        Err(error) => area.missing(NAME, format!("{:#}", anyhow::Error::from(error)), "name another with --checkpoint"),
    }
}
