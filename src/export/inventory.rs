//! The videos that can be exported and those that cannot, by the headers of their features.

use std::collections::HashMap;

use reeldeck_common::digest::sha256;
use reeldeck_common::error::is_content;
use reeldeck_common::failure::FailureFile;
use reeldeck_common::feature::{CheckpointId, Feature, FeatureError, FrameCounts, Header, Matrix, Provenance};
use reeldeck_common::feature_status::{ExpectedFeature, FeatureStatus};
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::Output;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use reeldeck_common::{damaged, excluded};

use super::{EXCLUDED, ExportJob};
use crate::dataset::names;
use crate::dataset::scan::VideoFile;
use crate::dataset::video_list::{ListEntry, entries};
use crate::error::line_of;
use crate::parallel::{ordered, threads};
use crate::progress::{Progress, Size};

/// A video with a usable feature.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedVideo {
    /// The video and its label.
    pub entry: ListEntry,
    /// The digest of the feature.
    pub digest: String,
    /// Size and modification time of the feature file.
    pub stamp: SourceStamp,
    /// Frame counts of the video.
    pub frames: FrameCounts,
    /// Frames after resampling, if the recipe resamples.
    pub resampled: Option<u64>,
    /// Average frame rate as numerator and denominator; 0/1 if unknown.
    pub fps: [i32; 2],
    /// Displayed width and height, in pixels.
    pub size: [u32; 2],
}

impl ExportedVideo {
    /// The name that trainers use for the video.
    pub fn id(&self) -> &str {
        id(&self.entry.name)
    }

    /// What an exported file of this video is made from.
    pub fn from(&self) -> String {
        from(&self.digest, self.stamp)
    }
}

/// Identifies the content of a feature file by its digest, size and modification time. The digest alone does not suffice: it
/// is not verified before the whole file is read.
pub(super) fn from(digest: &str, stamp: SourceStamp) -> String {
    format!("{digest}-{}-{}", stamp.size, stamp.mtime_ns)
}

/// The videos of a dataset, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// Videos with a usable feature.
    pub items: Vec<ExportedVideo>,
    /// The other videos, with the reason.
    pub missing: Vec<(VideoName, String)>,
    /// The weights that made the features.
    pub checkpoint: Option<CheckpointId>,
}

/// The name that trainers use for a video: its file name without the extension.
///
/// MMAction2 replaces `mp4` by `csv` anywhere in the name, so that `v_mp4x.mp4` becomes `v_csvx.csv`, which its own loader
/// does not find. For all other names the result is the same.
pub(super) fn id(video: &VideoName) -> &str {
    video.file().rsplit_once('.').map_or(video.file(), |(stem, _)| stem)
}

/// Reads the header of every video's feature.
///
/// # Errors
/// When cancelled.
pub(super) fn inventory(job: &ExportJob<'_>, output: Output, progress: &dyn Progress) -> anyhow::Result<Inventory> {
    progress.begin("looking at the features", Size::Items(job.videos.len()));
    // Labels count the classes of the whole dataset, so they do not depend on which videos have a feature.
    let entries = entries(&names(job.videos), job.style);
    let mut inventory = Inventory::default();
    let private = job.layout.private();
    let excluded = excluded::read(&private)?;
    let look = |(video, entry): (&VideoFile, ListEntry)| (look(job, output, video), entry);
    ordered(threads(), job.videos.iter().zip(entries), look, |(found, entry)| {
        match found {
            Ok((Header { provenance, digest, .. }, stamp)) => {
                let Provenance { checkpoint, frames, resampled, fps, size, .. } = provenance;
                inventory.checkpoint.get_or_insert(checkpoint);
                inventory.items.push(ExportedVideo { entry, digest, stamp, frames, resampled, fps, size });
            }
            Err(_) if excluded.contains(&entry.name) => inventory.missing.push((entry.name, EXCLUDED.into())),
            Err(why) => inventory.missing.push((entry.name, why)),
        }
        progress.step(0);
        progress.check_cancelled()
    })?;
    Ok(inventory)
}

/// The header of a video's feature, and the stamp of the file.
///
/// # Errors
/// Why the feature cannot be exported.
pub(super) fn look(job: &ExportJob<'_>, output: Output, video: &VideoFile) -> Result<(Header, SourceStamp), String> {
    let path = job.layout.feature(&video.name);
    let read = |source| FeatureError::Read { path: path.clone(), source };
    // Read before the content, so that a write in between makes the file look changed.
    let (stamp, header) = match SourceStamp::read(&path).map_err(read).and_then(|at| Ok((at, Header::read(&path)?))) {
        Ok(read) => read,
        Err(error) if error.is_absent() => return Err(why_without(job.layout, video, "not extracted")),
        // The failure of the current file says more than the damage of the feature.
        Err(error) if error.is_damage() => return Err(why_without(job.layout, video, &line_of(&error))),
        Err(error) => return Err(line_of(&error)),
    };
    let expected = ExpectedFeature {
        set: job.layout.set(),
        recipe: job.recipe,
        outputs: &[output],
        video: &video.name,
        source: video.stamp,
    };
    match header.status(&expected) {
        FeatureStatus::Current => Ok((header, stamp)),
        other => Err(why_without(job.layout, video, &other.to_string())),
    }
}

/// Why a video has no usable feature: the failure of its current version, or `otherwise`.
fn why_without(layout: &Layout, video: &VideoFile, otherwise: &str) -> String {
    match FailureFile::of_version(&layout.failure(&video.name), video.stamp) {
        Ok(Some(file)) => {
            file.last().map_or_else(|| "failed".into(), |last| format!("failed: {}", last.failure.line()))
        }
        Ok(None) => otherwise.into(),
        Err(error) if is_content(&error) => "failed".into(),
        Err(error) => format!("it has no feature, and its failure file cannot be read: {error}"),
    }
}

/// The matrix of one video, if its feature has not changed since the inventory. Adds a damaged feature to the list of damaged
/// features, so that the next run extracts the video again.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read(job: &ExportJob<'_>, output: Output, item: &ExportedVideo) -> Result<Matrix, String> {
    let video = &item.entry.name;
    let path = job.layout.feature(video);
    let mut feature = Feature::read(&path).map_err(|error| {
        let why = line_of(&error);
        match error.is_damage().then(|| damaged::add(job.layout, video, item.stamp)) {
            Some(Err(error)) => format!("{why}; failed to write {}: {error}", damaged::path(job.layout).display()),
            _ => why,
        }
    })?;
    if feature.header().map_err(|error| error.to_string())?.digest != item.digest {
        return Err("its feature was replaced meanwhile; export again".into());
    }
    feature.tensors.remove(output.name()).ok_or_else(|| FeatureStatus::Lacks(output).to_string())
}

/// The videos of a format that knows videos by file name alone.
#[derive(Debug, Default)]
pub(super) struct ByName<'s> {
    /// One video for each file name, in the order of the dataset.
    pub items: Vec<&'s ExportedVideo>,
    /// Videos that have the file name and the numbers of one of `items`, which is the second of the pair. They share its
    /// file.
    pub same: Vec<(VideoName, VideoName)>,
    /// Videos that have the file name of one of `items` and other numbers.
    pub missing: Vec<(VideoName, String)>,
}

/// Assigns each file name to the first video that has it.
pub(super) fn by_name<'s>(job: &ExportJob<'_>, output: Output, inventory: &'s Inventory) -> ByName<'s> {
    let mut first: HashMap<&str, &ExportedVideo> = HashMap::new();
    let mut sorted = ByName::default();
    for item in &inventory.items {
        let name = &item.entry.name;
        let Some(holder) = first.get(id(name)) else {
            first.insert(id(name), item);
            sorted.items.push(item);
            continue;
        };
        let bits = |item: &ExportedVideo| {
            read(job, output, item).map(|m| (m.shape, m.data.into_iter().map(f32::to_bits).collect::<Vec<_>>()))
        };
        match (bits(item), bits(holder)) {
            (Ok(own), Ok(other)) if own == other => sorted.same.push((name.clone(), holder.entry.name.clone())),
            (Err(why), _) => sorted.missing.push((name.clone(), why)),
            (_, Err(why)) => sorted.missing.push((
                name.clone(),
                format!(
                    "{} has the same file name, and the two cannot be compared ({why}); extract that video again, then export",
                    holder.entry.name
                ),
            )),
            _ => sorted.missing.push((
                name.clone(),
                format!(
                    "{} has the same file name and another feature, and trainers tell videos by name; rename one",
                    holder.entry.name
                ),
            )),
        }
    }
    sorted
}

/// Identifies a file that contains these videos in this order.
pub(super) fn made_from(items: &[&ExportedVideo]) -> String {
    let mut text = String::new();
    for item in items {
        // Neither names nor digests contain line breaks.
        text.push_str(&format!("{} {} {}\n", item.from(), item.entry.label, item.entry.name));
    }
    sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_file_name_without_its_extension() {
        for (name, expected) in [
            ("A/v_1.mp4", "v_1"),
            ("A/v_mp4x.mp4", "v_mp4x"),
            ("A/v.1.webm", "v.1"),
            ("A/v", "v"),
            ("A b/my v.mkv", "my v"),
        ] {
            assert_eq!(id(&VideoName::new(name).unwrap()), expected);
        }
    }
}
