//! `reeldeck missing`: writes download and request lists for manifest videos that are not on disk.

use std::sync::Arc;

use anyhow::Context;
use reeldeck_common::atomic::Owner;

use super::watch::{self, Current};
use crate::cli::WatchArgs;
use crate::config::{Settings, Verbosity};
use crate::dataset::probe::known;
use crate::dataset::report::{Report, Row};
use crate::dataset::scan::scan;
use crate::dataset::shown;
use crate::dataset::state::State;
use crate::error::Exit;
use crate::export::missing::{self, BLOCK_LIST, DOWNLOAD, REQUEST, Written};
use crate::out::count;
use crate::out::outln;
use crate::signals::cancel_on_signal;

/// Writes the lists into `missing` in the output folder; with `--watch`, again whenever they change. Returns
/// [`Exit::Incomplete`] if a video is missing or corrupt.
///
/// # Errors
/// When the folders cannot be used, the manifest cannot be read, or a list cannot be written. Then the old lists stay.
pub(crate) fn run_missing(settings: &Settings, args: &WatchArgs) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let manifest = super::needed_manifest(settings)?;
    let cancel = match args.watch {
        true => cancel_on_signal(None).context("failed to catch signals")?,
        false => Arc::default(),
    };
    let mut scan = scan(&settings.root, &settings.scan)?;
    super::check_readable(&scan, settings)?;
    let watched = args.watch.then(|| watch::begin(settings, args, &mut scan)).transpose()?;
    let probes = known(&settings.out, &scan.videos)?;
    let manifest = Some(&manifest);
    let mut current = Current { settings, manifest, scan, probes, checker: None };
    let mut wanted = write(settings, &current.report())?;
    let mut is_current = true;
    if let Some(watched) = watched {
        is_current = watch::follow(&mut current, watched, &cancel, &mut |_, report, changes| {
            let is_wanted = |state: &Option<State>| state.as_ref().is_some_and(State::is_wanted);
            if changes.iter().any(|change| is_wanted(&change.was) != is_wanted(&change.now)) {
                wanted = write(settings, report)?;
            }
            Ok(())
        })?;
    }
    Ok(if wanted == 0 && is_current { Exit::Done } else { Exit::Incomplete })
}

/// Writes the lists. Returns the number of missing and corrupt videos.
fn write(settings: &Settings, report: &Report<'_>) -> anyhow::Result<usize> {
    let folder = settings.out.join("missing");
    let (written, wrote) = if settings.dry_run {
        (missing::count(report), "would write")
    } else {
        let failed = || format!("failed to write the lists in {}; check space and permissions", shown(&folder));
        (missing::write(&folder, report, &Owner::this_process()).with_context(failed)?, "wrote")
    };
    let Written { wanted, requested, addresses } = written;
    if settings.verbosity > Verbosity::Quiet {
        outln!("{wanted} of {} missing or corrupt", count(report.listed_videos(), "video", "videos"));
        outln!("{wrote} to {}:", shown(&folder));
        let (lines, ids) = (count(requested, "line", "lines"), count(wanted, "id", "ids"));
        outln!("  {REQUEST}: {lines} `id,class`, a request to the dataset's maintainers");
        outln!("  {BLOCK_LIST}: {ids}, OpenTAD's block list");
        let urls = count(addresses, "URL", "URLs");
        outln!("  {DOWNLOAD}: {urls} for `yt-dlp --batch-file`");
        if requested < wanted {
            let without = wanted - requested;
            let videos = count(without, "video", "videos");
            outln!("note: {REQUEST} leaves out {videos} without a class; request testing videos as a whole");
        }
        let is_unchecked = |row: &Row<'_>| row.listed.is_some() && row.state == State::Unchecked;
        let unchecked = report.rows().filter(is_unchecked).count();
        if unchecked > 0 {
            let videos = count(unchecked, "video has", "videos have");
            outln!("note: {videos} not been checked; `reeldeck scan --quick` checks them");
        }
        if addresses < wanted {
            outln!("note: {DOWNLOAD} leaves out {} without a URL", count(wanted - addresses, "video", "videos"));
        }
    }
    Ok(wanted)
}
