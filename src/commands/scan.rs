//! `reeldeck scan`: what is in the dataset folder, what should be, and what was refused.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use reeldeck_contract::probe::Level;
use reeldeck_contract::video::printable;

use super::list::{NAMED, refusals, summary};
use super::probe::probe_all;
use crate::cli::ScanArgs;
use crate::config::{Settings, Verbosity};
use crate::dataset::manifest::Manifest;
use crate::dataset::report::Report;
use crate::dataset::scan::{Scan, scan};
use crate::dataset::shown;
use crate::dataset::state::Probes;
use crate::error::Exit;

/// Scans and prints, and has the videos checked where that is asked for. Ends with [`Exit::Empty`] without any video, with [`Exit::Incomplete`] when something was refused,
/// or is missing, corrupt, there twice, or of the wrong duration.
///
/// # Errors
/// Folders that cannot be used, and a manifest that cannot be read.
pub fn run_scan(settings: &Settings, args: &ScanArgs) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    // The manifest first: a mistake in it is told at once, and a scan takes its time.
    let manifest = super::manifest(settings)?;
    let scan = scan(&settings.root, &settings.extensions)?;
    let mut probes = Probes::new();
    let level = match (args.quick, args.deep) {
        (_, true) => Some(Level::Deep),
        (true, _) => Some(Level::Quick),
        _ => None,
    };
    let probed = match level {
        Some(level) => probe_all(settings, &scan.videos, level, &mut probes)?,
        None => Exit::Done,
    };
    if probed == Exit::Interrupted {
        return Ok(probed);
    }
    let report = Report::new(manifest.as_ref(), &scan, &probes, settings.tolerance_s);
    let mut writer = BufWriter::new(io::stdout().lock());
    let written = if settings.json {
        report.write_json(&mut writer, &settings.root)
    } else {
        write_text(&mut writer, settings, manifest.as_ref(), &scan, &report)
    };
    match written.and_then(|()| writer.flush()) {
        // Whoever reads has had enough, as `head` has.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("failed to write the report");
        }
        _ => {}
    }
    Ok(match scan.videos.is_empty() {
        true => Exit::Empty,
        false if probed == Exit::Done && scan.refused.is_empty() && report.is_complete() => Exit::Done,
        false => Exit::Incomplete,
    })
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
    if settings.verbosity > Verbosity::Quiet {
        write!(writer, "{}", summary(scan))?;
        if let Some(manifest) = manifest {
            let (path, videos, classes) = (shown(&manifest.path), manifest.len(), manifest.classes());
            writeln!(writer, "the manifest {path} has {videos} videos in {classes} classes\n")?;
        }
        report.write_tables(writer)?;
    }
    report.write_problems(writer, if verbose { usize::MAX } else { NAMED })
}
