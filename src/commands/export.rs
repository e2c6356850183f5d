//! `reeldeck export`: exports the features in the formats of trainers.

use anyhow::{Context, ensure};
use indicatif::DecimalBytes;
use reeldeck_common::atomic::Owner;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_common::versions::SEEDED_WEIGHTS;
use reeldeck_common::video::{VideoName, printable};

use super::list::say_without_video;
use super::meter::cancellable_meter;
use super::set::feature_set;
use crate::cli::ExportArgs;
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::scan;
use crate::dataset::{features_without_video, shown};
use crate::error::{Exit, ExitError};
use crate::export::pickle;
use crate::export::{self, EXCLUDED, ExportJob, ExportSpec, Outcome, dataset};
use crate::format::{Axes, Format};
use crate::out::{count, errln, outln};
use crate::progress::Progress;

/// Scans the dataset, exports the features, and prints the videos without one.
///
/// # Errors
/// When the feature set is ambiguous, the disk has too little space, or writing fails.
pub(crate) fn run_export(settings: &Settings, args: &ExportArgs) -> anyhow::Result<Exit> {
    let specs = specs(args, &settings.recipe)?;
    settings.check_folders()?;
    let set = feature_set(settings)?;
    let layout = Layout::new(&settings.out, &set);
    let scan = scan(&settings.root, &settings.scan)?;
    // An export without the videos of a folder that cannot be read would remove their files.
    super::check_readable(&scan, settings)?;
    if scan.videos.is_empty() {
        return Err(ExitError::new(Exit::Empty, format!("no video found in {}", shown(&settings.root))).into());
    }
    let without_video = features_without_video(&layout, &scan.videos)
        .with_context(|| format!("failed to list the features in {}", shown(&layout.features())))?;
    let owner = Owner::this_process();
    let job = ExportJob {
        layout: &layout,
        recipe: &settings.recipe,
        videos: &scan.videos,
        style: settings.label_style,
        owner: &owner,
    };
    let meter = cancellable_meter(settings)?;
    if settings.dry_run {
        let forecast = export::forecast(&job, &specs, &meter)?;
        meter.end();
        for part in &forecast.parts {
            let (bytes, folder) = (DecimalBytes(part.bytes), part.spec.folder(&layout));
            let there = part.videos - part.to_write;
            outln!(
                "would export {} as {} to {}: {} to write, {there} there, about {bytes} more",
                count(part.videos, "video", "videos"),
                part.spec.format.name(),
                shown(&folder),
                part.to_write
            );
        }
        outln!("{} left in {}", DecimalBytes(forecast.free), shown(&settings.out));
        say_missing(&forecast.inventory.missing, "", settings.verbosity);
        say_without_video(&without_video, settings.verbosity);
        return Ok(exit(forecast.inventory.items.len(), &forecast.inventory.missing, scan.refused.is_empty()));
    }
    let outcomes = export::export(&job, &specs, &meter);
    meter.end();
    let outcomes = outcomes?;
    for outcome in &outcomes {
        say_outcome(outcome, settings.verbosity);
    }
    // A video that is missing from several formats is printed once.
    let mut missing: Vec<(VideoName, String)> = outcomes.iter().flat_map(|outcome| &outcome.missing).cloned().collect();
    missing.sort_unstable();
    missing.dedup();
    let named = if *specs == [pickle::PAIR] { pickle::MISSING } else { dataset::FILE };
    let videos = outcomes.iter().map(|outcome| outcome.videos).min().unwrap_or(0);
    if videos == 0 {
        errln!("nothing to export: no video has a usable feature of {set}; run `reeldeck extract` first");
    }
    say_missing(&missing, if videos == 0 { "" } else { named }, settings.verbosity);
    say_without_video(&without_video, settings.verbosity);
    if videos > 0 && set == settings.recipe.set_name(SEEDED_WEIGHTS) {
        errln!("note: seeded weights: the features are meaningless");
    }
    Ok(exit(videos, &missing, scan.refused.is_empty()))
}

fn exit(videos: usize, missing: &[(VideoName, String)], is_all_taken: bool) -> Exit {
    match videos {
        0 => Exit::Empty,
        _ if missing.iter().all(|(_, why)| why == EXCLUDED) && is_all_taken => Exit::Done,
        _ => Exit::Incomplete,
    }
}

/// The requested exports without duplicates. Refuses options that do not apply to any of them.
fn specs(args: &ExportArgs, recipe: &Recipe) -> anyhow::Result<Vec<ExportSpec>> {
    let mut formats = args.format.clone();
    formats.sort_unstable();
    formats.dedup();
    let usage = |message: &str| ExitError::new(Exit::Usage, message);
    ensure!(
        !args.compact || formats.contains(&Format::Csv),
        usage("--compact applies only to csv; add --format csv or omit --compact")
    );
    ensure!(
        !args.float16 || formats.contains(&Format::Npy),
        usage("--float16 applies only to npy; add --format npy or omit --float16")
    );
    ensure!(
        args.layout == Axes::Tc || formats.iter().any(|format| format.has_axes()),
        usage("--layout applies only to npy, npz and h5; add one of these formats or omit --layout")
    );
    let output = args.output.unwrap_or(recipe.main_output());
    ensure!(
        !formats.contains(&Format::Pkl) || args.output.is_none_or(|output| output == Output::Logits),
        usage("result.pkl contains only logits; omit --output, or choose another --format")
    );
    let spec = |format: &Format| ExportSpec {
        format: *format,
        output: if *format == Format::Pkl { Output::Logits } else { output },
        axes: if format.has_axes() { args.layout } else { Axes::Tc },
        compact: args.compact && *format == Format::Csv,
        half: args.float16 && *format == Format::Npy,
    };
    Ok(formats.iter().map(spec).collect())
}

/// Prints the results of the export at the end of a run; with `json`, only what goes to standard error.
pub(crate) fn say(exported: &[Outcome], layout: &Layout, verbosity: Verbosity, json: bool) {
    for outcome in exported.iter().filter(|_| verbosity > Verbosity::Quiet && !json) {
        let videos = count(outcome.videos, "video", "videos");
        outln!("exported {videos} to {}", shown(&outcome.spec.result(layout)));
    }
    // Most formats lack the same videos.
    let mut lists: Vec<_> = exported.iter().map(|outcome| &outcome.missing).collect();
    lists.dedup();
    lists.into_iter().for_each(|missing| say_missing(missing, pickle::MISSING, verbosity));
}

fn say_outcome(outcome: &Outcome, verbosity: Verbosity) {
    let Outcome { path, videos, written, bytes, removed, .. } = outcome;
    if verbosity == Verbosity::Quiet || *videos == 0 {
        return;
    }
    let removed = match removed {
        0 => String::new(),
        1 => ", 1 old one removed".to_owned(),
        more => format!(", {more} old ones removed"),
    };
    let videos = count(*videos, "video", "videos");
    outln!("exported {videos} to {} ({written} written, {}{removed})", shown(path), DecimalBytes(*bytes));
}

/// Prints the first missing videos. `all` is the file that names all of them; empty if none was written.
fn say_missing(missing: &[(VideoName, String)], all: &str, verbosity: Verbosity) {
    if missing.is_empty() {
        return;
    }
    let most = if verbosity > Verbosity::Normal { usize::MAX } else { 5 };
    let all = if all.is_empty() { String::new() } else { format!(" ({all})") };
    errln!("{} left out{all}:", count(missing.len(), "video was", "videos were"));
    for (video, why) in missing.iter().take(most) {
        errln!("  {}: {}", printable(video.as_str()), printable(why));
    }
    if missing.len() > most {
        errln!("  and {} more", missing.len() - most);
    }
}
