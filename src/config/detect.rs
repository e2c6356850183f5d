//! Guesses values for a new configuration from the names of files. `init` and the first-start form use them.

use std::fs;
use std::path::{Path, PathBuf};

use reeldeck_common::recipe::Recipe;

use super::Config;
use crate::dataset::manifest::Manifest;

/// The official annotation file, in the current folder or next to the dataset. A relative path is relative to `current`.
pub(crate) fn manifest_beside(current: &Path, root: &Path) -> Option<PathBuf> {
    let beside = root.parent().map(Path::to_owned).unwrap_or_default();
    [PathBuf::new(), beside].into_iter().find_map(|folder| {
        let entries = fs::read_dir(current.join(&folder)).ok()?.flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        let name = names.into_iter().rev().find(|name| name.starts_with("HACS_segments") && name.ends_with(".json"))?;
        let path = folder.join(name);
        Manifest::read(&current.join(&path), &Config::default().manifest.prefix).ok().map(|_| path)
    })
}

/// The weights to use: the name of the recipe's published file if it is in the current folder, else
/// `published`; empty if the recipe has no address of weights.
pub(crate) fn checkpoint_in(current: &Path, recipe: &str) -> String {
    let Some(url) = Recipe::find(recipe).ok().and_then(|recipe| recipe.checkpoint.url) else { return String::new() };
    let name = url.rsplit('/').next().filter(|name| !name.is_empty() && current.join(name).is_file());
    name.unwrap_or("published").to_owned()
}
