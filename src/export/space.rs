//! Estimates the disk space of an export before anything is written.

use std::io;
use std::path::Path;

use indicatif::DecimalBytes;
use reeldeck_common::feature::{Feature, Matrix};
use reeldeck_common::machine::disk_space;
use reeldeck_common::recipe::Output;
use reeldeck_pickle::results::ResultsWriter;

use super::inventory::made_from;
use super::manifest::ExportRecord;
use super::pickle::{LIST, push};
use super::{ExportJob, ExportSpec, ExportedVideo, Forecast, HDF5_FILE, Inventory, Part};
use crate::dataset::shown;
use crate::error::{Exit, ExitError};
use crate::format::{Format, RESULTS};

/// Number of features whose text is generated to estimate its length.
const SAMPLES: usize = 8;
/// The block size of common file systems, in bytes.
const BLOCK: u64 = 4096;
/// Bytes per video in an HDF5 file in addition to its numbers.
const HDF5_ENTRY: u64 = 256;

/// The matrices of a few videos, spread over the dataset. Unreadable ones are left out.
pub(super) fn samples(job: &ExportJob<'_>, inventory: &Inventory, output: Output) -> Vec<Matrix> {
    let step = inventory.items.len().div_ceil(SAMPLES).max(1);
    let read = |item: &ExportedVideo| {
        let mut feature = Feature::read(&job.layout.feature(&item.entry.name)).ok()?;
        feature.tensors.remove(output.name())
    };
    inventory.items.iter().step_by(step).filter_map(read).collect()
}

/// The forecast of one spec.
///
/// # Errors
/// When the record of an earlier export cannot be read.
pub(super) fn part(
    job: &ExportJob<'_>,
    spec: &ExportSpec,
    inventory: &Inventory,
    samples: &[Matrix],
) -> anyhow::Result<Part> {
    let record = ExportRecord::open(&spec.folder(job.layout))?;
    let all: Vec<&ExportedVideo> = inventory.items.iter().collect();
    let each = each(job, spec, samples);
    let whole = |is_there: bool| if is_there { (0, 0) } else { (all.len(), each * all.len() as u64) };
    let (to_write, bytes) = match spec.format {
        // The old file is removed only when the new one is complete.
        Format::Pkl => {
            let from = made_from(&all);
            whole([RESULTS, LIST].iter().all(|file| record.kept(file, &from).is_some()))
        }
        Format::H5 => whole(record.kept(HDF5_FILE, &made_from(&all)).is_some()),
        Format::Csv | Format::Npy | Format::Npz => {
            let files = all.iter().map(|item| (spec.file(item.id()), item.from()));
            let to_write: Vec<String> =
                files.filter(|(file, from)| record.kept(file, from).is_none()).map(|(file, _)| file).collect();
            let old: u64 = to_write.iter().map(|file| record.size(file)).sum();
            (to_write.len(), (each.next_multiple_of(BLOCK) * to_write.len() as u64).saturating_sub(old))
        }
    };
    Ok(Part { spec: *spec, videos: all.len(), to_write, bytes })
}

/// Average bytes per video.
fn each(job: &ExportJob<'_>, spec: &ExportSpec, samples: &[Matrix]) -> u64 {
    let size = |matrix: &Matrix| -> u64 {
        let mut bytes = vec![];
        match spec.format {
            Format::H5 => return matrix.data.len() as u64 * 4 + HDF5_ENTRY,
            Format::Pkl => {
                let pushed =
                    ResultsWriter::new(&mut bytes).and_then(|mut pickle| push(&mut pickle, matrix, job.recipe, -1));
                if pushed.is_err() {
                    return 0;
                }
            }
            Format::Csv | Format::Npy | Format::Npz => {
                if spec.encode(matrix, &mut bytes).is_err() {
                    return 0;
                }
            }
        }
        bytes.len() as u64
    };
    samples.iter().map(size).sum::<u64>().div_ceil(samples.len().max(1) as u64)
}

/// Free bytes on the file system of the output folder, which need not exist.
pub(super) fn free(out: &Path) -> io::Result<u64> {
    let mut there = Path::new("/");
    for folder in out.ancestors() {
        if folder.try_exists()? {
            there = folder;
            break;
        }
    }
    disk_space(there).map(|space| space.free)
}

/// Fails if the export does not fit.
pub(super) fn check(forecast: &Forecast, out: &Path) -> anyhow::Result<()> {
    let needed: u64 = forecast.parts.iter().map(|part| part.bytes).sum();
    if needed <= forecast.free {
        return Ok(());
    }
    let parts: Vec<String> =
        forecast.parts.iter().map(|part| format!("{} {}", part.spec.format.name(), DecimalBytes(part.bytes))).collect();
    let message = format!(
        "the export takes about {} ({}), and {} has {} left; make room, or choose another format or --compact",
        DecimalBytes(needed),
        parts.join(", "),
        shown(out),
        DecimalBytes(forecast.free)
    );
    Err(ExitError::new(Exit::Internal, message).into())
}

#[cfg(test)]
mod tests {
    use super::super::pickle::PAIR;
    use super::*;

    #[test]
    fn an_export_that_does_not_fit_is_refused_with_the_numbers() {
        let part = Part { spec: PAIR, videos: 1, to_write: 1, bytes: 2_000_000_000 };
        let mut forecast = Forecast { inventory: Inventory::default(), parts: vec![part, part], free: 4_000_000_000 };
        check(&forecast, Path::new("/out")).unwrap();
        forecast.free -= 1;
        let error = check(&forecast, Path::new("/out")).unwrap_err().to_string();
        assert!(error.contains("about 4.00 GB (pkl 2.00 GB, pkl 2.00 GB), and /out has 4.00 GB left"), "{error}");
        assert!(free(Path::new("/no/such/folder")).unwrap() > 0);
    }
}
