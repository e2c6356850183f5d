//! `reeldeck-worker write-seeded-checkpoint RECIPE FILE`: writes the seeded weights as a `.pth` file.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use reeldeck_common::recipe::Recipe;
use reeldeck_model::seeded;

/// Runs the command.
///
/// # Errors
/// When the arguments are wrong or the file cannot be written.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let [recipe, file] = arguments else { bail!("usage: reeldeck-worker write-seeded-checkpoint RECIPE FILE") };
    let recipe = Recipe::find(&recipe.to_string_lossy())?;
    let file = PathBuf::from(file);
    let family = reeldeck_model::family(&recipe.model)?;
    let weights = seeded::weights(&*family);
    let out = File::create(&file).with_context(|| format!("failed to create {}", file.display()))?;
    reeldeck_model::checkpoint::write(BufWriter::new(out), &*family, &weights)
        .with_context(|| format!("failed to write {}", file.display()))
}
