//! Everything about one video, read from its files on request. Reading may take long and runs on a thread of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use jiff::Timestamp;
use reeldeck_common::error::is_absent;
use reeldeck_common::failure::FailureFile;
use reeldeck_common::feature::{Feature, Matrix};
use reeldeck_common::layout::Layout;

use super::table::Entry;
use crate::engine::inspector::InspectRequest;
use crate::protocol::details::{Details, FeatureDetails, NAMED_CLASSES};
use crate::protocol::row::{Finding, Row, RowState};

/// The number of rows of a heat map.
const HEAT_ROWS: usize = 32;
/// The number of parts of a video that a timeline has at most.
const PARTS: usize = 1000;

/// What answers need besides the table.
pub(crate) struct Context {
    /// The dataset folder.
    pub root: PathBuf,
    /// The output folder.
    pub layout: Layout,
    /// The engine's log.
    pub log_file: PathBuf,
    /// The names of the network's classes, in order; empty where they are unknown.
    pub class_names: Vec<String>,
    /// Inspects the dataset.
    pub inspector: Sender<InspectRequest>,
}

impl Context {
    /// Reads the files of a video.
    pub(crate) fn details(&self, entry: Entry) -> Details {
        let Entry { mut row, file, container, fps, listed } = entry;
        let name = file.as_ref().map(|file| &file.name);
        let path = name.map(|name| name.under(&self.root));
        let attempts = name.and_then(|name| {
            let path = self.layout.failure(name);
            FailureFile::read(&path).unwrap_or_else(|error| {
                let unread = format!("failed to read its attempts in {}: {error}", path.display());
                row.reason = Some(row.reason.take().map_or(unread.clone(), |reason| format!("{reason}; {unread}")));
                None
            })
        });
        let (mut feature, mut feature_error, mut fps) = (None, None, fps);
        if let Some(name) = name.filter(|_| row.has_feature) {
            let path = self.layout.feature(name);
            match Feature::read(&path) {
                Ok(read) => {
                    let [num, den] = read.provenance.fps;
                    fps = fps.or((num > 0 && den > 0).then(|| f64::from(num) / f64::from(den)));
                    feature = Some(look_into(&path, &read, &self.class_names));
                }
                // The text of the error names the file.
                Err(error) => feature_error = Some(format!("{:#}", anyhow::Error::from(error))),
            }
        }
        Details {
            next_step: next_step(&row, reason_of(attempts.as_ref(), &row)).map(str::to_owned),
            modified: file.as_ref().and_then(|file| Timestamp::from_nanosecond(file.stamp.mtime_ns.into()).ok()),
            path: path_on_disk(&row, path, &self.root),
            container,
            fps,
            attempts: attempts.map(|file| file.attempts).unwrap_or_default(),
            listed: listed.and_then(|(listing, position)| listing.details(position)),
            feature,
            feature_error,
            row,
        }
    }
}

/// The path of a row's file, if it is on disk. `path`: that of a video.
fn path_on_disk(row: &Row, path: Option<PathBuf>, root: &Path) -> Option<PathBuf> {
    match row.state {
        RowState::Missing => None,
        state if state.is_video() => path,
        // The row may not spell the name of such a file exactly.
        _ => Some(root.join(&row.video)).filter(|path| !path.symlink_metadata().is_err_and(|error| is_absent(&error))),
    }
}

/// The reason for a row's state: that of the last attempt for a failed video.
fn reason_of(attempts: Option<&FailureFile>, row: &Row) -> String {
    let last = attempts.filter(|_| row.state == RowState::Failed).and_then(FailureFile::last);
    last.map(|attempt| attempt.failure.line()).or_else(|| row.reason.clone()).unwrap_or_default()
}

/// The next step for a row, whose state or worst finding has this reason.
fn next_step(row: &Row, reason: String) -> Option<&'static str> {
    use crate::dataset::state::State;
    match (row.state, row.findings.worst()) {
        (RowState::Missing, _) => State::Missing.next_step(),
        (RowState::Excluded, _) => Some("include it again to have it extracted"),
        (RowState::Stale, _) => Some("extract it again: the file has changed since"),
        (RowState::LeftOut, _) => Some("run without --limit"),
        (_, Some(Finding::Corrupt)) => State::Corrupt { reason }.next_step(),
        (RowState::Failed, _) => Some("fix the cause, then retry"),
        (_, Some(Finding::Damaged)) => Some("start a run: it extracts the video again"),
        (_, Some(Finding::WrongDuration)) => State::WrongDuration { have: 0.0, want: 0.0 }.next_step(),
        (_, Some(Finding::Duplicate)) => State::Duplicate { files: vec![] }.next_step(),
        (_, Some(Finding::Degraded)) => Some(State::next_step_of_degraded(&reason)),
        (_, Some(Finding::Unlisted)) => State::Unlisted.next_step(),
        _ => None,
    }
}

fn look_into(path: &Path, feature: &Feature, class_names: &[String]) -> FeatureDetails {
    let provenance = &feature.provenance;
    let written = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let logits = feature.tensors.get("logits");
    let any = logits.or_else(|| feature.tensors.values().next());
    let (top1, classes) = logits.map(|logits| top_classes(logits, class_names)).unwrap_or_default();
    FeatureDetails {
        path: path.to_owned(),
        written: written.and_then(|time| Timestamp::try_from(time).ok()),
        tensors: feature.tensors.iter().map(|(name, matrix)| (name.clone(), matrix.shape.to_vec())).collect(),
        set: provenance.set.clone(),
        checkpoint: provenance.checkpoint.name.clone(),
        synthetic_weights: provenance.checkpoint.synthetic_weights,
        precision: provenance.precision.name().into(),
        device: provenance.device.clone(),
        frames: [provenance.frames.expected, provenance.frames.output, provenance.frames.concealed],
        top1,
        classes,
        similarity: if logits.is_none() { any.map(similarity).unwrap_or_default() } else { vec![] },
        heat: any.map(heat).unwrap_or_default(),
    }
}

/// The name of a class of the network.
fn class_name(names: &[String], class: usize, classes: usize) -> String {
    // A list of another length belongs to another network.
    let name = if names.len() == classes { names.get(class).cloned() } else { None };
    name.unwrap_or_else(|| format!("#{class}"))
}

/// For each clip the rank of its top class among the most frequent ones, and those classes with their counts.
fn top_classes(logits: &Matrix, names: &[String]) -> (Vec<u8>, Vec<(String, u32)>) {
    let [_, columns] = logits.shape;
    let largest = |row: &[f32]| {
        let larger = |best: (usize, f32), (at, value): (usize, &f32)| if *value > best.1 { (at, *value) } else { best };
        row.iter().enumerate().fold((0, f32::NEG_INFINITY), larger).0
    };
    let tops: Vec<usize> = logits.data.chunks_exact(columns.max(1)).map(largest).collect();
    let mut counts: HashMap<usize, u32> = HashMap::new();
    tops.iter().for_each(|top| *counts.entry(*top).or_default() += 1);
    let mut counts: Vec<(usize, u32)> = counts.into_iter().collect();
    counts.sort_by_key(|(class, count)| (std::cmp::Reverse(*count), *class));
    counts.truncate(NAMED_CLASSES);
    let place = |top: &usize| counts.iter().position(|(class, _)| class == top).unwrap_or(counts.len()) as u8;
    let top1 = tops.iter().map(place).collect();
    (top1, counts.iter().map(|(class, count)| (class_name(names, *class, columns), *count)).collect())
}

/// The first and one past the last clip of each equal part of a video. No screen shows more than [`PARTS`].
fn parts(clips: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = clips.min(PARTS);
    (0..count).map(move |part| (part * clips / count, (part + 1) * clips / count))
}

/// The cosine of the angle between the first clip and each part's first one.
fn similarity(matrix: &Matrix) -> Vec<f32> {
    let [clips, columns] = matrix.shape;
    let row = |clip: usize| matrix.data.get(clip * columns..(clip + 1) * columns).unwrap_or_default();
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let first = row(0);
    let cosine = |(clip, _)| {
        let other = row(clip);
        let norm = (product(first, first) * product(other, other)).sqrt();
        if norm > 0.0 { (product(first, other) / norm) as f32 } else { 0.0 }
    };
    parts(clips).map(cosine).collect()
}

/// The means of groups of neighbouring columns, one row for each group, scaled to 0 to 255 over the range of all means.
fn heat(matrix: &Matrix) -> Vec<Vec<u8>> {
    let [clips, columns] = matrix.shape;
    if columns == 0 || clips == 0 {
        return vec![];
    }
    let groups = columns.min(HEAT_ROWS);
    let mean = |(first, end): (usize, usize), group: usize| {
        let (from, to) = (group * columns / groups, (group + 1) * columns / groups);
        let row = |clip: usize| matrix.data.get(clip * columns + from..clip * columns + to).unwrap_or_default();
        let sum: f64 = (first..end).flat_map(row).map(|value| f64::from(*value)).sum();
        sum / ((to - from) * (end - first)).max(1) as f64
    };
    let row = |group: usize| parts(clips).map(|part| mean(part, group)).collect();
    let means: Vec<Vec<f64>> = (0..groups).map(row).collect();
    let finite = || means.iter().flatten().copied().filter(|mean| mean.is_finite());
    let (least, most) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let scale = if most > least { 255.0 / (most - least) } else { 0.0 };
    // NaN becomes 0.
    let shade = |mean: &f64| ((mean - least) * scale).round() as u8;
    means.iter().map(|row| row.iter().map(shade).collect()).collect()
}

#[cfg(test)]
mod tests {
    use reeldeck_common::source::SourceStamp;
    use reeldeck_common::video::VideoName;

    use super::*;
    use crate::dataset::scan::VideoFile;

    fn matrix(rows: &[&[f32]]) -> Matrix {
        Matrix { shape: [rows.len(), rows[0].len()], data: rows.concat() }
    }

    #[test]
    fn the_timeline_names_the_most_frequent_classes() {
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let logits = matrix(&[&[0.0, 2.0, 1.0], &[5.0, 2.0, 1.0], &[0.0, 2.0, 9.0], &[-3.0, -2.0, -1.0]]);
        let (top1, classes) = top_classes(&logits, &names);
        assert_eq!(top1, [2, 1, 0, 0]);
        assert_eq!(classes, [("c".to_owned(), 2), ("a".to_owned(), 1), ("b".to_owned(), 1)]);
        assert_eq!(top_classes(&logits, &[]).1[0].0, "#2");
        assert_eq!(top_classes(&logits, &names[..2]).1[0].0, "#2");
        // Classes beyond the named ones share one rank.
        let many: Vec<Vec<f32>> = (0..20).map(|i| (0..20).map(|j| if i == j { 1.0 } else { 0.0 }).collect()).collect();
        let many: Vec<&[f32]> = many.iter().map(Vec::as_slice).collect();
        let (top1, classes) = top_classes(&matrix(&many), &[]);
        assert_eq!((classes.len(), top1[7], top1[8], top1[19]), (NAMED_CLASSES, 7, 8, 8));
        let nothing = matrix(&[&[f32::NAN, f32::NAN]]);
        assert_eq!(top_classes(&nothing, &[]).0, [0]);
    }

    fn row(video: &str, state: RowState) -> Row {
        Row {
            video: video.into(),
            state,
            findings: crate::protocol::row::Findings::default(),
            has_feature: false,
            leaves: false,
            size: 1,
            attempts: 0,
            reason: None,
            facts: None,
        }
    }

    #[test]
    fn attempts_that_cannot_be_read_are_no_missing_attempts() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(&folder.path().join("out"), "s");
        let name = VideoName::new("A/v.mp4").unwrap();
        let failure = layout.failure(&name);
        std::fs::create_dir_all(failure.parent().unwrap()).unwrap();
        let context = Context {
            root: folder.path().into(),
            layout,
            log_file: "log".into(),
            class_names: vec![],
            inspector: std::sync::mpsc::channel().0,
        };
        let details = || {
            let file = Some(VideoFile { name: name.clone(), stamp: SourceStamp { size: 1, mtime_ns: 0 } });
            let row = row("A/v.mp4", RowState::Failed);
            context.details(Entry { row, file, container: None, fps: None, listed: None })
        };
        assert_eq!(details().row.reason, None);
        // A link to itself cannot be read.
        std::os::unix::fs::symlink(&failure, &failure).unwrap();
        let reason = details().row.reason.unwrap();
        assert!(reason.contains("failed to read its attempts in ") && reason.contains("v.mp4.json: "), "{reason}");
    }

    #[test]
    fn files_that_are_no_videos_are_on_disk_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        let path = |video: &str, state| path_on_disk(&row(video, state), Some("a.mp4".into()), folder.path());
        assert_eq!(path("notes.txt", RowState::Ignored), Some(folder.path().join("notes.txt")));
        assert_eq!(path("gone.txt", RowState::Ignored), None);
        assert_eq!(path("a.mp4", RowState::Missing), None);
        assert_eq!(path("a.mp4", RowState::Queued), Some("a.mp4".into()));
    }

    #[test]
    fn clips_without_scores_are_compared_with_the_first_one() {
        let pooled = matrix(&[&[3.0, 4.0], &[6.0, 8.0], &[-4.0, 3.0], &[-3.0, -4.0], &[0.0, 0.0]]);
        assert_eq!(similarity(&pooled), [1.0, 1.0, 0.0, -1.0, 0.0]);
        assert!(similarity(&Matrix { shape: [0, 2], data: vec![] }).is_empty());
    }

    #[test]
    fn a_long_video_has_no_more_parts_than_a_screen_shows() {
        let long = Matrix { shape: [80_000, 2], data: (0..160_000).map(|at| (at / 80_000) as f32).collect() };
        assert_eq!(similarity(&long).len(), PARTS);
        let map = heat(&long);
        assert_eq!((map.len(), map[0].len(), map[0][0], map[0][PARTS - 1]), (2, PARTS, 0, 255));
    }

    #[test]
    fn the_heat_map_is_means_of_groups_over_one_range() {
        let map = heat(&matrix(&[&[0.0, 1.0, 2.0], &[2.0, 4.0, 0.0]]));
        assert_eq!(map, [[0, 128], [64, 255], [128, 0]]);
        let wide: Vec<f32> = (0..700).map(|i| i as f32).collect();
        let map = heat(&matrix(&[&wide]));
        assert_eq!((map.len(), map[0][0], map[31][0]), (32, 0, 255));
        assert!(map.is_sorted());
        assert_eq!(heat(&matrix(&[&[3.0, 3.0]])), [[0], [0]]);
        assert_eq!(heat(&matrix(&[&[f32::NAN, 1.0, 2.0]])), [[0], [0], [255]]);
        assert!(heat(&Matrix { shape: [0, 5], data: vec![] }).is_empty());
    }
}
