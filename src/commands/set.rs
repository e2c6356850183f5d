//! Selects the feature set of a command: that of the checkpoint, or else the only one of the recipe.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use reeldeck_common::error::is_absent;
use reeldeck_common::feature::Header;
use reeldeck_common::recipe::Recipe;
use walkdir::WalkDir;

use crate::config::Settings;
use crate::dataset::shown;
use crate::engine::checkpoint;
use crate::error::{Exit, ExitError};

/// How many features of a set are opened to find one with readable provenance.
const OPENED: usize = 64;

/// How the features of a set relate to the recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// This version of the recipe made them.
    Same,
    /// Another version of the recipe made them.
    Other,
    /// None can be read.
    Unknown,
    /// The set is empty.
    Empty,
}

/// The set of the checkpoint; without a checkpoint, the only set of this recipe.
///
/// # Errors
/// When there is no set or several, or another version of the recipe made the only one.
pub(crate) fn feature_set(settings: &Settings) -> anyhow::Result<String> {
    let Some(sets) = sets(settings)? else { return of_checkpoint(settings) };
    let own: Vec<&str> = of_kind(&sets, &[Origin::Same, Origin::Unknown]);
    let other = of_kind(&sets, &[Origin::Other]);
    let name = &settings.recipe.name;
    match (own.as_slice(), other.as_slice()) {
        ([set], _) => Ok((*set).to_owned()),
        ([], []) => only_empty(&sets).ok_or_else(|| none(settings)),
        ([], other) => Err(ExitError::new(
            Exit::Usage,
            format!(
                "the recipe {name} has changed since the existing features were extracted ({}); name the old recipe with \
                 --recipe, or extract the videos again",
                other.join(", ")
            ),
        )
        .into()),
        (several, _) => Err(several_sets(several)),
    }
}

/// As [`feature_set`], but accepts a set of another version of the recipe if it is the only one.
///
/// # Errors
/// When there is no set, or several.
pub(crate) fn any_feature_set(settings: &Settings) -> anyhow::Result<String> {
    let Some(sets) = sets(settings)? else { return of_checkpoint(settings) };
    match of_kind(&sets, &[Origin::Same, Origin::Unknown, Origin::Other]).as_slice() {
        [set] => Ok((*set).to_owned()),
        _ => feature_set(settings),
    }
}

fn of_checkpoint(settings: &Settings) -> anyhow::Result<String> {
    let chosen = checkpoint::choose(settings.checkpoint.as_ref(), &settings.recipe, &settings.meter())?;
    Ok(settings.recipe.set_name(&chosen.id.digest))
}

fn none(settings: &Settings) -> anyhow::Error {
    let folder = shown(&settings.out.join("features"));
    let message = format!("no features of the recipe {} in {folder}; extract some first", settings.recipe.name);
    ExitError::new(Exit::Empty, message).into()
}

/// The only set if it is empty, as after the start of a run: the next error names its folder.
fn only_empty(sets: &[(String, Origin)]) -> Option<String> {
    match sets {
        [(set, Origin::Empty)] => Some(set.clone()),
        _ => None,
    }
}

fn several_sets(sets: &[&str]) -> anyhow::Error {
    let message = format!("several feature sets exist ({}); choose one with --checkpoint", sets.join(", "));
    ExitError::new(Exit::Usage, message).into()
}

fn of_kind<'a>(sets: &'a [(String, Origin)], kinds: &[Origin]) -> Vec<&'a str> {
    sets.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(set, _)| set.as_str()).collect()
}

/// The sets with the recipe's name, sorted; `None` if a checkpoint selects the set.
fn sets(settings: &Settings) -> anyhow::Result<Option<Vec<(String, Origin)>>> {
    if settings.checkpoint.is_some() {
        return Ok(None);
    }
    let folder = settings.out.join("features");
    let prefix = format!("{}-", settings.recipe.name);
    let mut sets: Vec<String> = match fs::read_dir(&folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>(),
        Err(error) if is_absent(&error) => Ok(vec![]),
        Err(error) => Err(error),
    }
    .with_context(|| format!("failed to list {}", shown(&folder)))?
    .into_iter()
    .filter_map(|name| name.into_string().ok())
    .collect();
    // The rest must be a hash: another recipe's name may begin with this one.
    let is_of_it = |set: &str| set.strip_prefix(&prefix).is_some_and(|hash| !hash.contains('-'));
    sets.retain(|set| is_of_it(set));
    sets.sort();
    let with_origin = |set: String| {
        let origin = origin(&folder.join(&set), &set, &settings.recipe);
        (set, origin)
    };
    Ok(Some(sets.into_iter().map(with_origin).collect()))
}

/// The relation of a set to the recipe. A set's name depends on the weights, which are unknown here, so it is computed with
/// the weights that a feature records.
fn origin(folder: &Path, set: &str, recipe: &Recipe) -> Origin {
    let mut origin = Origin::Empty;
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    let files = entries.map(walkdir::DirEntry::into_path);
    for file in files.filter(|file| file.extension().is_some_and(|e| e == "safetensors")).take(OPENED) {
        match Header::read(&file) {
            Ok(header) if recipe.set_name(&header.provenance.checkpoint.digest) == set => return Origin::Same,
            // A feature from another set says nothing about this one.
            Ok(header) if header.provenance.set == set => return Origin::Other,
            _ => origin = Origin::Unknown,
        }
    }
    origin
}
