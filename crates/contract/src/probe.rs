//! What a probe finds out about one file, and the lines in which `reeldeck-probe check` takes orders and answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::source::SourceStamp;

/// How closely a file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Container opened, boxes walked against the file's size, packets scanned; nothing is decoded.
    Quick,
    /// Also the first frame, keyframes and the last frame decoded.
    Deep,
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
