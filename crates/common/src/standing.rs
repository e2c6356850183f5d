//! Whether a feature is the one that is wanted: of this set, of this video, of this very file, with these outputs.

use std::fmt;

use crate::feature::Header;
use crate::recipe::{Output, Recipe};
use crate::source::SourceStamp;
use crate::video::VideoName;

/// The feature that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The feature set's name.
    pub set: &'a str,
    /// The recipe, which says what shape the outputs have.
    pub recipe: &'a Recipe,
    /// The outputs that are needed; a run needs all of the recipe's, an export only its own.
    pub outputs: &'a [Output],
    /// The video.
    pub video: &'a VideoName,
    /// The video's file as it is now.
    pub source: SourceStamp,
}

/// What a feature is to someone who wants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the one.
    Current,
    /// The video has changed since.
    Stale,
    /// It is of another video or another set.
    Foreign {
        /// The video it is of.
        video: VideoName,
        /// The set it is of.
        set: String,
    },
    /// An output is missing or has another shape.
    Lacks(Output),
}

impl Header {
    /// What this feature is to someone who wants one.
    pub fn standing(&self, wanted: &Wanted<'_>) -> Standing {
        let Wanted { set, recipe, outputs, video, source } = *wanted;
        let own = &self.provenance;
        if own.set != set || own.video != *video {
            return Standing::Foreign { video: own.video.clone(), set: own.set.clone() };
        }
        let fits = |output: &Output| {
            let shape = [recipe.sampling.clips, recipe.columns(*output)];
            self.shapes.get(output.name()).is_some_and(|found| *found == shape)
        };
        // Before the file's age: what lacks an output was never done, whatever became of the video.
        if let Some(lacking) = outputs.iter().find(|output| !fits(output)) {
            return Standing::Lacks(*lacking);
        }
        if own.source == source { Standing::Current } else { Standing::Stale }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("current"),
            Self::Stale => f.write_str("stale: the video has changed since; extract it again with --redo-stale"),
            Self::Foreign { video, set } => write!(f, "its feature is of {video} and {set}"),
            Self::Lacks(output) => write!(f, "its feature has no {} of the right shape", output.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::feature::{CheckpointId, FrameCounts, Provenance};
    use crate::recipe::Precision;

    #[test]
    fn only_the_feature_of_this_set_video_file_and_shape_is_current() {
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let video = VideoName::new("A/v.mp4").unwrap();
        let source = SourceStamp { size: 1, mtime_ns: 2 };
        let set = recipe.set_name("d");
        let provenance = Provenance {
            format: Provenance::FORMAT,
            tool: "test".into(),
            set: set.clone(),
            recipe: recipe.clone(),
            checkpoint: CheckpointId { name: "a.pth".into(), digest: "d".into(), meaningless: false },
            video: video.clone(),
            source,
            frames: FrameCounts::default(),
            fps: [30, 1],
            size: [4, 4],
            precision: Precision::Fp32,
            device: "cpu".into(),
            libtorch: "none".into(),
            nvdec: false,
        };
        let shapes = BTreeMap::from([("logits".to_owned(), vec![100, 700])]);
        let header = Header { provenance, shapes, digest: String::new() };
        let logits = [Output::Logits];
        let wanted = Wanted { set: &set, recipe: &recipe, outputs: &logits, video: &video, source };
        assert_eq!(header.standing(&wanted), Standing::Current);

        let changed = SourceStamp { mtime_ns: 3, ..source };
        assert_eq!(header.standing(&Wanted { source: changed, ..wanted }), Standing::Stale);
        let both = [Output::Logits, Output::Pooled];
        let lacks = Wanted { outputs: &both, source: changed, ..wanted };
        assert_eq!(header.standing(&lacks), Standing::Lacks(Output::Pooled));
        let other = VideoName::new("B/v.mp4").unwrap();
        let foreign = header.standing(&Wanted { video: &other, ..wanted });
        assert_eq!(foreign.to_string(), format!("its feature is of A/v.mp4 and {set}"));
        assert!(matches!(header.standing(&Wanted { set: "x", ..wanted }), Standing::Foreign { .. }));
        let mut narrow = recipe.clone();
        narrow.model.classes = 400;
        assert_eq!(header.standing(&Wanted { recipe: &narrow, ..wanted }), Standing::Lacks(Output::Logits));
    }
}
