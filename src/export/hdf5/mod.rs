//! The HDF5 export: one file with a dataset for each video, named after the video, as ActionFormer reads it.

mod writer;

pub use writer::Writer;

use std::fs;
use std::io;

use anyhow::Context;
use reeldeck_common::atomic;

use super::inventory::{ByName, by_name, made_from, read};
use super::manifest::ExportRecord;
use super::{ExportJob, ExportSpec, ExportedVideo, HDF5_FILE, Inventory, Outcome, dataset, npy, snippets};
use crate::dataset::shown;
use crate::format::Axes;
use crate::parallel::{ordered, threads};
use crate::progress::{Progress, Size};

/// Writes the file unless it is there and was made from the same features. Holds the name of each video and the numbers of a
/// few videos in memory.
///
/// # Errors
/// When the file cannot be written, and when cancelled. The old file is still there then.
pub fn write(
    job: &ExportJob<'_>,
    spec: &ExportSpec,
    inventory: &Inventory,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let folder = spec.folder(job.layout);
    let path = folder.join(HDF5_FILE);
    let failed = || format!("failed to write {}; check space and permissions, then run it again", shown(&path));
    fs::create_dir_all(&folder).with_context(failed)?;
    let ByName { items, same, missing: unnamed } = by_name(job, spec.output, inventory);
    let mut record = ExportRecord::open(&folder)?;
    let mut outcome = Outcome {
        spec: *spec,
        path: path.clone(),
        videos: 0,
        written: 0,
        bytes: 0,
        removed: 0,
        missing: inventory.missing.iter().chain(&unnamed).cloned().collect(),
    };
    let mut included: Vec<&ExportedVideo> = vec![];
    if record.kept(HDF5_FILE, &made_from(&items)).is_some() {
        included = items;
    } else {
        dataset::remove(&folder).with_context(failed)?;
        progress.begin("writing h5", Size::Items(items.len()));
        let written = atomic::write(&path, job.owner, |file| {
            let mut writer = Writer::new(file)?;
            let read = |item| (item, read(job, spec.output, item));
            ordered(threads(), items, read, |(item, matrix)| {
                match matrix {
                    Ok(matrix) => {
                        let shape = spec.axes.shape(matrix.shape);
                        match spec.axes {
                            Axes::Tc => writer.add(item.id(), shape, &matrix.data)?,
                            Axes::Ct => writer.add(item.id(), shape, &npy::transposed(&matrix))?,
                        }
                        included.push(item);
                        progress.step(matrix.data.len() as u64 * 4);
                    }
                    Err(why) => outcome.missing.push((item.entry.name.clone(), why)),
                }
                if progress.is_cancelled() { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { Ok(()) }
            })?;
            writer.finish()
        });
        if written.is_err() {
            progress.check_cancelled()?;
        }
        written.with_context(failed)?;
        outcome.written = included.len();
        outcome.bytes = record.add(HDF5_FILE, &made_from(&included)).with_context(failed)?;
        record.retain(job.owner, |made| made.file == HDF5_FILE).with_context(failed)?;
    }
    outcome.missing.sort_unstable();
    outcome.videos = included.len() + same.len();
    snippets::write(job, spec, &folder).with_context(failed)?;
    let describe = dataset::Description { job, spec, inventory, included: &included, same: &same };
    describe.write(&folder, &outcome.missing).with_context(failed)?;
    Ok(outcome)
}
