//! `dataset.json` beside each export: what it contains and how it was made.
//!
//! It is removed before the first file of an export changes, and written last. An export that has it is complete.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufReader, Write};
use std::path::Path;

use reeldeck_common::atomic;
use reeldeck_common::feature::CheckpointId;
use reeldeck_common::open;
use reeldeck_common::recipe::{Placement, Recipe};
use reeldeck_common::video::VideoName;
use serde::{Deserialize, Serialize};

use super::{ExportJob, ExportSpec, ExportedVideo, Inventory};
use crate::format::{Axes, Format};

/// The file's name.
pub(crate) const FILE: &str = "dataset.json";
/// The version of the structure.
const FORMAT: u32 = 1;

/// The content of the file.
pub(super) struct Description<'a> {
    pub job: &'a ExportJob<'a>,
    pub spec: &'a ExportSpec,
    pub inventory: &'a Inventory,
    /// The videos that have their own place in the export, in its order.
    pub included: &'a [&'a ExportedVideo],
    /// Videos that share the file of another video, and that video.
    pub same: &'a [(VideoName, VideoName)],
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    tool: &'static str,
    set: &'a str,
    files: Files<'a>,
    clips: Clips,
    checkpoint: Option<&'a CheckpointId>,
    recipe: &'a Recipe,
    videos: Vec<Video<'a>>,
    same: Vec<Same<'a>>,
    missing: Vec<Missing<'a>>,
}

#[derive(Serialize)]
struct Files<'a> {
    format: Format,
    output: &'a str,
    axes: Option<Axes>,
    /// Rows and columns; no number of rows if it depends on the video.
    shape: [Option<usize>; 2],
    dtype: &'static str,
}

#[derive(Serialize)]
struct Clips {
    /// Clips of each video; `None` if it depends on the video.
    count: Option<usize>,
    /// Length of a clip, in frames.
    length: usize,
    /// Distance between two frames of a clip, in frames of the video.
    interval: usize,
    /// Distance from the first to the last frame of a clip, in frames of the video, both included.
    span: u64,
    /// Distance between the starts of two clips, in frames, for clips at a constant stride.
    #[serde(skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    /// The rate that videos were resampled to before clips were taken; frames above are those of this rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    fps: Option<f64>,
    /// The middle of the first clip, in frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<f64>,
}

#[derive(Serialize)]
struct Video<'a> {
    id: &'a str,
    class: &'a str,
    video: &'a VideoName,
    /// The file in this folder, the dataset in the HDF5 file, or the index in `result.pkl`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    frames: u64,
    frames_expected: u64,
    frames_concealed: u64,
    /// Average frame rate; null if the container does not state it.
    fps: Option<f64>,
    fps_exact: [i32; 2],
    /// `frames / fps`.
    duration_s: Option<f64>,
    /// Rows of the feature, if it depends on the video.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    /// Frames after resampling, if the video was resampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    frames_resampled: Option<u64>,
    /// Average distance between the starts of consecutive clips, in frames.
    clip_stride: f64,
    width: u32,
    height: u32,
    feature: &'a str,
}

#[derive(Serialize)]
struct Same<'a> {
    video: &'a VideoName,
    same_as: &'a VideoName,
}

#[derive(Serialize)]
struct Missing<'a> {
    video: &'a VideoName,
    why: &'a str,
}

/// Whether the export in a folder has none or not all of these videos.
pub(crate) fn lacks(folder: &Path, videos: &[VideoName]) -> bool {
    #[derive(Deserialize)]
    struct Exported {
        videos: Vec<One>,
        same: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        video: VideoName,
    }
    let read =
        || -> io::Result<Exported> { Ok(serde_json::from_reader(BufReader::new(open::regular(&folder.join(FILE))?))?) };
    // A file that cannot be read is written again with the export.
    let Ok(Exported { videos: own, same }) = read() else { return true };
    let exported: HashSet<&VideoName> = own.iter().chain(&same).map(|one| &one.video).collect();
    videos.iter().any(|video| !exported.contains(video))
}

impl Description<'_> {
    /// Writes the file.
    pub(super) fn write(&self, folder: &Path, missing: &[(VideoName, String)]) -> io::Result<()> {
        let document = self.document(missing);
        atomic::write(&folder.join(FILE), self.job.owner, |writer| {
            serde_json::to_writer_pretty(&mut *writer, &document)?;
            writer.write_all(b"\n")
        })
    }

    fn document<'a>(&'a self, missing: &'a [(VideoName, String)]) -> Document<'a> {
        let Self { job, spec, inventory, included, same } = self;
        let sampling = &job.recipe.sampling;
        let shape = spec.axes.shape([sampling.fixed_rows(), Some(job.recipe.columns(spec.output))]);
        let windows = match sampling.placement {
            Placement::Windows { stride, fps, .. } => Some((stride, fps)),
            Placement::Spread { .. } => None,
        };
        Document {
            format: FORMAT,
            tool: concat!("reeldeck ", env!("CARGO_PKG_VERSION")),
            set: job.layout.set(),
            files: Files {
                format: spec.format,
                output: spec.output.name(),
                axes: (spec.format != Format::Pkl).then_some(spec.axes),
                shape,
                dtype: if spec.half { "float16" } else { "float32" },
            },
            clips: Clips {
                count: sampling.fixed_rows(),
                length: sampling.length,
                interval: sampling.interval,
                span: sampling.span(),
                stride: windows.map(|(stride, _)| stride),
                fps: windows.and_then(|(_, fps)| fps),
                offset: windows.map(|_| sampling.span() as f64 / 2.0),
            },
            checkpoint: inventory.checkpoint.as_ref(),
            recipe: job.recipe,
            videos: included.iter().enumerate().map(|(index, item)| self.video(index, item)).collect(),
            same: same.iter().map(|(video, same_as)| Same { video, same_as }).collect(),
            missing: missing.iter().map(|(video, why)| Missing { video, why }).collect(),
        }
    }

    fn video<'a>(&self, index: usize, item: &'a ExportedVideo) -> Video<'a> {
        let sampling = &self.job.recipe.sampling;
        let name = &item.entry.name;
        let [over, under] = item.fps;
        let fps = (over > 0 && under > 0).then(|| f64::from(over) / f64::from(under));
        let frames = item.frames.output;
        let sampled = item.resampled.unwrap_or(frames);
        let rows = sampling.rows(sampled);
        let clip_stride = match sampling.placement {
            Placement::Windows { stride, .. } => stride as f64,
            Placement::Spread { .. } => {
                let starts = sampling.starts(sampled);
                let reach = starts.last().zip(starts.first()).map_or(0, |(last, first)| last - first);
                reach as f64 / rows.saturating_sub(1).max(1) as f64
            }
        };
        let format = self.spec.format;
        Video {
            id: item.id(),
            class: name.class(),
            video: name,
            file: format.is_a_file_a_video().then(|| self.spec.file(item.id())),
            dataset: (format == Format::H5).then(|| item.id()),
            index: (format == Format::Pkl).then_some(index),
            frames,
            frames_expected: item.frames.expected,
            frames_concealed: item.frames.concealed,
            fps,
            fps_exact: item.fps,
            duration_s: fps.map(|fps| frames as f64 / fps),
            rows: sampling.fixed_rows().is_none().then_some(rows),
            frames_resampled: item.resampled,
            clip_stride,
            width: item.size[0],
            height: item.size[1],
            feature: &item.digest,
        }
    }
}

/// Removes the file before the export changes.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
