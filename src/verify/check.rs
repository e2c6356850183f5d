//! Checks one feature: its file, its provenance, its numbers.

use std::hash::{DefaultHasher, Hash, Hasher};

use reeldeck_common::failure::FailureFile;
use reeldeck_common::feature::{Feature, FeatureError, Matrix, Provenance};
use reeldeck_common::feature_status::{ExpectedFeature, FeatureStatus};
use reeldeck_common::recipe::{Output, Placement, Sampling};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::against::{Reference, ReferenceItem};
use super::compare::compare;
use super::{Compared, Kind, Problem, Target, VerifyJob, rows};
use crate::error::line_of;
use crate::out::count;

/// The result for one feature.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The feature's video.
    pub video: VideoName,
    /// What was found.
    pub findings: Vec<Problem>,
    /// Size and modification time of a damaged file, from before its content was read.
    pub damaged: Option<SourceStamp>,
    /// How the feature was made; `None` if it cannot be read.
    pub made_by: Option<String>,
    /// A hash of the numbers.
    pub fingerprint: Option<u64>,
    /// The comparison with the reference.
    pub against: Option<Compared>,
    /// Bytes of numbers that were read.
    pub bytes: u64,
}

/// Reads a feature and checks it.
pub(super) fn check(job: &VerifyJob<'_>, target: &Target, given: ReferenceItem, pairs: Option<&Reference>) -> Checked {
    let video = &target.video;
    let mut checked = Checked {
        video: video.clone(),
        findings: vec![],
        damaged: None,
        made_by: None,
        fingerprint: None,
        against: None,
        bytes: 0,
    };
    let path = job.layout.feature(video);
    let unreadable = |source| FeatureError::Read { path: path.clone(), source };
    // Read before the content, so that a feature that replaces the damaged one is not taken for it.
    let stamp = SourceStamp::read(&path).map_err(unreadable);
    let (stamp, feature) = match stamp.map(|stamp| (stamp, Feature::read(&path))) {
        Ok((stamp, Ok(feature))) => (stamp, feature),
        Ok((stamp, Err(error))) if error.is_damage() => {
            checked.damaged = Some(stamp);
            checked.find(Kind::Damaged, line_of(&error));
            return checked;
        }
        Ok((_, Err(error))) | Err(error) => {
            checked.find(Kind::Unreadable, line_of(&error));
            return checked;
        }
    };
    let own = &feature.provenance;
    provenance(job, target, &feature, stamp, &mut checked);
    let starts = own.recipe.sampling.starts(own.sampled_frames());
    let mut hash = DefaultHasher::new();
    for (name, matrix) in &feature.tensors {
        checked.bytes += matrix.data.len() as u64 * 4;
        matrix.data.iter().for_each(|value| value.to_bits().hash(&mut hash));
        for (kind, text) in rows::judge(name, matrix, &starts) {
            checked.find(kind, text);
        }
    }
    checked.fingerprint = Some(hash.finish());
    checked.made_by = Some(made_by(own));
    if let Some(theirs) = given.find(target, pairs) {
        against(job, &feature, theirs, &mut checked);
    }
    checked
}

fn provenance(job: &VerifyJob<'_>, target: &Target, feature: &Feature, stamp: SourceStamp, checked: &mut Checked) {
    let own = &feature.provenance;
    let header = match feature.header() {
        Ok(header) => header,
        Err(error) => {
            checked.damaged = Some(stamp);
            return checked.find(Kind::Damaged, error.to_string());
        }
    };
    let expected = ExpectedFeature {
        set: job.layout.set(),
        recipe: job.recipe,
        outputs: &job.recipe.outputs,
        video: &target.video,
        // A missing or excluded video cannot be stale.
        source: target.source.as_ref().map_or(own.source, |source| source.stamp),
    };
    let status = header.status(&expected);
    match status {
        FeatureStatus::Current => {}
        FeatureStatus::Stale => {
            let failure = job.layout.failure(&target.video);
            let failed =
                target.source.as_ref().and_then(|source| FailureFile::of_version(&failure, source.stamp).ok()?);
            let text = match failed.as_ref().and_then(FailureFile::last) {
                Some(last) => {
                    format!("the video has changed since; extracting it again failed: {}", last.failure.line())
                }
                None => "the video has changed since; extract it again with --redo-stale".into(),
            };
            checked.find(Kind::Stale, text)
        }
        FeatureStatus::Foreign { .. } | FeatureStatus::TooDamaged(_) => checked.find(Kind::Foreign, status.to_string()),
        FeatureStatus::Lacks(_) => checked.find(Kind::Shape, status.to_string()),
    }
    // The name of a set follows from the recipe and the weights, so the three must agree.
    let digest = &own.checkpoint.digest;
    if own.recipe.set_name(digest) != own.set {
        let text = format!("it names the set {}, which does not match its recipe and weights", own.set);
        checked.find(Kind::Foreign, text);
    } else if job.recipe.set_name(digest) != own.set {
        let text = format!("the recipe {} has changed since; extract the video again", job.recipe.name);
        checked.find(Kind::Foreign, text);
    }
}

fn made_by(own: &Provenance) -> String {
    let precision = match serde_json::to_value(own.precision) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    };
    let synthetic_weights =
        if own.checkpoint.synthetic_weights { " (seeded: the features are meaningless)" } else { "" };
    let Provenance { device, libtorch, tool, checkpoint, .. } = own;
    let convolutions = own.convolutions.as_ref().map(|words| format!(", convolutions {words}")).unwrap_or_default();
    format!(
        "{tool}, {device}, {precision}, libtorch {libtorch}{convolutions}, weights {}{synthetic_weights}",
        checkpoint.name
    )
}

fn against(job: &VerifyJob<'_>, feature: &Feature, theirs: Result<Matrix, String>, checked: &mut Checked) {
    let theirs = match theirs {
        Ok(theirs) => theirs,
        Err(why) => return checked.find(Kind::NotCompared, format!("it cannot be compared: {why}")),
    };
    // The number of columns tells which output the reference holds.
    let fits = |output: &&Output| theirs.shape.contains(&job.recipe.columns(**output));
    let output = job.recipe.outputs.iter().find(fits).or(job.recipe.outputs.first());
    let Some(ours) = output.and_then(|output| feature.tensors.get(output.name())) else { return };
    let odd = |matrix: &Matrix| matrix.data.iter().filter(|value| !value.is_finite()).count();
    // The reference is at fault then, and not the feature.
    if let (0, 1..) = (odd(ours), odd(&theirs)) {
        let values = count(odd(&theirs), "value", "values");
        let why = format!("it cannot be compared: the reference contains NaN or infinities ({values}); check it");
        return checked.find(Kind::NotCompared, why);
    }
    match compare(ours, &theirs) {
        Ok(difference) => {
            if !job.tolerance.allows(&difference) {
                checked.find(Kind::Against, format!("it differs from the reference: {difference}"));
            }
            checked.against = Some(Compared { video: checked.video.clone(), difference });
        }
        Err(why) => {
            let why = other_windows(&feature.provenance, ours.shape, theirs.shape).unwrap_or(why);
            checked.find(Kind::NotCompared, format!("it cannot be compared: {why}"));
        }
    }
}

/// The largest stride that is tried.
const MAX_STRIDE: usize = 256;

/// How windows at another stride would explain that the reference has other rows; `None` where that cannot be.
fn other_windows(own: &Provenance, [rows, columns]: [usize; 2], theirs: [usize; 2]) -> Option<String> {
    let sampling = own.recipe.sampling;
    let Placement::Windows { stride, fps, short } = sampling.placement else { return None };
    let their_rows = theirs.into_iter().find(|_| theirs.contains(&columns)).filter(|_| theirs != [rows, columns])?;
    let their_rows = if theirs[1] == columns { their_rows } else { theirs[1] };
    let (frames, span) = (own.sampled_frames(), sampling.span());
    let with = |stride: usize| Sampling { placement: Placement::Windows { stride, fps, short }, ..sampling };
    let strides: Vec<String> = (1..=MAX_STRIDE)
        .filter(|other| *other != stride && with(*other).rows(frames) == their_rows)
        .map(|stride| stride.to_string())
        .collect();
    let ours =
        format!("theirs has {their_rows} rows, ours {rows}: floor(({frames} frames - {span}) / stride {stride}) + 1; ");
    Some(match strides.as_slice() {
        [] => ours + "no stride gives theirs, so its windows have another length, or it counts other frames",
        [one] => ours + &format!("stride {one} gives theirs"),
        [first, .., last] => ours + &format!("a stride from {first} to {last} gives theirs"),
    })
}

impl Checked {
    fn find(&mut self, kind: Kind, text: impl Into<String>) {
        self.findings.push(Problem { video: self.video.clone(), kind, text: text.into() });
    }
}
