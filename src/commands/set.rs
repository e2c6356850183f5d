//! Which feature set a command means: that of the checkpoint, or else the one that is there and is of the recipe.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use reeldeck_common::feature::Header;
use reeldeck_common::recipe::Recipe;

use crate::config::Settings;
use crate::dataset::shown;
use crate::engine::checkpoint;
use crate::error::{Exit, ExitError};

/// So many features of a set are opened to find one that says how it was made.
const OPENED: usize = 64;

/// What the features in a folder are to a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinship {
    /// They are what it gives.
    Own,
    /// They were made by another version of it.
    Foreign,
    /// None of them can be read.
    Unknown,
    /// There is none.
    Empty,
}

/// The set that the checkpoint names; without one, the only set of this recipe that is there.
///
/// # Errors
/// When there is none, or several, or what is there was made by another version of the recipe.
pub fn feature_set(settings: &Settings) -> anyhow::Result<String> {
    let Some(sets) = sets(settings)? else { return of_checkpoint(settings) };
    let own: Vec<&str> = of_kind(&sets, &[Kinship::Own, Kinship::Unknown]);
    let foreign = of_kind(&sets, &[Kinship::Foreign]);
    let name = &settings.recipe.name;
    match (own.as_slice(), foreign.as_slice()) {
        ([set], _) => Ok((*set).to_owned()),
        ([], []) => only_empty(&sets).ok_or_else(|| none(settings)),
        ([], foreign) => Err(ExitError::new(
            Exit::Usage,
            format!(
                "the recipe {name} has changed since the features that are there were made ({}); name the recipe as it \
                 was with --recipe, or extract the videos anew",
                foreign.join(", ")
            ),
        )
        .into()),
        (several, _) => Err(several_sets(several)),
    }
}

/// As [`feature_set`], for those who want to look at the features whatever recipe made them: the only set will do.
///
/// # Errors
/// When there is none, or several.
pub fn any_feature_set(settings: &Settings) -> anyhow::Result<String> {
    let Some(sets) = sets(settings)? else { return of_checkpoint(settings) };
    match of_kind(&sets, &[Kinship::Own, Kinship::Unknown, Kinship::Foreign]).as_slice() {
        [set] => Ok((*set).to_owned()),
        _ => feature_set(settings),
    }
}

fn of_checkpoint(settings: &Settings) -> anyhow::Result<String> {
    let chosen = checkpoint::choose(settings.checkpoint.as_ref(), &settings.recipe)?;
    Ok(settings.recipe.set_name(&chosen.id.digest))
}

fn none(settings: &Settings) -> anyhow::Error {
    let folder = shown(&settings.out.join("features"));
    let message = format!("no features of the recipe {} in {folder}; extract some first", settings.recipe.name);
    ExitError::new(Exit::Empty, message).into()
}

/// Where a run has begun and nothing is done yet, what is said next names its folder.
fn only_empty(sets: &[(String, Kinship)]) -> Option<String> {
    match sets {
        [(set, Kinship::Empty)] => Some(set.clone()),
        _ => None,
    }
}

fn several_sets(sets: &[&str]) -> anyhow::Error {
    let message = format!("there are several feature sets ({}); say which by --checkpoint", sets.join(", "));
    ExitError::new(Exit::Usage, message).into()
}

fn of_kind<'a>(sets: &'a [(String, Kinship)], kinds: &[Kinship]) -> Vec<&'a str> {
    sets.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(set, _)| set.as_str()).collect()
}

/// The sets that bear the recipe's name, sorted; nothing where a checkpoint says which is meant.
fn sets(settings: &Settings) -> anyhow::Result<Option<Vec<(String, Kinship)>>> {
    if settings.checkpoint.is_some() {
        return Ok(None);
    }
    let folder = settings.out.join("features");
    let prefix = format!("{}-", settings.recipe.name);
    let mut sets: Vec<String> = match fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
        Err(error) => return Err(error).with_context(|| format!("failed to list {}", shown(&folder))),
    };
    // A longer name may begin with this one: what comes after it are the eight digits of a hash.
    let is_of_it = |set: &str| set.strip_prefix(&prefix).is_some_and(|hash| !hash.contains('-'));
    sets.retain(|set| is_of_it(set));
    sets.sort();
    let with_kin = |set: String| {
        let kinship = kinship(&folder.join(&set), &set, &settings.recipe);
        (set, kinship)
    };
    Ok(Some(sets.into_iter().map(with_kin).collect()))
}

/// A set is named after recipe and weights. The weights are not known here, but every feature says which made it.
fn kinship(folder: &Path, set: &str, recipe: &Recipe) -> Kinship {
    let mut kinship = Kinship::Empty;
    let files = listed(folder).into_iter().flat_map(|class| listed(&class));
    for file in files.filter(|file| file.extension().is_some_and(|e| e == "safetensors")).take(OPENED) {
        match Header::read(&file) {
            Ok(header) if recipe.set_name(&header.provenance.checkpoint.digest) == set => return Kinship::Own,
            // A feature that has strayed in from elsewhere does not speak for the others.
            Ok(header) if header.provenance.set == set => return Kinship::Foreign,
            _ => kinship = Kinship::Unknown,
        }
    }
    kinship
}

/// What is in a folder, sorted; nothing where it cannot be read.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    paths
}
