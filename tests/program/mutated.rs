//! Mutated copies of the fuzz seeds for the parsers of this package, on a stable compiler. `scripts/fuzz.sh` finds more, and needs
//! a nightly one. `REELDECK_MUTATIONS` sets the number of copies for each target; `--nocapture` shows it.

use std::fs;
use std::path::Path;

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use reeldeck::internals::dataset::{Cache, VideoFile};
use reeldeck::internals::fuzz;
use reeldeck::internals::protocol::{FromEngine, ToEngine};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

/// The longest copy, in bytes, as in `scripts/fuzz.sh`.
const MAX_LEN: usize = 16_384;

/// Pieces that the formats are made of, and numbers at their limits.
const PIECES: [&[u8]; 18] = [
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b",",
    b"{}",
    b"[]",
    b"[[[[[[[[",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"NaN",
    b"../",
];

/// A copy of a seed, or of a mix of two, with some changes.
fn mutated(seeds: &[Vec<u8>], rng: &mut TestRng) -> Vec<u8> {
    let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..1 << rng.random_range(0..5) {
        let len = bytes.len();
        let (a, b) = (rng.random_range(0..=len), rng.random_range(0..=len));
        let (from, to) = (a.min(b), a.max(b));
        match rng.random_range(0..7) {
            0 if from < len => bytes[from] ^= 1 << rng.random_range(0..8),
            1 => drop(bytes.splice(from..from, PIECES[rng.random_range(0..PIECES.len())].iter().copied())),
            2 => drop(bytes.drain(from..to.min(from + 64))),
            3 => bytes.extend_from_within(from..to),
            4 => bytes.truncate(to),
            5 => {
                let other = &seeds[rng.random_range(0..seeds.len())];
                let start = rng.random_range(0..=other.len());
                bytes.splice(from..to, other[start..].iter().copied());
            }
            _ if from < len => bytes[from] = rng.random_range(0..=255),
            _ => {}
        }
        bytes.truncate(MAX_LEN);
    }
    bytes
}

/// Runs a target with the seeds, and with mutated copies of them.
fn run(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    seeds.iter().for_each(|seed| check(seed));
    let copies = std::env::var("REELDECK_MUTATIONS").map_or(500, |number| number.parse().unwrap());
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut failed = tempfile::NamedTempFile::new().unwrap();
    for _ in 0..copies {
        let bytes = mutated(&seeds, &mut rng);
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&bytes))).is_err() {
            std::io::Write::write_all(&mut failed, &bytes).unwrap();
            panic!("{target}: the input is in {}", failed.into_temp_path().keep().unwrap().display());
        }
    }
    println!("{target}: {copies} mutated copies");
}

#[test]
fn lists() {
    run("list", fuzz::list);
}

#[test]
fn manifests() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("manifest.json");
    run("manifest", |bytes| {
        fs::write(&file, bytes).unwrap();
        fuzz::manifest(&file);
    });
}

#[test]
fn caches_of_probes() {
    let dir = tempfile::tempdir().unwrap();
    run("probe_cache", |bytes| fuzz::probe_cache(&dir.path().join("probes"), bytes));
}

#[test]
fn messages_of_clients() {
    run("clients", fuzz::message);
}

/// A seed that its parser refuses at once would show nothing.
#[test]
fn seeds_are_valid() {
    let seed = |path: &str| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(path)).unwrap();
    for name in ["hello", "table", "retry"] {
        serde_json::from_slice::<ToEngine>(&seed(&format!("clients/{name}"))).unwrap();
    }
    serde_json::from_slice::<FromEngine>(&seed("clients/error")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("probes");
    fuzz::probe_cache(&file, &seed("probe_cache/entries"));
    let videos = [VideoFile { name: VideoName::new("A/v.mp4").unwrap(), stamp: SourceStamp { size: 9, mtime_ns: 7 } }];
    assert_eq!(Cache::open(&file, &videos, false).unwrap().verdicts(&videos).len(), 1);
}
