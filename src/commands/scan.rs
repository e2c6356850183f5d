//! `reeldeck scan`: what is in the dataset folder, and what was refused.

use reeldeck_contract::video::printable;

use super::list::{refusals, summary};
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::scan;
use crate::error::Exit;
use crate::out;
use crate::outln;

/// Scans and prints. Ends as `list` does.
///
/// # Errors
/// Folders that cannot be used.
pub fn run_scan(settings: &Settings) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let scan = scan(&settings.root, &settings.extensions)?;
    if settings.verbosity > Verbosity::Normal {
        for video in &scan.videos {
            outln!("{:>12}  {}", video.stamp.size, printable(video.name.as_str()));
        }
    }
    out::stdout(format_args!("{}{}", refusals(&scan.refused, settings.verbosity), summary(&scan)));
    Ok(match (scan.videos.is_empty(), scan.refused.is_empty()) {
        (true, _) => Exit::Empty,
        (false, true) => Exit::Done,
        (false, false) => Exit::Incomplete,
    })
}
