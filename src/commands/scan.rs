//! `reeldeck scan`: compares the dataset folder with the manifest.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context;
use reeldeck_common::clock;
use reeldeck_common::damaged;
use reeldeck_common::probe::Level;
use reeldeck_common::video::printable;

use super::list::{MAX_NAMED, hint, incomplete, refusals, summary};
use super::probe::Checker;
use super::watch::{self, Current};
use crate::cli::ScanArgs;
use crate::config::{Settings, Verbosity};
use crate::dataset::manifest::Manifest;
use crate::dataset::probe::known;
use crate::dataset::report::{Change, Report};
use crate::dataset::scan::{Scan, scan};
use crate::dataset::shown;
use crate::dataset::state::Probes;
use crate::error::Exit;
use crate::out::{count, errln};
use crate::signals::cancel_on_signal;

/// Prints the report; checks the videos with `--quick` or `--deep`, and stays with `--watch`. Returns [`Exit::Empty`] without
/// any video, and [`Exit::Incomplete`] if a video is refused, missing, corrupt, duplicate or of the wrong duration, or if a
/// feature is known to be damaged.
///
/// # Errors
/// When the folders cannot be used, or the manifest or the list of damaged features cannot be read.
pub(crate) fn run_scan(settings: &Settings, args: &ScanArgs) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    // Before the scan, which takes longer: an error in the manifest is reported at once.
    let manifest = super::manifest(settings)?;
    let manifest = manifest.as_ref();
    let level = match (args.quick, args.deep) {
        (_, true) => Some(Level::Deep),
        (true, _) => Some(Level::Quick),
        _ => None,
    };
    if level.is_some() {
        settings.check_paths()?;
    }
    let cancel = match level.is_some() || args.watch.watch {
        true => cancel_on_signal(None).context("failed to catch signals")?,
        false => Arc::default(),
    };
    let mut scan = scan(&settings.root, &settings.scan)?;
    let watched = args.watch.watch.then(|| watch::begin(settings, &args.watch, &mut scan)).transpose()?;
    // A scan without checks uses the results of earlier checks.
    let probes = if level.is_some() { Probes::new() } else { known(&settings.out, &scan.videos)? };
    let checker = level.map(|level| Checker::new(settings, &scan.videos, level, &cancel)).transpose()?;
    let mut current = Current { settings, manifest, scan, probes, checker };
    let mut checked = Exit::Done;
    if let Some(checker) = &mut current.checker
        && !current.scan.videos.is_empty()
    {
        checked = checker.check_all(&current.scan.videos, &mut current.probes)?;
        if checked == Exit::Interrupted {
            return Ok(checked);
        }
    }
    let damaged = find_damaged(settings)?;
    let mut writer = BufWriter::new(io::stdout().lock());
    let mut reads = write(&mut writer, |writer| write_report(writer, &current, &damaged))?;
    if let Some(watched) = watched {
        // Without a reader, watching is pointless.
        cancel.fetch_or(!reads, Ordering::Relaxed);
        let is_current = watch::follow(&mut current, watched, &cancel, &mut |current, report, changes| {
            reads = write(&mut writer, |writer| write_changes(writer, current, report, changes))?;
            cancel.fetch_or(!reads, Ordering::Relaxed);
            Ok(())
        })?;
        // The report has the results of all checks since.
        checked = if is_current { Exit::Done } else { Exit::Incomplete };
        if reads && !settings.json && settings.verbosity > Verbosity::Quiet {
            write(&mut writer, |writer| write_report(writer, &current, &[]))?;
        }
    }
    let damaged = find_damaged(settings)?;
    say_damaged(&damaged, settings.verbosity);
    Ok(match current.scan.videos.is_empty() {
        true => Exit::Empty,
        false
            if checked == Exit::Done
                && damaged.is_empty()
                && current.scan.refused.is_empty()
                && current.report().is_complete() =>
        {
            Exit::Done
        }
        false => Exit::Incomplete,
    })
}

/// The features that are known to be damaged.
fn find_damaged(settings: &Settings) -> anyhow::Result<Vec<PathBuf>> {
    damaged::in_place(&settings.out)
        .with_context(|| format!("failed to look for damaged features in {}", shown(&settings.out)))
}

fn say_damaged(files: &[PathBuf], verbosity: Verbosity) {
    let most = if verbosity > Verbosity::Normal { usize::MAX } else { MAX_NAMED };
    for file in files.iter().take(most) {
        errln!("damaged feature {}: the next run extracts its video again", shown(file));
    }
    if files.len() > most {
        errln!("and {}; -v names them all", count(files.len() - most, "more damaged feature", "more damaged features"));
    }
}

/// Writes and flushes. Returns false when the reader, such as `head`, has closed the pipe.
fn write<W: Write>(writer: &mut W, what: impl FnOnce(&mut W) -> io::Result<()>) -> anyhow::Result<bool> {
    match what(writer).and_then(|()| writer.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("failed to write the report"),
    }
}

fn write_report(writer: &mut impl Write, current: &Current<'_>, damaged: &[PathBuf]) -> io::Result<()> {
    let Current { settings, manifest, scan, .. } = current;
    let report = current.report();
    if settings.json {
        report.write_json(writer, &settings.root, damaged)
    } else {
        write_text(writer, settings, *manifest, scan, &report)
    }
}

fn write_changes(
    writer: &mut impl Write,
    current: &Current<'_>,
    report: &Report<'_>,
    changes: &[Change],
) -> io::Result<()> {
    let settings = current.settings;
    if settings.json {
        return report.write_changes_json(writer, changes);
    }
    let most = if settings.verbosity > Verbosity::Normal { usize::MAX } else { MAX_NAMED };
    let time = clock::now().to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string();
    report.write_changes(writer, changes, &time, most, settings.verbosity == Verbosity::Quiet)
}

fn write_text(
    writer: &mut impl Write,
    settings: &Settings,
    manifest: Option<&Manifest>,
    scan: &Scan,
    report: &Report<'_>,
) -> io::Result<()> {
    let verbose = settings.verbosity > Verbosity::Normal;
    if verbose {
        for video in &scan.videos {
            writeln!(writer, "{:>12}  {}", video.stamp.size, printable(video.name.as_str()))?;
        }
    }
    write!(writer, "{}", refusals(&scan.refused, settings.verbosity))?;
    write!(writer, "{}", incomplete(scan, settings.verbosity))?;
    if settings.verbosity > Verbosity::Quiet {
        write!(writer, "{}", summary(scan))?;
        if let Some(hint) = hint(&scan.refused, &settings.root).filter(|_| scan.videos.is_empty()) {
            writeln!(writer, "  {hint}")?;
        }
        if let Some(manifest) = manifest {
            let path = shown(&manifest.path);
            let (videos, classes) =
                (count(manifest.len(), "video", "videos"), count(manifest.classes(), "class", "classes"));
            writeln!(writer, "the manifest {path} has {videos} in {classes}\n")?;
        }
        report.write_tables(writer)?;
    }
    let most = if verbose { usize::MAX } else { MAX_NAMED };
    report.write_problems(writer, most)?;
    let odd = manifest.map(|manifest| manifest.odd_segments.text(most)).unwrap_or_default();
    write!(writer, "{odd}")
}
