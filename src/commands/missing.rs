//! `reeldeck missing`: the lists by which to fetch or request what the manifest has and the dataset folder has not.

use anyhow::Context;
use reeldeck_contract::atomic::Owner;

use crate::config::{Settings, Verbosity};
use crate::dataset::report::Report;
use crate::dataset::scan::scan;
use crate::dataset::shown;
use crate::dataset::state::Probes;
use crate::error::Exit;
use crate::export::missing::{self, BLOCK_LIST, DOWNLOAD, REQUEST, Written};
use crate::outln;

/// Scans and writes the lists in `missing` in the output folder. Ends with [`Exit::Incomplete`] while anything is missing
/// or corrupt.
///
/// # Errors
/// Folders that cannot be used, no manifest or one that cannot be read, and lists that cannot be written; the old ones
/// are still there then.
pub fn run_missing(settings: &Settings) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let manifest = super::needed_manifest(settings)?;
    let scan = scan(&settings.root, &settings.extensions)?;
    let probes = Probes::new();
    let report = Report::new(Some(&manifest), &scan, &probes, settings.tolerance_s);
    let folder = settings.out.join("missing");
    let (written, wrote) = if settings.dry_run {
        (missing::count(&report), "would write")
    } else {
        let failed = || format!("failed to write the lists in {}; check space and permissions", shown(&folder));
        (missing::write(&folder, &report, &Owner::this_process()).with_context(failed)?, "wrote")
    };
    let Written { wanted, requested, addresses } = written;
    if settings.verbosity > Verbosity::Quiet {
        outln!("{wanted} of {} videos are missing or corrupt", manifest.len());
        outln!("{wrote} to {}:", shown(&folder));
        outln!("  {REQUEST}: {requested} lines `id,class`, a request to the dataset's maintainers");
        outln!("  {BLOCK_LIST}: {wanted} ids, OpenTAD's block list");
        outln!("  {DOWNLOAD}: {addresses} addresses, such as `yt-dlp --batch-file` reads");
        if requested < wanted {
            let without = wanted - requested;
            outln!("note: {without} without a class are not in {REQUEST}; ask for testing videos as a whole");
        }
        if addresses < wanted {
            outln!("note: {} are not in {DOWNLOAD}; the manifest has no address of them", wanted - addresses);
        }
    }
    Ok(if wanted == 0 { Exit::Done } else { Exit::Incomplete })
}
