//! What a probe finds out about one file, and the lines in which `reeldeck-probe check` takes orders and answers.
//!
//! One process looks at many files, one after another. It ends when its standard input does.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::source::SourceStamp;

/// Raised whenever a file might be judged otherwise than before: what was found by other checks is then not believed.
pub const CHECKS: u32 = 1;

/// How closely a file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Container opened, boxes walked against the file's size, packets scanned; nothing is decoded.
    Quick,
    /// Also the first frame, all keyframes, the last frame and a sample of those between decoded, and all frames where
    /// anything looks wrong.
    Deep,
}

impl Level {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Deep => "deep",
        }
    }
}

/// What a file turned out to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// How closely it was looked at.
    pub level: Level,
    /// The file as it was; what is said here holds for no other.
    pub source: SourceStamp,
    /// What it is like.
    pub verdict: Verdict,
}

/// The health of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Verdict {
    /// Nothing wrong was seen at this level.
    Healthy {
        /// What it holds.
        facts: Facts,
    },
    /// It can be read, and something is missing or broken.
    Damaged {
        /// What it holds.
        facts: Facts,
        /// Frames that the container promises and the file does not have.
        lost: u64,
        /// Frames that were seen to be broken; those that were not looked at are not counted.
        concealed: u64,
        /// What was seen, for people.
        reason: String,
    },
    /// No frames can be had of it.
    Corrupt {
        /// Why, for people.
        reason: String,
    },
    /// It is over a limit and was not looked at further. Holds for these limits only.
    OverLimit {
        /// Which limit, for people.
        reason: String,
    },
}

impl Verdict {
    /// What the file holds, where that is known.
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Healthy { facts } | Self::Damaged { facts, .. } => Some(facts),
            Self::Corrupt { .. } | Self::OverLimit { .. } => None,
        }
    }

    /// Why it is not healthy, for people.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Healthy { .. } => None,
            Self::Damaged { reason, .. } | Self::Corrupt { reason } | Self::OverLimit { reason } => Some(reason),
        }
    }
}

/// What a readable video holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Playing time in seconds.
    pub duration_s: f64,
    /// Frames that should come out.
    pub frames: u64,
    /// Average frame rate as numerator and denominator; 0/1 where it is not known.
    pub fps: [i32; 2],
    /// Width and height as displayed, pixels.
    pub size: [u32; 2],
    /// The codec by FFmpeg's name, such as `h264`.
    pub codec: String,
    /// The container by FFmpeg's name, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
}

/// An order to `reeldeck-probe check`: one JSON object a line on its standard input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Comes back in the answer.
    pub id: u64,
    /// The file.
    pub path: PathBuf,
    /// How closely to look.
    pub level: Level,
    /// Bounds on what it may cost.
    pub limits: Limits,
}

/// A line on the standard output of `reeldeck-probe check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// What came of an order.
    Answer(Answer),
    /// Nothing yet, but the work goes on.
    Alive(Alive),
}

/// A sign of life, at most about one a second, while an order takes long: whoever waits can tell a long file from a
/// process that hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alive {
    /// The order in hand.
    pub alive: u64,
}

/// An answer: one JSON object a line on its standard output, in the order of the orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The order's.
    pub id: u64,
    /// CPU time it took, in microseconds.
    pub cpu_us: u64,
    /// What was found; an error where the file could not be looked at, which may pass.
    pub found: Result<Probed, String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> Facts {
        Facts {
            duration_s: 9.5,
            frames: 285,
            fps: [30, 1],
            size: [320, 240],
            codec: "h264".into(),
            container: "mov,mp4".into(),
        }
    }

    #[test]
    fn lines_are_what_they_were() {
        let source = SourceStamp { size: 7, mtime_ns: 9 };
        let verdict = Verdict::Damaged { facts: facts(), lost: 3, concealed: 1, reason: "cut\nshort".into() };
        let found = Ok(Probed { level: Level::Quick, source, verdict });
        for (line, text) in [
            (Line::Alive(Alive { alive: 3 }), r#"{"alive":3}"#),
            (
                Line::Answer(Answer { id: 3, cpu_us: 5, found: Err("gone".into()) }),
                r#"{"id":3,"cpu_us":5,"found":{"Err":"gone"}}"#,
            ),
            (
                Line::Answer(Answer { id: 4, cpu_us: 5, found }),
                concat!(
                    r#"{"id":4,"cpu_us":5,"found":{"Ok":{"level":"quick","source":{"size":7,"mtime_ns":9},"verdict":{"#,
                    r#""is":"damaged","facts":{"duration_s":9.5,"frames":285,"fps":[30,1],"size":[320,240],"#,
                    r#""codec":"h264","container":"mov,mp4"},"lost":3,"concealed":1,"reason":"cut\nshort"}}}}"#
                ),
            ),
        ] {
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
            assert_eq!(serde_json::from_str::<Line>(text).unwrap(), line);
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_str::<Line>(&text);
            let _ = serde_json::from_slice::<Order>(&bytes);
        }
    }
}
