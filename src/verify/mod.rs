//! Whether the features are right: each by itself, against the video it came from, and against others' numbers.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use reeldeck_common::atomic;
use reeldeck_common::layout::Layout;
use reeldeck_common::recipe::{Precision, Recipe};
use reeldeck_common::video::VideoName;

use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::parallel::{ordered, threads};
use crate::progress::{Progress, Size};

pub mod again;
pub mod against;
mod check;
pub mod compare;
pub mod report;
mod rows;

use against::{Reference, ReferenceItem};
pub use check::Checked;
use compare::{Difference, Tolerance};

/// What is verified.
#[derive(Clone, Copy, Debug)]
pub struct VerifyJob<'a> {
    /// Output folder and feature set.
    pub layout: &'a Layout,
    /// The recipe that the features should have been made by.
    pub recipe: &'a Recipe,
    /// The dataset as it is now.
    pub videos: &'a [VideoFile],
    /// How far apart numbers may be that should be the same.
    pub tolerance: Tolerance,
}

/// Something about a feature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Whose feature.
    pub video: VideoName,
    /// Which sort.
    pub kind: Kind,
    /// What exactly, in words.
    pub text: String,
}

/// The sorts of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The file is not whole, or its content does not match its checksum.
    Damaged,
    /// It was made for another set, by another recipe, or from another video than its place says.
    Foreign,
    /// The video has changed since.
    Stale,
    /// An output is missing or has another shape.
    Shape,
    /// Numbers that are no numbers.
    NotFinite,
    /// Clips whose numbers are all the same.
    Constant,
    /// Clips of other frames with the same numbers, or of the same frames with others.
    Repeated,
    /// Other numbers than someone else's, or no comparable ones.
    Against,
    /// Other numbers than when extracted anew, or none.
    Again,
    /// Worth knowing, and nothing wrong.
    Note,
}

impl Kind {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Foreign => "foreign",
            Self::Stale => "stale",
            Self::Shape => "shape",
            Self::NotFinite => "not-finite",
            Self::Constant => "constant",
            Self::Repeated => "repeated",
            Self::Against => "against",
            Self::Again => "again",
            Self::Note => "note",
        }
    }
}

/// Two extractions of one video set against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The video.
    pub video: VideoName,
    /// How far apart they are.
    pub difference: Difference,
}

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Features that were looked at.
    pub checked: usize,
    /// All that was found, notes among it, sorted by video.
    pub findings: Vec<Finding>,
    /// Videos of the dataset that have no feature.
    pub without: Vec<VideoName>,
    /// Features whose video is not in the dataset folder any more.
    pub gone: Vec<VideoName>,
    /// Files among the features that are none.
    pub others: Vec<String>,
    /// How many features were made how: device, precision, libtorch, weights.
    pub made_by: BTreeMap<String, usize>,
    /// Comparisons with someone else's numbers.
    pub against: Vec<Compared>,
    /// Comparisons with what was extracted anew.
    pub again: Vec<Compared>,
}

impl Report {
    /// Findings that are more than notes.
    pub fn wrong(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind != Kind::Note)
    }

    /// The videos that something is wrong with, each once, sorted.
    pub fn to_retry(&self) -> Vec<&VideoName> {
        let mut videos: Vec<&VideoName> = self.wrong().map(|finding| &finding.video).collect();
        videos.sort_unstable();
        videos.dedup();
        videos
    }
}

/// A feature file, and its video where there still is one.
#[derive(Clone, Debug)]
pub struct Target {
    /// The video that the file's place names.
    pub video: VideoName,
    /// The video's file.
    pub source: Option<VideoFile>,
}

/// Reads every feature of the set, whole, and sets it against `pairs` where they are given.
///
/// # Errors
/// When the features cannot be listed, or what they are compared with cannot be read on, and when interrupted.
pub fn verify(job: &VerifyJob<'_>, pairs: Option<&Reference>, progress: &dyn Progress) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let targets = targets(job, &mut report)
        .with_context(|| format!("failed to list the features in {}", shown(&job.layout.features())))?;
    progress.begin("checking", Size::Items(targets.len()));
    let mut same: HashMap<u64, VideoName> = HashMap::new();
    let check = |(target, given): (&Target, ReferenceItem)| check::check(job, target, given, pairs);
    let mut take = |checked: Checked| {
        report.checked += 1;
        report.findings.extend(checked.findings);
        report.against.extend(checked.against);
        if let Some(made_by) = checked.made_by {
            *report.made_by.entry(made_by).or_default() += 1;
        }
        if let Some(fingerprint) = checked.fingerprint {
            if let Some(other) = same.get(&fingerprint) {
                let text = format!("its numbers are those of {other}: the same video twice?");
                report.findings.push(Finding { video: checked.video, kind: Kind::Note, text });
            } else {
                same.insert(fingerprint, checked.video);
            }
        }
        progress.step(checked.bytes);
        progress.check_cancelled()
    };
    let results = pairs.map(Reference::results).transpose()?.flatten();
    let mut trouble = None;
    match (&results, pairs) {
        (Some(results), Some(pairs)) => {
            let given = pairs.deal(&targets, results, &mut trouble);
            ordered(threads(), given, check, &mut take)?;
        }
        _ => ordered(threads(), targets.iter().map(|target| (target, ReferenceItem::Nothing)), check, &mut take)?,
    }
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    report.findings.sort();
    report.against.sort_by(|a, b| a.video.cmp(&b.video));
    Ok(report)
}

/// The features that are there, sorted, and in `report` what else there is or is not.
fn targets(job: &VerifyJob<'_>, report: &mut Report) -> io::Result<Vec<Target>> {
    let mut sources: HashMap<&VideoName, &VideoFile> = job.videos.iter().map(|video| (&video.name, video)).collect();
    let mut targets = vec![];
    let features = job.layout.features();
    for class in entries(&features)? {
        for file in entries(&features.join(&class))? {
            let name = file.strip_suffix(".safetensors").map(|file| VideoName::new(&format!("{class}/{file}")));
            match name {
                Some(Ok(video)) => {
                    let source = sources.remove(&video).cloned();
                    if source.is_none() {
                        report.gone.push(video.clone());
                    }
                    targets.push(Target { video, source });
                }
                _ if atomic::is_temporary(&file) => {}
                _ => report.others.push(format!("{class}/{file}")),
            }
        }
    }
    targets.sort_unstable_by(|a, b| a.video.cmp(&b.video));
    report.gone.sort_unstable();
    report.others.sort_unstable();
    report.without = sources.into_keys().cloned().collect();
    report.without.sort_unstable();
    Ok(targets)
}

fn entries(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(vec![]),
        Err(error) => Err(error),
    }
}

/// How far apart the numbers of two extractions by this recipe may be.
pub fn tolerance(recipe: &Recipe) -> Tolerance {
    match recipe.precision {
        Precision::Fp32 => Tolerance::MaxAbs(2e-4),
        Precision::Bf16 | Precision::Tf32 => Tolerance::RelativeL2(1e-2),
    }
}
