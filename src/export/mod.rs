//! Exports for trainers, made from the feature files.

use std::path::{Path, PathBuf};

use anyhow::Context;
use reeldeck_common::atomic::{self, Owner, Sweeper};
use reeldeck_common::feature::Matrix;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::{Output, Recipe};
use reeldeck_common::video::VideoName;

use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::dataset::video_list::LabelStyle;
use crate::error::{Exit, ExitError};
use crate::format::{Axes, Format, RESULTS};
use crate::progress::Progress;

pub(crate) mod annotations;
pub(crate) mod csv;
pub(crate) mod dataset;
pub mod export_lock;
pub(crate) mod folder;
pub mod hdf5;
pub(crate) mod incremental;
mod inventory;
mod manifest;
pub(crate) mod missing;
pub mod npy;
pub mod npz;
pub(crate) mod pickle;
mod snippets;
mod space;
mod strided;

pub(crate) use inventory::{ExportedVideo, Inventory};

/// The file of an HDF5 export. ActionFormer recognises HDF5 by this ending.
pub(crate) const HDF5_FILE: &str = "features.hdf5";

/// Why an excluded video without a usable feature is not exported. It is not owed.
pub(crate) const EXCLUDED: &str = "excluded";

/// An export: a format and its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportSpec {
    /// The format.
    pub format: Format,
    /// The output that is exported. A `result.pkl` holds logits only.
    pub output: Output,
    /// The axis order, for npy, npz and h5.
    pub axes: Axes,
    /// Whether csv has the fewest digits.
    pub compact: bool,
    /// Whether npy has numbers of 16 bits.
    pub half: bool,
}

impl ExportSpec {
    /// The folder of the export. Each `ExportSpec` has its own folder, so that files of two exports never mix. `result.pkl` lies
    /// in the folder above.
    pub fn folder(&self, layout: &Layout) -> PathBuf {
        let mut name = self.format.name().to_owned();
        if self.output != Output::Logits {
            name.push('-');
            name.push_str(self.output.name());
        }
        if self.compact {
            name.push_str("-compact");
        }
        if self.half {
            name.push_str("-f16");
        }
        if self.axes == Axes::Ct {
            name.push_str("-ct");
        }
        if self.format == Format::Pkl { layout.exports() } else { layout.exports().join(name) }
    }

    /// What users of the export open: its folder, or `result.pkl`.
    pub fn result(&self, layout: &Layout) -> PathBuf {
        let folder = self.folder(layout);
        if self.format == Format::Pkl { folder.join(RESULTS) } else { folder }
    }

    /// The file name of a video, for formats with one file per video.
    pub fn file(&self, id: &str) -> String {
        format!("{id}.{}", self.format.name())
    }

    /// Appends the file of one video, for formats with one file per video.
    ///
    /// # Errors
    /// No error is known: everything happens in memory.
    pub fn encode(&self, matrix: &Matrix, out: &mut Vec<u8>) -> std::io::Result<()> {
        match self.format {
            Format::Csv => csv::write(matrix, self.compact, out),
            Format::Npz => npz::write(matrix, self.axes, out)?,
            Format::Npy if self.half => npy::write_half(matrix, self.axes, out),
            Format::Npy | Format::Pkl | Format::H5 => npy::write(matrix, self.axes, out),
        }
        Ok(())
    }
}

/// What to export, and where to.
#[derive(Clone, Copy, Debug)]
pub struct ExportJob<'a> {
    /// Output folder and feature set.
    pub layout: &'a Layout,
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The dataset as it is now.
    pub videos: &'a [VideoFile],
    /// The label after each video in `hacs_data.txt`.
    pub style: LabelStyle,
    /// Owner of temporary files.
    pub owner: &'a Owner,
}

/// The result of one export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The export.
    pub spec: ExportSpec,
    /// The file or folder that a trainer reads.
    pub path: PathBuf,
    /// Number of videos in it.
    pub videos: usize,
    /// Number of videos that were written. The others were kept.
    pub written: usize,
    /// Number of bytes that were written.
    pub bytes: u64,
    /// Number of files that were removed because their videos are not part of the export any more.
    pub removed: usize,
    /// Videos that are not in the export, with the reason.
    pub missing: Vec<(VideoName, String)>,
}

/// What an export would do.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    /// The videos with and without a feature.
    pub inventory: Inventory,
    /// One forecast per export.
    pub parts: Vec<Part>,
    /// Free bytes in the output folder.
    pub free: u64,
}

/// What one of several exports would do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// The export.
    pub spec: ExportSpec,
    /// Estimated number of videos in it.
    pub videos: usize,
    /// Number of videos that would be written. The others are kept.
    pub to_write: usize,
    /// Estimated disk space in addition to what is in use, in bytes.
    pub bytes: u64,
}

/// Computes what an export would do. Writes nothing.
///
/// # Errors
/// When the recipe does not store the output, or the free space or the record of an earlier export cannot be read.
pub(crate) fn forecast(job: &ExportJob<'_>, specs: &[ExportSpec], progress: &dyn Progress) -> anyhow::Result<Forecast> {
    let output = specs.first().map_or(Output::Logits, |spec| spec.output);
    for spec in specs {
        anyhow::ensure!(
            job.recipe.outputs.contains(&spec.output),
            ExitError::new(Exit::Usage, not_stored(spec, job.recipe))
        );
        debug_assert_eq!(spec.output, output, "one inventory serves all");
    }
    let inventory = inventory::inventory(job, output, progress)?;
    let samples = space::samples(job, &inventory, output);
    let parts = specs.iter().map(|spec| space::part(job, spec, &inventory, &samples)).collect::<Result<_, _>>()?;
    let free = space::free(job.layout.out())
        .with_context(|| format!("failed to ask for the space left in {}", shown(job.layout.out())))?;
    Ok(Forecast { inventory, parts, free })
}

fn not_stored(spec: &ExportSpec, recipe: &Recipe) -> String {
    let (output, recipe) = (spec.output.name(), &recipe.name);
    match spec.format {
        Format::Pkl => format!("result.pkl holds {output}, and the recipe {recipe} does not store them"),
        _ => format!("the recipe {recipe} does not store {output}; name another one of its outputs with --output"),
    }
}

/// Quotes a text for Python and YAML. Both accept a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The path of a folder with a slash at its end.
fn with_slash(folder: &Path) -> String {
    format!("{}/", folder.display())
}

/// Writes all exports once no other export is writing. If no video has a feature, it writes nothing and keeps what is
/// there.
///
/// # Errors
/// When the disk has too little space (nothing is written then), or when writing fails. Videos with unusable features are
/// left out and reported in [`Outcome`].
pub(crate) fn export(
    job: &ExportJob<'_>,
    specs: &[ExportSpec],
    progress: &dyn Progress,
) -> anyhow::Result<Vec<Outcome>> {
    let mut seen = forecast(job, specs, progress)?;
    let lock = if seen.inventory.items.is_empty() { None } else { Some(export_lock::wait(job.layout, progress)?) };
    if lock.as_ref().is_some_and(|lock| lock.waited) {
        seen = forecast(job, specs, progress)?;
    }
    space::check(&seen, job.layout.out())?;
    if lock.is_some() {
        sweep(job.layout, specs)?;
    }
    specs.iter().map(|spec| write(job, spec, &seen.inventory, progress)).collect()
}

/// Removes the temporary files of exports that were killed.
fn sweep(layout: &Layout, specs: &[ExportSpec]) -> anyhow::Result<()> {
    let folders = specs.iter().map(|spec| spec.folder(layout)).chain([layout.exports()]);
    for folder in folders {
        atomic::sweep_folder(&folder, &Sweeper::of_command())
            .with_context(|| format!("failed to list {}", shown(&folder)))?;
    }
    Ok(())
}

fn write(
    job: &ExportJob<'_>,
    spec: &ExportSpec,
    inventory: &Inventory,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    match spec.format {
        _ if inventory.items.is_empty() => Ok(Outcome {
            spec: *spec,
            path: spec.folder(job.layout),
            videos: 0,
            written: 0,
            bytes: 0,
            removed: 0,
            missing: inventory.missing.clone(),
        }),
        Format::Pkl => pickle::write(job, inventory, progress),
        Format::H5 => hdf5::write(job, spec, inventory, progress),
        Format::Csv | Format::Npy | Format::Npz => folder::write(job, spec, inventory, progress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_its_own_folder() {
        let layout = Layout::new(std::path::Path::new("/o"), "s");
        let mut folders = std::collections::BTreeSet::new();
        for format in [Format::Csv, Format::Npy, Format::Npz, Format::H5] {
            for output in [Output::Logits, Output::Pooled] {
                for axes in [Axes::Tc, Axes::Ct] {
                    for (compact, half) in [(false, false), (true, false), (false, true)] {
                        assert!(folders.insert(ExportSpec { format, output, axes, compact, half }.folder(&layout)));
                    }
                }
            }
        }
        let plain =
            ExportSpec { format: Format::Csv, output: Output::Logits, axes: Axes::Tc, compact: false, half: false };
        assert_eq!(plain.folder(&layout), PathBuf::from("/o/exports/s/csv"));
        assert_eq!(plain.file("v_mp4x"), "v_mp4x.csv");
    }
}
