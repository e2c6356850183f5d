//! Whether a feature file is current: of the expected set, video, video file and outputs.

use std::fmt;

use crate::feature::Header;
use crate::recipe::{Output, Recipe};
use crate::source::SourceStamp;
use crate::video::VideoName;

/// The feature that a caller expects.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedFeature<'a> {
    /// The feature set's name.
    pub set: &'a str,
    /// The recipe, which determines the shapes of the outputs.
    pub recipe: &'a Recipe,
    /// The required outputs: all of the recipe's for a run, one for an export.
    pub outputs: &'a [Output],
    /// The video.
    pub video: &'a VideoName,
    /// The current stamp of the video file.
    pub source: SourceStamp,
}

/// The relation of a feature file to the expected feature.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureStatus {
    /// It is the expected feature.
    Current,
    /// The video has changed since the extraction.
    Stale,
    /// It belongs to another video or another set.
    Foreign {
        /// The video of the feature.
        video: VideoName,
        /// The set of the feature.
        set: String,
    },
    /// An output is missing or has another shape.
    Lacks(Output),
    /// More frames are lost or concealed than the recipe accepts: the share of them.
    TooDamaged(f64),
}

impl Header {
    /// Compares this feature with the expected one.
    pub fn status(&self, expected: &ExpectedFeature<'_>) -> FeatureStatus {
        let ExpectedFeature { set, recipe, outputs, video, source } = *expected;
        let own = &self.provenance;
        if own.set != set || own.video != *video {
            return FeatureStatus::Foreign { video: own.video.clone(), set: own.set.clone() };
        }
        // An incomplete feature is incomplete, not stale, even if the video has changed.
        if let Some(lacking) = outputs.iter().find(|output| !self.has_output(recipe, **output)) {
            return FeatureStatus::Lacks(*lacking);
        }
        match own.source == source {
            true if self.is_too_damaged(recipe) => FeatureStatus::TooDamaged(own.frames.damage()),
            true => FeatureStatus::Current,
            false => FeatureStatus::Stale,
        }
    }
}

impl fmt::Display for FeatureStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("current"),
            Self::Stale => f.write_str("stale: the video has changed since; extract it again with --redo-stale"),
            Self::Foreign { video, set } => write!(f, "its feature is of {video} and {set}"),
            Self::TooDamaged(share) => write!(
                f,
                "{:.1} % of its frames are lost or concealed, more than max_lost in the recipe accepts; run again to extract it",
                share * 100.0
            ),
            Self::Lacks(output) => write!(f, "its feature has no {} of the right shape", output.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::feature::{CheckpointId, FrameCounts, Provenance};
    use crate::recipe::{Model, Precision};

    #[test]
    fn a_current_feature_has_the_expected_set_video_stamp_and_shapes() {
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let video = VideoName::new("A/v.mp4").unwrap();
        let source = SourceStamp { size: 1, mtime_ns: 2 };
        let set = recipe.set_name("d");
        let provenance = Provenance {
            format: Provenance::FORMAT,
            tool: "test".into(),
            set: set.clone(),
            recipe: recipe.clone(),
            checkpoint: CheckpointId { name: "a.pth".into(), digest: "d".into(), synthetic_weights: false },
            video: video.clone(),
            source,
            frames: FrameCounts::default(),
            resampled: None,
            fps: [30, 1],
            size: [4, 4],
            precision: Precision::Fp32,
            device: "cpu".into(),
            libtorch: "none".into(),
            convolutions: None,
            nvdec: false,
            expected_from: None,
        };
        let shapes = BTreeMap::from([("logits".to_owned(), vec![100, 700])]);
        let header = Header { provenance, shapes, digest: String::new() };
        let logits = [Output::Logits];
        let expected = ExpectedFeature { set: &set, recipe: &recipe, outputs: &logits, video: &video, source };
        assert_eq!(header.status(&expected), FeatureStatus::Current);

        let changed = SourceStamp { mtime_ns: 3, ..source };
        assert_eq!(header.status(&ExpectedFeature { source: changed, ..expected }), FeatureStatus::Stale);
        let both = [Output::Logits, Output::Pooled];
        let lacks = ExpectedFeature { outputs: &both, source: changed, ..expected };
        assert_eq!(header.status(&lacks), FeatureStatus::Lacks(Output::Pooled));
        let other = VideoName::new("B/v.mp4").unwrap();
        let foreign = header.status(&ExpectedFeature { video: &other, ..expected });
        assert_eq!(foreign.to_string(), format!("its feature is of A/v.mp4 and {set}"));
        assert!(matches!(header.status(&ExpectedFeature { set: "x", ..expected }), FeatureStatus::Foreign { .. }));
        let mut lossy = header.clone();
        lossy.provenance.frames = FrameCounts { expected: 100, output: 90, concealed: 2 };
        assert_eq!(lossy.status(&expected), FeatureStatus::TooDamaged(0.12));
        let mut tolerant = recipe.clone();
        tolerant.damage.max_lost = 0.12;
        assert!(lossy.satisfies(&tolerant) && !lossy.satisfies(&recipe));
        assert_eq!(lossy.status(&ExpectedFeature { recipe: &tolerant, ..expected }), FeatureStatus::Current);
        let mut narrow = recipe.clone();
        if let Model::Slowonly(model) = &mut narrow.model {
            model.classes = 400;
        }
        let narrow = ExpectedFeature { recipe: &narrow, ..expected };
        assert_eq!(header.status(&narrow), FeatureStatus::Lacks(Output::Logits));
    }
}
