//! Verifies features: each by itself, against its video, and against a reference.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use anyhow::Context;
use reeldeck_common::layout::{Layout, files_below};
use reeldeck_common::recipe::{Precision, Recipe};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use reeldeck_common::{atomic, excluded};

use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::parallel::{ordered, threads};
use crate::progress::{Progress, Size};

pub(crate) mod again;
pub(crate) mod against;
mod check;
pub(crate) mod compare;
pub(crate) mod report;
mod rows;

use against::{Reference, ReferenceItem};
pub(crate) use check::Checked;
use compare::{Difference, Tolerance};

/// What to verify.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VerifyJob<'a> {
    /// Output folder and feature set.
    pub layout: &'a Layout,
    /// The recipe that the features should have been made by.
    pub recipe: &'a Recipe,
    /// The dataset as it is now.
    pub videos: &'a [VideoFile],
    /// The largest accepted difference from the reference.
    pub tolerance: Tolerance,
}

/// A problem of a feature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// The feature's video.
    pub video: VideoName,
    /// The kind.
    pub kind: Kind,
    /// The details.
    pub text: String,
}

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The file is truncated, or its content does not match its checksum.
    Damaged,
    /// The file cannot be read. It may be intact.
    Unreadable,
    /// The set, the recipe or the video differs from what the file's path implies.
    Foreign,
    /// The video has changed since.
    Stale,
    /// An output is missing or has another shape.
    Shape,
    /// NaN or infinite values.
    NotFinite,
    /// Clips whose values are all the same.
    Constant,
    /// Clips of different frames with the same values, or of the same frames with different values.
    Repeated,
    /// The values differ from the reference.
    Against,
    /// The reference of the video cannot be compared with.
    NotCompared,
    /// The video cannot be extracted again, so the feature was not compared.
    NotExtracted,
    /// The values differ from those that were extracted again.
    Again,
    /// Not an error.
    Note,
}

impl Kind {
    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
            Self::Foreign => "foreign",
            Self::Stale => "stale",
            Self::Shape => "shape",
            Self::NotFinite => "not-finite",
            Self::Constant => "constant",
            Self::Repeated => "repeated",
            Self::Against => "against",
            Self::NotCompared => "not-compared",
            Self::NotExtracted => "not-extracted",
            Self::Again => "again",
            Self::Note => "note",
        }
    }
}

/// A comparison of two features of a video.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Compared {
    /// The video.
    pub video: VideoName,
    /// The difference.
    pub difference: Difference,
}

/// The result of a verification.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Number of features that were checked.
    pub checked: usize,
    /// All findings, including notes, sorted by video.
    pub findings: Vec<Problem>,
    /// The damaged features, in the version that was read.
    pub damaged: Vec<(VideoName, SourceStamp)>,
    /// Videos of the dataset that have no feature and are not excluded.
    pub without: Vec<VideoName>,
    /// Features whose video is not in the dataset folder any more.
    pub gone: Vec<VideoName>,
    /// Files among the features that are not features.
    pub others: Vec<String>,
    /// Number of features by how they were made: device, precision, libtorch, weights.
    pub made_by: BTreeMap<String, usize>,
    /// Comparisons with the reference.
    pub against: Vec<Compared>,
    /// Comparisons with features that were extracted again.
    pub again: Vec<Compared>,
}

impl Report {
    /// Findings other than notes.
    pub(crate) fn wrong(&self) -> impl Iterator<Item = &Problem> {
        self.findings.iter().filter(|finding| finding.kind != Kind::Note)
    }

    /// The videos with an error, without duplicates, sorted.
    pub(crate) fn wrong_videos(&self) -> Vec<&VideoName> {
        unique(self.wrong())
    }

    /// The videos to extract again, without duplicates, sorted. A feature that cannot be read, compared or
    /// extracted again may be right.
    pub(crate) fn to_retry(&self) -> Vec<&VideoName> {
        let may_be_right = |kind| matches!(kind, Kind::Unreadable | Kind::NotCompared | Kind::NotExtracted);
        unique(self.wrong().filter(|finding| !may_be_right(finding.kind)))
    }
}

fn unique<'r>(findings: impl Iterator<Item = &'r Problem>) -> Vec<&'r VideoName> {
    let mut videos: Vec<&VideoName> = findings.map(|finding| &finding.video).collect();
    videos.sort_unstable();
    videos.dedup();
    videos
}

/// A feature file, and its video if it exists.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The video that the file's path names.
    pub video: VideoName,
    /// The video's file.
    pub source: Option<VideoFile>,
}

/// Reads and checks every feature of the set, and compares it with the reference if there is one.
///
/// # Errors
/// When the features cannot be listed or the reference cannot be read, and when cancelled.
pub(crate) fn verify(
    job: &VerifyJob<'_>,
    pairs: Option<&Reference>,
    progress: &dyn Progress,
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let excluded = excluded::read(&job.layout.private())?;
    let targets = targets(job, &excluded, &mut report)
        .with_context(|| format!("failed to list the features in {}", shown(&job.layout.features())))?;
    progress.begin("checking", Size::Items(targets.len()));
    let mut same: HashMap<u64, VideoName> = HashMap::new();
    let check = |(target, given): (&Target, ReferenceItem)| check::check(job, target, given, pairs);
    let mut take = |checked: Checked| {
        report.checked += 1;
        report.damaged.extend(checked.damaged.map(|stamp| (checked.video.clone(), stamp)));
        report.findings.extend(checked.findings);
        report.against.extend(checked.against);
        if let Some(made_by) = checked.made_by {
            *report.made_by.entry(made_by).or_default() += 1;
        }
        if let Some(fingerprint) = checked.fingerprint {
            if let Some(other) = same.get(&fingerprint) {
                let text = format!("same features as {other}: duplicate video?");
                report.findings.push(Problem { video: checked.video, kind: Kind::Note, text });
            } else {
                same.insert(fingerprint, checked.video);
            }
        }
        progress.step(checked.bytes);
        progress.check_cancelled()
    };
    let results = pairs.map(Reference::results).transpose()?.flatten();
    let mut trouble = None;
    match &results {
        Some(results) => {
            let given = results.pair_targets(&targets, &mut trouble);
            ordered(threads(), given, check, &mut take)?;
        }
        None => {
            let shared = pairs.map(|reference| reference.shared_files(&targets)).unwrap_or_default();
            let item = |target: &Target| match shared.get(&target.video) {
                Some(other) => ReferenceItem::Shared(VideoName::clone(other)),
                None => ReferenceItem::Nothing,
            };
            ordered(threads(), targets.iter().map(|target| (target, item(target))), check, &mut take)?;
        }
    }
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    report.findings.sort();
    report.against.sort_by(|a, b| a.video.cmp(&b.video));
    Ok(report)
}

/// The features, sorted. Records in `report` which videos and files do not match.
fn targets(job: &VerifyJob<'_>, excluded: &BTreeSet<VideoName>, report: &mut Report) -> io::Result<Vec<Target>> {
    let mut sources: HashMap<&VideoName, &VideoFile> = job.videos.iter().map(|video| (&video.name, video)).collect();
    let mut targets = vec![];
    for path in files_below(&job.layout.features())? {
        let name = path.strip_suffix(".safetensors").map(VideoName::new);
        match name {
            Some(Ok(video)) => {
                let source = sources.remove(&video).cloned();
                if source.is_none() {
                    report.gone.push(video.clone());
                }
                // Nor is an excluded video extracted again when it has changed.
                let source = source.filter(|_| !excluded.contains(&video));
                targets.push(Target { video, source });
            }
            _ if atomic::is_temporary(path.rsplit('/').next().unwrap_or_default()) => {}
            _ => report.others.push(path),
        }
    }
    targets.sort_unstable_by(|a, b| a.video.cmp(&b.video));
    report.gone.sort_unstable();
    report.others.sort_unstable();
    report.without = sources.into_keys().filter(|video| !excluded.contains(*video)).cloned().collect();
    report.without.sort_unstable();
    Ok(targets)
}

/// The accepted difference of two extractions by this recipe.
pub(crate) fn tolerance(recipe: &Recipe) -> Tolerance {
    match recipe.precision {
        Precision::Fp32 => Tolerance::MaxAbs(2e-4),
        Precision::Bf16 | Precision::Fp16 | Precision::Tf32 => Tolerance::RelativeL2(1e-2),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use reeldeck_common::damaged::{self, DamagedFeatures};

    use super::*;

    /// Replaces a file as soon as it was checked.
    struct Replacing<'a>(&'a std::path::Path);

    impl Progress for Replacing<'_> {
        fn step(&self, _: u64) {
            fs::write(self.0, "a whole feature").unwrap();
        }
    }

    impl Progress for () {}

    #[test]
    fn a_feature_that_replaces_a_damaged_one_is_not_noted_as_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "s");
        layout.prepare().unwrap();
        let video = VideoName::new("v.mp4").unwrap();
        let path = layout.feature(&video);
        fs::write(&path, "cut").unwrap();
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let job = VerifyJob { layout: &layout, recipe: &recipe, videos: &[], tolerance: tolerance(&recipe) };
        let report = verify(&job, None, &Replacing(&path)).unwrap();
        assert_eq!(report.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [Kind::Damaged]);
        let [(_, stamp)] = report.damaged.as_slice() else { panic!("{report:?}") };
        damaged::add(&layout, &video, *stamp).unwrap();
        assert!(!DamagedFeatures::read(&layout).unwrap().contains(&video, &path).unwrap());
        fs::write(&path, "cut").unwrap();
        assert_eq!(verify(&job, None, &()).unwrap().damaged.len(), 1);
    }
}
