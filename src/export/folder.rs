//! Exports with one file per video: csv, npy, npz.

use std::fs;
use std::io;
use std::sync::Mutex;

use anyhow::Context;

use super::inventory::{ByName, by_name, from, id, look, read};
use super::manifest::{ExportRecord, Record, locked, put};
use super::{ExportJob, ExportSpec, ExportedVideo, Inventory, Outcome, dataset, npy, snippets};
use crate::dataset::shown;
use crate::parallel::{ordered, threads};
use crate::progress::{Progress, Size};

/// Why a video's file was not written.
pub(super) enum Fault {
    /// The feature cannot be used.
    Feature(String),
    /// The file cannot be written.
    Disk(io::Error),
}

/// Writes the files that are missing or outdated, then `dataset.json` and the snippets.
///
/// # Errors
/// When the output folder cannot be written to, and when cancelled. Files that are complete are kept by the next export.
pub(crate) fn write(
    job: &ExportJob<'_>,
    spec: &ExportSpec,
    inventory: &Inventory,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let folder = spec.folder(job.layout);
    let failed = || format!("failed to write to {}; check space and permissions, then run it again", shown(&folder));
    fs::create_dir_all(&folder).with_context(failed)?;
    let record = ExportRecord::open(&folder)?;
    let ByName { items, same, missing: unnamed } = by_name(job, spec.output, inventory);
    let (kept, to_write): (Vec<&ExportedVideo>, Vec<&ExportedVideo>) =
        items.iter().partition(|item| record.kept(&spec.file(item.id()), &item.from()).is_some());
    let mut outcome = Outcome {
        spec: *spec,
        path: folder.clone(),
        videos: 0,
        written: 0,
        bytes: 0,
        removed: 0,
        missing: inventory.missing.iter().chain(&unnamed).cloned().collect(),
    };
    if !to_write.is_empty() {
        dataset::remove(&folder).with_context(failed)?;
    }
    progress.begin(&format!("writing {}", spec.format.name()), Size::Items(to_write.len()));
    let mut included = kept;
    let record = Mutex::new(record);
    let make = |item| (item, make(job, spec, &record, item));
    ordered(threads(), to_write, make, |(item, made)| {
        match made {
            Ok(()) => {
                let bytes = locked(&record).add(&spec.file(item.id()), &item.from()).with_context(failed)?;
                outcome.written += 1;
                outcome.bytes += bytes;
                included.push(item);
                progress.step(bytes);
            }
            Err(Fault::Feature(why)) => {
                outcome.missing.push((item.entry.name.clone(), why));
                progress.step(0);
            }
            Err(Fault::Disk(error)) => {
                let file = folder.join(spec.file(item.id()));
                let message =
                    format!("failed to write {}; check space and permissions, then run it again", shown(&file));
                return Err(anyhow::Error::from(error).context(message));
            }
        }
        progress.check_cancelled()
    })?;
    included.sort_unstable_by(|a, b| a.entry.name.cmp(&b.entry.name));
    outcome.missing.sort_unstable();
    let files: std::collections::HashSet<String> = included.iter().map(|item| spec.file(item.id())).collect();
    let is_wanted = |made: &Record| files.contains(&made.file) || is_new(job, spec, made);
    outcome.removed = locked(&record).retain(job.owner, is_wanted).with_context(failed)?;
    outcome.videos = included.len() + same.len();
    snippets::write(job, spec, &folder).with_context(failed)?;
    let describe = dataset::Description { job, spec, inventory, included: &included, same: &same };
    describe.write(&folder, &outcome.missing).with_context(failed)?;
    Ok(outcome)
}

/// Whether a file is that of a video whose feature was made after the inventory. A run may have exported it meanwhile.
fn is_new(job: &ExportJob<'_>, spec: &ExportSpec, made: &Record) -> bool {
    let mut videos = job.videos.iter().filter(|video| is_file_of(spec, &made.file, id(&video.name)));
    videos.any(|video| {
        look(job, spec.output, video).is_ok_and(|(header, stamp)| from(&header.digest, stamp) == made.from)
    })
}

fn is_file_of(spec: &ExportSpec, file: &str, id: &str) -> bool {
    file.starts_with(id) && file == spec.file(id)
}

fn make(
    job: &ExportJob<'_>,
    spec: &ExportSpec,
    record: &Mutex<ExportRecord>,
    item: &ExportedVideo,
) -> Result<(), Fault> {
    let matrix = read(job, spec.output, item).map_err(Fault::Feature)?;
    if spec.half && !npy::fits_half(&matrix) {
        let why = "its numbers exceed 65504, the largest of float16; export it without --float16";
        return Err(Fault::Feature(why.into()));
    }
    let mut bytes = vec![];
    spec.encode(&matrix, &mut bytes).map_err(Fault::Disk)?;
    put(record, &spec.file(item.id()), &item.from(), &bytes, job.owner).map_err(Fault::Disk)
}
