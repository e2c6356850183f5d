//! Checks the weights: where they come from, and for a file whether the recipe's network can load it.

use std::fs;
use std::io;
use std::path::Path;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::recipe::Recipe;
use reeldeck_pickle::checkpoint::{CheckpointError, CheckpointFile, NotACheckpoint};

use super::unreadable;
use crate::config::Config;
use crate::fetch::{self, Cache, promised_digest};
use crate::tui::setup::{Values, Verdict};

/// `path`: the absolute path, if the value is a path.
pub(super) fn check(values: &Values, path: &Path) -> Verdict {
    let recipe = if values.recipe.is_empty() { Config::default().recipe } else { values.recipe.clone() };
    let recipe = match Recipe::find(&recipe) {
        Ok(recipe) => recipe,
        Err(error) => return Verdict::Wrong(error.to_string()),
    };
    match values.checkpoint.as_str() {
        "" => Verdict::Warn("none: only scans and checks work; `published` is the usual choice".into()),
        "seeded" => Verdict::Warn("random weights, for a trial: the features are meaningless".into()),
        "published" => match &recipe.checkpoint.url {
            Some(url) => address(url),
            None => Verdict::Wrong(format!("{} has no published weights; name a file or a URL", recipe.name)),
        },
        url if fetch::is_address(url) => address(url),
        _ => file(path, &recipe),
    }
}

/// The weights are in the cache, or will be downloaded to it.
fn address(url: &str) -> Verdict {
    match Cache::of_user().and_then(|cache| cache.place(url)) {
        Err(error) => Verdict::Wrong(error.to_string()),
        Ok(place) if place.is_file() => Verdict::Fine(format!("downloaded already: {}", place.display())),
        Ok(_) => Verdict::Warn(format!(
            "will be downloaded from {}; without internet, name a .pth file, or type seeded for a trial",
            host(&fetch::public(url))
        )),
    }
}

fn host(address: &str) -> &str {
    address.split_once("://").map_or(address, |(_, rest)| rest).split('/').next().unwrap_or_default()
}

fn file(path: &Path, recipe: &Recipe) -> Verdict {
    // The type is checked before opening, because opening a pipe would block.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Verdict::Wrong("no such file; type published, seeded, a URL, or the path of a .pth file".into());
        }
        Err(error) => return Verdict::Wrong(unreadable(&error)),
        Ok(metadata) if !metadata.is_file() => return Verdict::Wrong("not a file; name the .pth file".into()),
        Ok(_) => {}
    }
    match loads(path, recipe) {
        Err(CheckpointError::NotACheckpoint(NotACheckpoint::PlainPickle)) => {
            return Verdict::Wrong("a pickle without weights, such as result.pkl; name the .pth file".into());
        }
        Err(error) => return Verdict::Wrong(Failure::from_error(ErrorKind::Io, &error).line()),
        Ok(Some(reason)) => return Verdict::Wrong(reason),
        Ok(None) => {}
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let published = recipe.checkpoint.sha256_prefix.as_str();
    match promised_digest(&name) {
        Some(digest) if published.starts_with(digest) => {
            Verdict::Fine(format!("the published checkpoint of {} (by its file name)", recipe.name))
        }
        _ => Verdict::Warn(format!("not the published checkpoint ({published}); features won't match published ones")),
    }
}

/// Why the recipe's network cannot load the file; `None` if it can. Reads the file, but decodes no weights.
fn loads(path: &Path, recipe: &Recipe) -> Result<Option<String>, CheckpointError> {
    if !recipe.model.loads_state_dict() {
        return Ok(None);
    }
    let file = CheckpointFile::open(path)?;
    let Some((head, wanted)) = recipe.model.head_tensor() else { return Ok(None) };
    let tensors = file.state_dict()?;
    let found = tensors.iter().find(|(name, _)| name.strip_prefix("module.").unwrap_or(name) == head);
    let classes = found.and_then(|(_, weight)| weight.shape().first().copied());
    Ok(match classes {
        None => Some(format!("not a checkpoint for {}: it has no tensor {head}", recipe.name)),
        Some(classes) if classes != wanted => {
            Some(format!("has {classes} classes, but the recipe {} needs {wanted}", recipe.name))
        }
        Some(_) => None,
    })
}
