//! What the programs that link native libraries report about themselves to `reeldeck doctor`: one JSON object on standard
//! output.

use serde::{Deserialize, Serialize};

use crate::recipe::Precision;

/// The files of the libraries that this process has loaded, sorted, whose names begin with one of these prefixes.
pub fn loaded_libraries(prefixes: &[&str]) -> Vec<String> {
    // Each line has the path of the mapped file at its end, if it has one.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.get(line.find('/')?..));
    let is_wanted = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.contains(".so") && prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    paths.filter(is_wanted).map(str::to_owned).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

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
    /// FFmpeg's libraries that the dynamic loader chose.
    #[serde(default)]
    pub libraries: Vec<String>,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Whether libtorch has oneDNN, which the CPU path is made for.
    pub onednn: bool,
    /// Why a small convolution failed or gave a wrong result; `None` if the result was right.
    pub wrong: Option<String>,
    /// The libraries of libtorch and FFmpeg that the dynamic loader chose.
    #[serde(default)]
    pub libraries: Vec<String>,
    /// How many times as fast as in fp32 a small network is in other precisions on the CPU, if that was asked for.
    #[serde(default)]
    pub speeds: Vec<(Precision, f64)>,
    /// How many CUDA devices libtorch sees, or why it sees none; `None` if no CUDA build is configured.
    pub cuda: Option<Result<i64, String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_libraries_are_listed_once_by_path() {
        let found = loaded_libraries(&["libc.so", "libc-"]);
        assert!(found.len() == 1 && found[0].starts_with('/'), "{found:?}");
        assert!(loaded_libraries(&["libno_such_library"]).is_empty());
    }
}
