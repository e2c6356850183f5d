//! What the programs that link native libraries report about themselves to `reeldeck doctor`: one JSON object on standard
//! output.

use serde::{Deserialize, Serialize};

/// The report of `reeldeck-probe about`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The program's version.
    pub version: String,
    /// FFmpeg's version string.
    pub ffmpeg: String,
    /// FFmpeg's licence, which depends on its build options.
    pub license: String,
    /// The result of decoding a short sample of each codec.
    pub decoders: Vec<Decoder>,
    /// Codecs that FFmpeg can decode with NVDEC.
    pub nvdec: Vec<String>,
}

/// A video codec and whether its decoder works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoder {
    /// FFmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// Why the sample could not be decoded to the expected pixels; `None` if it could.
    pub wrong: Option<String>,
}

/// The report of `reeldeck-worker about`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The program's version.
    pub version: String,
    /// The libtorch release that the program was built against.
    pub built_for: String,
    /// The libtorch library that the dynamic loader chose, according to `/proc`.
    pub library: Option<String>,
    /// The content of the file `build-version` beside that library.
    pub found: Option<String>,
    /// Number of threads that libtorch uses by default.
    pub threads: usize,
    /// Whether libtorch has oneDNN. Without it, it is many times slower.
    pub onednn: bool,
    /// Why a small convolution failed or gave a wrong result; `None` if the result was right.
    pub wrong: Option<String>,
    /// How many CUDA devices libtorch sees, or why it sees none; `None` if no CUDA build is configured.
    pub cuda: Option<Result<i64, String>>,
}
