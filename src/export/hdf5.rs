//! HDF5: one file, in it a dataset for each video by the video's name, as ActionFormer reads it.

use std::fs;
use std::io;

use anyhow::Context;
use reeldeck_common::atomic;
use reeldeck_common::feature::Matrix;
use rust_hdf5::{H5File, Hdf5Error};

use super::inventory::{ByName, by_name, made_from, read};
use super::manifest::Manifest;
use super::{Inventory, Item, Job, Outcome, Variant, dataset, npy, snippets};
use crate::dataset::shown;
use crate::format::Axes;
use crate::parallel::{ordered, threads};
use crate::progress::{Progress, Size};

/// The file's name. ActionFormer knows HDF5 by this ending.
pub const FILE: &str = "features.hdf5";

/// Writes the file anew unless it was made from the same features. Holds some 2 KiB in memory for each video, and the
/// numbers of a few.
///
/// # Errors
/// When the file cannot be written, and when interrupted; the old one is still there then.
pub fn write(
    job: &Job<'_>,
    variant: &Variant,
    inventory: &Inventory,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let folder = variant.folder(job.layout);
    let path = folder.join(FILE);
    let failed = || format!("failed to write {}; check space and permissions, then run it again", shown(&path));
    fs::create_dir_all(&folder).with_context(failed)?;
    let ByName { items, same, missing: unnamed } = by_name(job, variant.output, inventory);
    let mut record = Manifest::open(&folder);
    let mut outcome = Outcome {
        variant: *variant,
        path: path.clone(),
        videos: 0,
        written: 0,
        bytes: 0,
        removed: 0,
        missing: inventory.missing.iter().chain(&unnamed).cloned().collect(),
    };
    let mut included: Vec<&Item> = vec![];
    if record.kept(FILE, &made_from(&items)).is_some() {
        included = items;
    } else {
        dataset::remove(&folder).with_context(failed)?;
        progress.begin("writing h5", Size::Items(items.len()));
        let written = atomic::write_at(&path, job.owner, |temporary| {
            let file = H5File::options().no_locking().create(temporary).map_err(of_hdf5)?;
            let read = |item| (item, read(job, variant.output, item));
            ordered(threads(), items, read, |(item, matrix)| {
                match matrix {
                    Ok(matrix) => {
                        add(&file, item.id(), &matrix, variant.axes).map_err(of_hdf5)?;
                        included.push(item);
                        progress.step(matrix.data.len() as u64 * 4);
                    }
                    Err(why) => outcome.missing.push((item.entry.name.clone(), why)),
                }
                if progress.is_cancelled() { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { Ok(()) }
            })?;
            file.close().map_err(of_hdf5)
        });
        if written.is_err() {
            progress.check_cancelled()?;
        }
        written.with_context(failed)?;
        outcome.written = included.len();
        outcome.bytes = record.add(FILE, &made_from(&included)).with_context(failed)?;
        record.retain(job.owner, |file| file == FILE).with_context(failed)?;
    }
    outcome.missing.sort_unstable();
    outcome.videos = included.len() + same.len();
    snippets::write(job, variant, &folder).with_context(failed)?;
    let describe = dataset::Description { job, variant, inventory, included: &included, same: &same };
    describe.write(&folder, &outcome.missing).with_context(failed)?;
    Ok(outcome)
}

fn add(file: &H5File, id: &str, matrix: &Matrix, axes: Axes) -> Result<(), Hdf5Error> {
    let shape = axes.shape(matrix.shape);
    let dataset = file.new_dataset::<f32>().shape(shape).create(id)?;
    match axes {
        Axes::Tc => dataset.write_raw(&matrix.data),
        Axes::Ct => dataset.write_raw(&npy::transposed(matrix)),
    }
}

fn of_hdf5(error: Hdf5Error) -> io::Error {
    match error {
        Hdf5Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_always_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let matrix = Matrix { shape: [2, 3], data: vec![1.0, 2.0, 3.0, 4.0, 5.0, -0.5] };
        let write = |name: &str| {
            let path = dir.path().join(name);
            let file = H5File::options().no_locking().create(&path).unwrap();
            add(&file, "v_-a b.é", &matrix, Axes::Tc).unwrap();
            add(&file, "v_2", &matrix, Axes::Ct).unwrap();
            file.close().unwrap();
            path
        };
        let (first, second) = (write("a.hdf5"), write("b.hdf5"));
        assert_eq!(fs::read(&first).unwrap(), fs::read(second).unwrap());
        let file = H5File::open(&first).unwrap();
        assert_eq!(file.dataset("v_-a b.é").unwrap().read_raw::<f32>().unwrap(), matrix.data);
        let turned = file.dataset("v_2").unwrap();
        assert_eq!((turned.shape(), turned.read_raw::<f32>().unwrap()[1]), (vec![3, 2], 4.0));
    }
}
