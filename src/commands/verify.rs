//! `reeldeck verify`: checks the features themselves, against their videos, and against other extractors' features.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use anyhow::{Context, ensure};
use reeldeck_common::atomic::Owner;
use reeldeck_common::damaged;
use reeldeck_common::error::ErrorKind;
use reeldeck_common::layout::Layout;
use reeldeck_common::protocol::{Init, VERSION};
use reeldeck_common::video::printable;
use reeldeck_process::Program;

use super::list::say_without_video;
use super::meter::cancellable_meter;
use super::set::any_feature_set;
use crate::cli::VerifyArgs;
use crate::config::{Device, GPU_BATCH, Settings, Verbosity, measurements};
use crate::dataset::scan::scan;
use crate::dataset::shown;
use crate::discovery::{self, torch};
use crate::engine::checkpoint;
use crate::error::{Exit, ExitError};
use crate::out::count;
use crate::out::errln;
use crate::out::outln;
use crate::progress::{Progress, Size};
use crate::verify::again::{Extractor, ExtractorOptions, Reextracted};
use crate::verify::against::Reference;
use crate::verify::compare::Tolerance;
use crate::verify::{self, Compared, Kind, Problem, Report, VerifyJob, report};

/// How many findings of a kind are printed without `-v`. The files have all of them.
const PRINTED: usize = 20;

/// Verifies, prints the findings, and writes the lists into the exports folder.
///
/// Returns [`Exit::Incomplete`] if a feature is wrong or a video has none.
///
/// # Errors
/// When the feature set is ambiguous, or a file that the user has named cannot be used.
pub(crate) fn run_verify(settings: &Settings, args: &VerifyArgs) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let set = any_feature_set(settings)?;
    let layout = Layout::new(&settings.out, &set);
    let pairs = args.against.as_deref().map(|path| Reference::open(path, args.list.as_deref())).transpose()?;
    let scan = scan(&settings.root, &settings.scan)?;
    super::check_readable(&scan, settings)?;
    let tolerance = args.tolerance.map_or_else(|| verify::tolerance(&settings.recipe), Tolerance::MaxAbs);
    let job = VerifyJob { layout: &layout, recipe: &settings.recipe, videos: &scan.videos, tolerance };
    let meter = cancellable_meter(settings)?;
    let checked = verify::verify(&job, pairs.as_ref(), &meter).and_then(|mut report| {
        if let Some(count) = args.sample {
            sample(settings, &job, count, &mut report, &meter)?;
        }
        Ok(report)
    });
    meter.end();
    let report = checked?;
    if report.checked == 0 {
        let folder = shown(&layout.features());
        return Err(ExitError::new(Exit::Empty, format!("no features in {folder}; extract some first")).into());
    }
    print(settings, args, &job, &report);
    if !settings.dry_run {
        let folder = report::folder(&layout);
        report::write(&report, &layout, &Owner::this_process()).with_context(|| {
            let folder = shown(&folder);
            format!(
                "failed to write to {folder}; what is printed above is complete. Check space and permissions, or use \
                     --dry-run, which writes nothing"
            )
        })?;
        note_damaged(&layout, &report)
            .with_context(|| format!("failed to write {}", shown(&damaged::path(&layout))))?;
        if report.wrong().next().is_some() {
            errln!("all findings are in {}", shown(&folder.join(report::FINDINGS)));
        }
        if !report.to_retry().is_empty() {
            let retry = shown(&folder.join(report::RETRY));
            errln!("the videos to extract again are in {retry}; pass it to `reeldeck retry --list`");
        }
    }
    if args.against.is_some()
        && report.against.is_empty()
        && !report.findings.iter().any(|f| matches!(f.kind, Kind::Against | Kind::NotCompared))
    {
        let message = "nothing was compared: no file there matches a feature by name; files for trainers have the \
             name of the video without its extension";
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    let is_fine = report.wrong().next().is_none() && report.without.is_empty();
    Ok(if is_fine { Exit::Done } else { Exit::Incomplete })
}

/// Adds the damaged features to the list of damaged features, so that the next run extracts their videos again.
fn note_damaged(layout: &Layout, report: &Report) -> std::io::Result<()> {
    report.damaged.iter().try_for_each(|(video, stamp)| damaged::add(layout, video, *stamp))
}

/// Extracts `count` videos again and compares: first those with a note, then random ones.
fn sample(
    settings: &Settings,
    job: &VerifyJob<'_>,
    count: usize,
    report: &mut Report,
    progress: &dyn Progress,
) -> anyhow::Result<()> {
    let chosen = checkpoint::obtain(settings).map_err(|error| {
        anyhow::Error::from(error).context(ExitError::new(Exit::Usage, "no weights to extract the sample with"))
    })?;
    ensure!(
        settings.recipe.set_name(&chosen.id.digest) == job.layout.set(),
        ExitError::new(
            Exit::Usage,
            "the checkpoint is not the one that made these features; name that one with --checkpoint"
        )
    );
    let wrong = report.wrong_videos();
    let noted: Vec<_> = report.findings.iter().map(|finding| &finding.video).collect();
    let lot = RandomState::new();
    // Wrong features need no further proof, and videos without a feature cannot be compared.
    let without: std::collections::HashSet<_> = report.without.iter().collect();
    let mut candidates: Vec<_> = job
        .videos
        .iter()
        .filter(|video| wrong.binary_search(&&video.name).is_err() && !without.contains(&video.name))
        .map(|video| (noted.binary_search(&&video.name).is_err(), lot.hash_one(&video.name), &video.name))
        .collect();
    candidates.sort_unstable();
    candidates.truncate(count);
    progress.begin("extracting again", Size::Items(candidates.len()));
    let mut extractor = Extractor::new(extractor_options(settings, job.layout, &chosen)?)
        .with_context(|| format!("failed to write to {}", shown(job.layout.out())))?;
    for (_, _, video) in candidates {
        let (source, stored) = (video.under(&settings.root), job.layout.feature(video));
        let anew = extractor.compare(video, &source, &stored, job.recipe, verify::tolerance(job.recipe), progress);
        match anew {
            Ok(Reextracted::Compared(compared, finding)) => {
                report.again.push(compared);
                report.findings.extend(finding);
            }
            Ok(Reextracted::Failed(finding)) => report.findings.push(finding),
            Err(failure) if failure.kind == ErrorKind::Interrupted => {
                return Err(ExitError::new(Exit::Interrupted, failure.line()).into());
            }
            Err(failure) => return Err(ExitError::new(Exit::Internal, failure.line()).into()),
        }
        progress.step(0);
    }
    report.findings.sort();
    report.again.sort_by(|a, b| a.video.cmp(&b.video));
    Ok(())
}

/// One worker on the first device, with the settings of a run.
fn extractor_options(
    settings: &Settings,
    layout: &Layout,
    chosen: &checkpoint::ChosenWeights,
) -> anyhow::Result<ExtractorOptions> {
    let (devices, note) = settings.devices.resolve(&settings.torch).map_err(ExitError::from)?;
    if let Some(note) = note {
        errln!("note: {note}");
    }
    let device = devices.first().copied().unwrap_or(Device::Cpu);
    let is_cpu = device == Device::Cpu;
    let cores = crate::allocation::cores();
    let or = |chosen: usize, otherwise: usize| if chosen == 0 { otherwise } else { chosen };
    let environment = match is_cpu {
        true => vec![],
        false => torch::environment(&settings.torch, settings.recipe.precision)
            .map_err(|error| ExitError::new(Exit::Usage, error.to_string()))?,
    };
    let owner = Owner::this_process();
    Ok(ExtractorOptions {
        program: Program { environment, ..Program::new(&discovery::worker()?) },
        init: Init {
            version: VERSION,
            recipe: settings.recipe.clone(),
            set: layout.set().to_owned(),
            checkpoint: chosen.source.clone(),
            checkpoint_id: chosen.id.clone(),
            device: device.to_string(),
            threads: or(settings.worker.threads, cores),
            decoders: or(settings.worker.decoders, 1),
            prefetch_frames: or(settings.worker.prefetch_frames, if is_cpu { 64 } else { 400 }),
            algorithms: measurements::algorithms(),
            // The reference is the CPU's decoder and ordinary passes, also for features from NVDEC and CUDA graphs.
            nvdec: None,
            graphs: false,
            limits: settings.limits,
            owner,
        },
        batch: or(settings.worker.batch, if is_cpu { 2 } else { GPU_BATCH }),
        stall: Duration::from_secs(settings.worker.stall_timeout_s),
        parent: if settings.dry_run { reeldeck_common::machine::temporary_folder() } else { layout.private() },
    })
}

fn print(settings: &Settings, args: &VerifyArgs, job: &VerifyJob<'_>, report: &Report) {
    let verbosity = settings.verbosity;
    let most = if verbosity > Verbosity::Normal { usize::MAX } else { PRINTED };
    let (wrong, notes): (Vec<&Problem>, Vec<&Problem>) =
        report.findings.iter().partition(|finding| finding.kind != Kind::Note);
    for (what, findings) in [("wrong", wrong), ("note", notes)] {
        if what == "note" && verbosity == Verbosity::Quiet {
            continue;
        }
        for Problem { video, kind, text } in findings.iter().take(most) {
            let kind = if what == "note" { "note".into() } else { format!("{what}, {}", kind.name()) };
            errln!("{kind}: {}: {}", printable(video.as_str()), printable(text));
        }
        if findings.len() > most {
            errln!("and {} more; -v prints them all", findings.len() - most);
        }
    }
    if verbosity == Verbosity::Quiet {
        return;
    }
    if let Some(path) = &args.against {
        compared(&format!("with {}", shown(path)), job.tolerance, &report.against, most);
        let failed = report.findings.iter().filter(|f| matches!(f.kind, Kind::Against | Kind::NotCompared));
        let failed = failed.map(|finding| &finding.video);
        let found: BTreeSet<_> = report.against.iter().map(|compared| &compared.video).chain(failed).collect();
        let lacking = report.checked.saturating_sub(found.len());
        if lacking > 0 {
            outln!("{} nothing to compare with there", count(lacking, "feature has", "features have"));
        }
    }
    if args.sample.is_some() {
        compared("with a new extraction", verify::tolerance(job.recipe), &report.again, most);
    }
    for (made_by, features) in &report.made_by {
        outln!("{} made by {}", count(*features, "feature", "features"), printable(made_by));
    }
    let few = [
        (report.without.len(), "video of the dataset has no feature", "videos of the dataset have no feature"),
        (
            report.others.len(),
            "file in the feature folder is not a feature",
            "files in the feature folder are not features",
        ),
    ];
    for (n, one, many) in few.into_iter().filter(|(n, ..)| *n > 0) {
        outln!("{}", count(n, one, many));
    }
    say_without_video(&report.gone, verbosity);
    let wrong = report.wrong_videos().len();
    outln!("checked {} of {}: {wrong} wrong", count(report.checked, "feature", "features"), job.layout.set());
}

/// Prints the largest differences, then a summary.
fn compared(what: &str, tolerance: Tolerance, all: &[Compared], most: usize) {
    if all.is_empty() {
        outln!("compared no feature {what}");
        return;
    }
    let mut sorted: Vec<&Compared> = all.iter().collect();
    sorted.sort_by(|a, b| b.difference.max_abs.total_cmp(&a.difference.max_abs).then(a.video.cmp(&b.video)));
    for Compared { video, difference } in sorted.iter().take(most) {
        outln!("{}: {difference}", printable(video.as_str()));
    }
    if sorted.len() > most {
        outln!("and {} with smaller differences; -v prints them all", sorted.len() - most);
    }
    let worst = sorted.first().map_or(0.0, |compared| compared.difference.max_abs);
    let mean = all.iter().map(|compared| compared.difference.mean_abs).sum::<f64>() / all.len().max(1) as f64;
    let equal = all.iter().filter(|compared| compared.difference.is_equal).count();
    let within = all.iter().filter(|compared| tolerance.allows(&compared.difference)).count();
    outln!(
        "compared {} {what}: {within} within {tolerance}, {equal} bit-identical; max {worst:.2e}, mean {mean:.2e}",
        count(all.len(), "feature", "features")
    );
}
