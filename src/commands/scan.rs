//! `reeldeck scan`: what is in the dataset folder, and what was refused.

use reeldeck_contract::probe::Level;
use reeldeck_contract::video::printable;

use super::list::{refusals, summary};
use super::probe::probe_all;
use crate::cli::ScanArgs;
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::scan;
use crate::error::Exit;

/// Scans and prints, and has the videos checked where that is asked for. Ends as `list` does, and as
/// [`probe_all`] where not every video is healthy.
///
/// # Errors
/// Folders that cannot be used.
pub fn run_scan(settings: &Settings, args: &ScanArgs) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let scan = scan(&settings.root, &settings.extensions)?;
    if settings.verbosity > Verbosity::Normal {
        for video in &scan.videos {
            println!("{:>12}  {}", video.stamp.size, printable(video.name.as_str()));
        }
    }
    print!("{}{}", refusals(&scan.refused, settings.verbosity), summary(&scan));
    let found = match (scan.videos.is_empty(), scan.refused.is_empty()) {
        (true, _) => Exit::Empty,
        (false, true) => Exit::Done,
        (false, false) => Exit::Incomplete,
    };
    let level = match (args.quick, args.deep) {
        (_, true) => Level::Deep,
        (true, _) => Level::Quick,
        _ => return Ok(found),
    };
    let probed = probe_all(settings, &scan.videos, level)?;
    Ok(if probed == Exit::Done { found } else { probed })
}
