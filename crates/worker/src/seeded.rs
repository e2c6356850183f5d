//! `reeldeck-worker write-seeded-checkpoint RECIPE FILE`: writes the seeded weights as a `.pth` file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use reeldeck_common::atomic::{self, Owner, Sweeper};
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
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Removes what an earlier command has left that was killed.
    atomic::sweep_folder(folder, &Sweeper::of_command())
        .with_context(|| format!("failed to list {}", folder.display()))?;
    let family = reeldeck_model::family(&recipe.model)?;
    let weights = seeded::weights(&*family);
    atomic::write_new(&file, &Owner::this_process(), |out| reeldeck_model::checkpoint::write(out, &*family, &weights))
        .with_context(|| format!("failed to write {}", file.display()))
}
