//! `reeldeck export`: what a trainer reads, from the features that are there.

use std::fs;

use anyhow::{Context, bail, ensure};
use indicatif::DecimalBytes;
use reeldeck_contract::atomic::Owner;
use reeldeck_contract::layout::Layout;
use reeldeck_contract::recipe::{Output, Recipe};
use reeldeck_contract::video::{VideoName, printable};

use super::meter::Meter;
use crate::cli::ExportArgs;
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::scan;
use crate::dataset::shown;
use crate::engine::checkpoint;
use crate::errln;
use crate::error::{Exit, Stop};
use crate::export::pickle;
use crate::export::{self, Axes, Format, Job, Outcome, Variant, dataset};
use crate::outln;

/// Scans the dataset, exports what has a feature, and says what is missing.
///
/// # Errors
/// When it is not clear which features are meant, when the disk has not enough room, and when writing fails.
pub fn run_export(settings: &Settings, args: &ExportArgs) -> anyhow::Result<Exit> {
    let variants = variants(args, &settings.recipe)?;
    settings.check_folders()?;
    let set = feature_set(settings)?;
    let layout = Layout::new(&settings.out, &set);
    let scan = scan(&settings.root, &settings.extensions)?;
    if scan.videos.is_empty() {
        return Err(Stop::new(Exit::Empty, format!("no video found in {}", shown(&settings.root))).into());
    }
    let owner = Owner::this_process();
    let job = Job {
        layout: &layout,
        recipe: &settings.recipe,
        videos: &scan.videos,
        style: settings.label_style,
        owner: &owner,
    };
    let meter = Meter::new(settings);
    if settings.dry_run {
        let forecast = export::forecast(&job, &variants, &meter)?;
        meter.finish();
        for part in &forecast.parts {
            let (bytes, folder) = (DecimalBytes(part.bytes), part.variant.folder(&layout));
            let there = part.videos - part.to_write;
            outln!(
                "would export {} videos as {} to {}: {} to write, {there} there, about {bytes} more",
                part.videos,
                part.variant.format.name(),
                shown(&folder),
                part.to_write
            );
        }
        outln!("{} left in {}", DecimalBytes(forecast.free), shown(&settings.out));
        say_missing(&forecast.survey.missing, "", settings.verbosity);
        return Ok(exit(forecast.survey.items.len(), &forecast.survey.missing, scan.refused.is_empty()));
    }
    let outcomes = export::export(&job, &variants, &meter);
    meter.finish();
    let outcomes = outcomes?;
    for outcome in &outcomes {
        say_outcome(outcome, settings.verbosity);
    }
    // What is missing from all of them is told once.
    let mut missing: Vec<(VideoName, String)> = outcomes.iter().flat_map(|outcome| &outcome.missing).cloned().collect();
    missing.sort_unstable();
    missing.dedup();
    let named = if *variants == [pickle::PAIR] { pickle::MISSING } else { dataset::FILE };
    say_missing(&missing, named, settings.verbosity);
    let videos = outcomes.iter().map(|outcome| outcome.videos).min().unwrap_or(0);
    Ok(exit(videos, &missing, scan.refused.is_empty()))
}

fn exit(videos: usize, missing: &[(VideoName, String)], is_all_taken: bool) -> Exit {
    match videos {
        0 => Exit::Empty,
        _ if missing.is_empty() && is_all_taken => Exit::Done,
        _ => Exit::Incomplete,
    }
}

/// What was asked for, each once, if it makes sense together.
fn variants(args: &ExportArgs, recipe: &Recipe) -> anyhow::Result<Vec<Variant>> {
    let mut formats = args.format.clone();
    formats.sort_unstable();
    formats.dedup();
    let is_turnable = |format: &Format| matches!(format, Format::Npy | Format::Npz | Format::H5);
    let usage = |message: &str| Stop::new(Exit::Usage, message);
    ensure!(
        !args.compact || formats.contains(&Format::Csv),
        usage("--compact is about the digits of csv, which is not among the formats; add --format csv or leave it out")
    );
    ensure!(
        args.layout == Axes::Tc || formats.iter().any(is_turnable),
        usage("--layout is about npy, npz and h5, none of which is among the formats; add one or leave it out")
    );
    let first = recipe.outputs.first().copied().unwrap_or(Output::Logits);
    let default = if recipe.outputs.contains(&Output::Logits) { Output::Logits } else { first };
    let output = args.output.unwrap_or(default);
    ensure!(
        !formats.contains(&Format::Pkl) || args.output.is_none_or(|output| output == Output::Logits),
        usage("result.pkl holds logits only; leave out --output, or export in another --format")
    );
    let variant = |format: &Format| Variant {
        format: *format,
        output: if *format == Format::Pkl { Output::Logits } else { output },
        axes: if is_turnable(format) { args.layout } else { Axes::Tc },
        compact: args.compact && *format == Format::Csv,
    };
    Ok(formats.iter().map(variant).collect())
}

/// The set that the checkpoint names; without one, the only set of this recipe that is there.
pub(super) fn feature_set(settings: &Settings) -> anyhow::Result<String> {
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

/// Tells what was written and what is missing from it, at the end of a run.
pub fn say(exported: &Outcome, layout: &Layout, verbosity: Verbosity) {
    if verbosity > Verbosity::Quiet {
        outln!("exported {} videos to {}", exported.videos, shown(&layout.exports().join(pickle::RESULTS)));
    }
    say_missing(&exported.missing, pickle::MISSING, verbosity);
}

fn say_outcome(outcome: &Outcome, verbosity: Verbosity) {
    let Outcome { path, videos, written, bytes, removed, .. } = outcome;
    if verbosity == Verbosity::Quiet || *videos == 0 {
        return;
    }
    let removed = if *removed > 0 { format!(", {removed} old ones removed") } else { String::new() };
    outln!("exported {videos} videos to {} ({written} written, {}{removed})", shown(path), DecimalBytes(*bytes));
}

/// Names some; `all` is the file that names all, if one was written.
fn say_missing(missing: &[(VideoName, String)], all: &str, verbosity: Verbosity) {
    if missing.is_empty() {
        return;
    }
    let most = if verbosity > Verbosity::Normal { usize::MAX } else { 5 };
    let all = if all.is_empty() { String::new() } else { format!(" ({all})") };
    errln!("{} videos are not in it{all}:", missing.len());
    for (video, why) in missing.iter().take(most) {
        errln!("  {}: {}", printable(video.as_str()), printable(why));
    }
    if missing.len() > most {
        errln!("  and {} more", missing.len() - most);
    }
}
