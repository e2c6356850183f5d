//! `reeldeck retry --list`: makes the next run extract the videos of a list again.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use reeldeck_common::bounded;
use reeldeck_common::feature::Header;
use reeldeck_common::layout::Layout;
use reeldeck_common::video::{VideoName, printable};

use super::list::MAX_NAMED;
use super::set::feature_set;
use crate::client;
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::scan;
use crate::dataset::shown;
use crate::engine::work;
use crate::error::{Exit, ExitError};
use crate::out::{self, count, errln, outln};

/// The maximum size of a list, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Removes the features and failure files of the videos in the list, so that the next run extracts them. An active run would
/// not notice, so it is refused. Files of videos that are not in the dataset folder stay: they could not be extracted again. Then it
/// returns [`Exit::Incomplete`].
///
/// # Errors
/// When the list cannot be read or has an invalid name, when a run holds the output folder, when the next run would store fewer
/// outputs than a feature has, or when a file cannot be removed.
/// An invalid list removes nothing.
pub(crate) fn run_list(settings: &Settings, list: &Path) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let set = feature_set(settings)?;
    let layout = Layout::new(&settings.out, &set);
    let videos = read(list)?;
    let there = scan(&settings.root, &settings.scan)?.videos;
    let there: HashSet<&VideoName> = there.iter().map(|video| &video.name).collect();
    let (videos, gone): (Vec<_>, Vec<_>) = videos.into_iter().partition(|video| there.contains(video));
    if let (Some(one), []) = (gone.first(), videos.as_slice()) {
        let (list, root) = (shown(list), shown(&settings.root));
        let message = format!(
            "no line of the list {list} is a video of {root}: `{}` is not there; write each path from that folder on",
            printable(one.as_str())
        );
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    let is_there = |path: &Path| path.try_exists().unwrap_or(false);
    let (mut features, mut failures, mut neither) = (0, 0, 0);
    if let (false, Some(holder)) = (settings.dry_run, client::runs(&settings.out)?.first()) {
        let message = format!(
            "a run is using this output folder ({}); stop it first, or retry the videos with `reeldeck retry PATTERN`",
            holder.in_words()
        );
        return Err(ExitError::new(Exit::Locked, message).into());
    }
    for video in &videos {
        let feature = layout.feature(video);
        if let Err(error) = Header::read(&feature)
            && !(error.is_absent() || error.is_damage())
        {
            let context = format!("{} cannot be read and may be whole; nothing was removed", shown(&feature));
            return Err(anyhow::Error::from(error).context(context));
        }
    }
    if let Some(why) = work::removes(&layout, &settings.recipe, &videos) {
        return Err(ExitError::new(Exit::Usage, format!("nothing was removed: {why}")).into());
    }
    for video in &videos {
        let (feature, failure) = (layout.feature(video), layout.failure(video));
        let has = (is_there(&feature), is_there(&failure));
        features += usize::from(has.0);
        failures += usize::from(has.1 && !has.0);
        neither += usize::from(has == (false, false));
        if !settings.dry_run {
            for path in [feature, failure] {
                remove(&path).with_context(|| format!("failed to remove {}; check permissions", shown(&path)))?;
            }
        }
    }
    if settings.verbosity > Verbosity::Quiet {
        let will = if settings.dry_run { "would be" } else { "will be" };
        outln!(
            "{} {will} extracted by the next run of {set}: {features} again, {failures} that failed, {neither} that \
             have no feature yet",
            count(videos.len(), "video", "videos")
        );
    }
    if gone.is_empty() {
        return Ok(Exit::Done);
    }
    let (are, their) =
        if gone.len() == 1 { ("video in the list is", "its") } else { ("videos in the list are", "their") };
    errln!("{} {are} not in the dataset folder; {their} features and failure files are kept:", gone.len());
    errln!("{}", out::first(&gone, gone.len(), MAX_NAMED));
    Ok(Exit::Incomplete)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads a list with one `Class/file` per line. A byte order mark, any line break and empty lines are accepted.
fn read(list: &Path) -> anyhow::Result<Vec<VideoName>> {
    let bad = |message: String| ExitError::new(Exit::Usage, format!("the list {}{message}", shown(list)));
    let failed = |error: io::Error| bad(format!(": {error}; name the retry.txt that verify wrote"));
    let text = bounded::read(list, MAX_BYTES).map_err(failed)?;
    let text = String::from_utf8(text).map_err(|_| bad(" is not UTF-8 text".into()))?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let mut videos: Vec<_> = lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| VideoName::new(line).map_err(|error| bad(format!(", line {}: {error}", at + 1))))
        .collect::<Result<_, _>>()?;
    videos.sort();
    videos.dedup();
    Ok(videos)
}
