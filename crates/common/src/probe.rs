//! The result of probing a file, and the messages of `reeldeck-probe check`: JSON lines on its standard input and output.
//!
//! A process examines files one after another and exits at the end of its input.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::feature::ExpectedFrom;
use crate::limits::Limits;
use crate::source::SourceStamp;

/// The version of the checks. It changes whenever a file may get another verdict, which invalidates cached verdicts.
pub const CHECKS: u32 = 7;

/// How thoroughly a file is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Opens the container, compares its boxes with the file's size, and scans the packets. Decodes nothing.
    Quick,
    /// In addition decodes the first frame, all keyframes, the last frame and a sample of the others; and all frames when
    /// anything looks wrong.
    Deep,
}

impl Level {
    /// Its name in commands and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Deep => "deep",
        }
    }
}

/// The result of probing a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// How thoroughly it was examined.
    pub level: Level,
    /// The file's stamp. The verdict is valid for no other.
    pub source: SourceStamp,
    /// The verdict.
    pub verdict: Verdict,
}

/// The health of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Verdict {
    /// No problem was found at this level.
    Healthy {
        /// The video's properties.
        facts: Facts,
    },
    /// The video is readable, but frames are missing or damaged.
    Damaged {
        /// The video's properties.
        facts: Facts,
        /// Frames that the container announces but the file does not contain.
        lost: u64,
        /// Damaged frames among those that were examined.
        concealed: u64,
        /// A description of the damage.
        reason: String,
    },
    /// No frame is readable.
    Corrupt {
        /// A description of the problem.
        reason: String,
    },
    /// The file exceeds a limit and was not examined further. The verdict is valid for these limits only.
    OverLimit {
        /// A description of the limit.
        reason: String,
    },
}

impl Verdict {
    /// The video's properties, if they are known.
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Healthy { facts } | Self::Damaged { facts, .. } => Some(facts),
            Self::Corrupt { .. } | Self::OverLimit { .. } => None,
        }
    }

    /// A description of the problem; `None` for a healthy file.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Healthy { .. } => None,
            Self::Damaged { reason, .. } | Self::Corrupt { reason } | Self::OverLimit { reason } => Some(reason),
        }
    }
}

/// The properties of a readable video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Playing time in seconds.
    pub duration_s: f64,
    /// Number of frames that the container announces.
    pub frames: u64,
    /// Average frame rate as numerator and denominator; 0/1 if unknown.
    pub fps: [i32; 2],
    /// Displayed width and height in pixels.
    pub size: [u32; 2],
    /// FFmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// FFmpeg's name of the container, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Where the number of frames comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_from: Option<ExpectedFrom>,
}

/// A message to `reeldeck-probe check`: an order to examine a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The order's number, repeated in the answer.
    pub id: u64,
    /// The file.
    pub path: PathBuf,
    /// How thoroughly to examine it.
    pub level: Level,
    /// Limits on the video.
    pub limits: Limits,
}

/// A message from `reeldeck-probe check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// The result of an order.
    Answer(Answer),
    /// A sign of life during an order.
    Alive(Alive),
}

/// A sign of life, sent about once a second during an order. It distinguishes a long file from a process that hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alive {
    /// The number of the current order.
    pub alive: u64,
}

/// The result of an order. Answers come in the order of the orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The number of the order.
    pub id: u64,
    /// CPU time of the order in microseconds.
    pub cpu_us: u64,
    /// The result, or why the file could not be examined this time.
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
            expected_from: None,
        }
    }

    #[test]
    fn the_json_form_is_stable() {
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
        fn arbitrary_lines_do_not_panic(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_str::<Line>(&text);
            let _ = serde_json::from_slice::<Order>(&bytes);
        }
    }
}
