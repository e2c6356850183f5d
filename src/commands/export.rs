//! `reeldeck export`: what a trainer reads, from the features that are there.

use std::fs;

use anyhow::{Context, bail};
use reeldeck_contract::atomic::Owner;
use reeldeck_contract::layout::Layout;
use reeldeck_contract::video::printable;

use crate::cli::{ExportArgs, Format};
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::scan;
use crate::dataset::shown;
use crate::engine::checkpoint;
use crate::errln;
use crate::error::{Exit, Stop};
use crate::export::pickle::{self, Exported};
use crate::outln;

/// Scans the dataset, exports what has a feature, and says what is missing.
///
/// # Errors
/// When it is not clear which features are meant, and when writing fails.
pub fn run_export(settings: &Settings, args: &ExportArgs) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let set = feature_set(settings)?;
    let layout = Layout::new(&settings.out, &set);
    let scan = scan(&settings.root, &settings.extensions)?;
    if scan.videos.is_empty() {
        return Err(Stop::new(Exit::Empty, format!("no video found in {}", shown(&settings.root))).into());
    }
    let Format::Pkl = args.format;
    if settings.dry_run {
        outln!("would export {} videos of {set} to {}", scan.videos.len(), shown(&layout.exports()));
        return Ok(Exit::Done);
    }
    let exported =
        pickle::export(&layout, &settings.recipe, &scan.videos, settings.label_style, &Owner::this_process())?;
    say(&exported, &layout, settings.verbosity);
    let complete = exported.missing.is_empty() && scan.refused.is_empty();
    Ok(match exported.videos {
        0 => Exit::Empty,
        _ if complete => Exit::Done,
        _ => Exit::Incomplete,
    })
}

/// The set that the checkpoint names; without one, the only set of this recipe that is there.
fn feature_set(settings: &Settings) -> anyhow::Result<String> {
    if settings.checkpoint.is_some() {
        let chosen = checkpoint::choose(settings.checkpoint.as_ref(), &settings.recipe)?;
        return Ok(settings.recipe.set_name(&chosen.id.digest));
    }
    let folder = settings.out.join("features");
    let prefix = format!("{}-", settings.recipe.name);
    let mut sets: Vec<String> = match fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
        Err(error) => return Err(error).with_context(|| format!("failed to list {}", shown(&folder))),
    };
    sets.retain(|set| set.starts_with(&prefix));
    sets.sort();
    match sets.as_slice() {
        [set] => Ok(set.clone()),
        [] => Err(Stop::new(
            Exit::Empty,
            format!("no features of the recipe {} in {}; extract some first", settings.recipe.name, shown(&folder)),
        )
        .into()),
        several => bail!(Stop::new(
            Exit::Usage,
            format!("there are several feature sets ({}); say which by --checkpoint", several.join(", ")),
        )),
    }
}

/// Tells what was written and what is missing from it.
pub fn say(exported: &Exported, layout: &Layout, verbosity: Verbosity) {
    if verbosity > Verbosity::Quiet {
        outln!("exported {} videos to {}", exported.videos, shown(&layout.exports().join(pickle::RESULTS)));
    }
    if !exported.missing.is_empty() {
        let most = if verbosity > Verbosity::Normal { usize::MAX } else { 5 };
        errln!("{} videos are not in it ({}):", exported.missing.len(), pickle::MISSING);
        for (video, why) in exported.missing.iter().take(most) {
            errln!("  {}: {why}", printable(video.as_str()));
        }
        if exported.missing.len() > most {
            errln!("  and {} more", exported.missing.len() - most);
        }
    }
}
