//! What the programs with native libraries say of themselves, for `reeldeck doctor`: one JSON object on standard output.

use serde::{Deserialize, Serialize};

/// `reeldeck-probe about`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Its version.
    pub version: String,
    /// FFmpeg's version, as its maker writes it.
    pub ffmpeg: String,
    /// FFmpeg's licence, which follows from how it was built.
    pub license: String,
    /// What became of a short sample of each codec.
    pub decoders: Vec<Decoder>,
    /// Codecs whose decoder can hand its work to NVDEC.
    pub nvdec: Vec<String>,
}

/// A codec that videos come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoder {
    /// FFmpeg's name, such as `h264`.
    pub codec: String,
    /// Nothing where a sample was decoded to the right pixels; otherwise why not.
    pub wrong: Option<String>,
}

/// `reeldeck-worker about`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its version.
    pub version: String,
    /// Release of libtorch that it was built against.
    pub built_for: String,
    /// The file that the loader took for libtorch, as `/proc` says.
    pub library: Option<String>,
    /// What stands in `build-version` beside it.
    pub found: Option<String>,
    /// Threads that libtorch would use.
    pub threads: usize,
    /// Whether it has oneDNN, without which it is many times slower.
    pub onednn: bool,
    /// Nothing where a small convolution gave the right numbers; otherwise why not.
    pub wrong: Option<String>,
    /// CUDA devices that libtorch sees, where a CUDA build was named; otherwise why none.
    pub cuda: Option<Result<i64, String>>,
}
