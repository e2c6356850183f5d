//! Digests: SHA-256 in hex, which identifies checkpoints, and a fast one of samples, which recognises a file that failed before.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::without_advice;
use crate::open;

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// The digest of a file's content. `step` is called with the number of bytes of each block that was read.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_of_file(path: &Path, step: &mut dyn FnMut(u64)) -> io::Result<String> {
    let mut file = open::regular(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex(hash)),
            read => {
                hash.update(block.get(..read).unwrap_or_default());
                step(read as u64);
            }
        }
    }
}

/// Number of blocks that [`sampled`] reads.
const SAMPLES: u64 = 64;
/// Size of these blocks in bytes.
const SAMPLE_BYTES: u64 = 64 << 10;

/// A digest of a file's size and of evenly spaced blocks, among them the first and the last one: it reads at most 4 MiB.
///
/// # Errors
/// When the file cannot be read.
fn sampled(path: &Path) -> io::Result<String> {
    let mut file = open::regular(path)?;
    let size = file.metadata()?.len();
    let mut hash = Xxh3::new();
    let mut block = vec![];
    let last = size.saturating_sub(SAMPLE_BYTES);
    let mut end = 0;
    for at in 0..SAMPLES {
        let start = u64::try_from(u128::from(last) * u128::from(at) / u128::from(SAMPLES - 1)).unwrap_or(last).max(end);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        end = start + file.by_ref().take(SAMPLE_BYTES).read_to_end(&mut block)? as u64;
        hash.update(&block);
    }
    Ok(format!("{size}-{:016x}", hash.digest()))
}

/// What identifies the content of a corrupt file: its [`sampled`] digest and what is wrong with it, without advice. Damage may be
/// between the sampled blocks.
///
/// # Errors
/// When the file cannot be read.
pub fn of_corrupt(path: &Path, reason: &str) -> io::Result<String> {
    Ok(format!("{}-{:08x}", sampled(path)?, xxh3_64(without_advice(reason).as_bytes()) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampled_digest_depends_on_size_and_content() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |content: &[u8]| {
            let path = dir.path().join("v");
            std::fs::write(&path, content).unwrap();
            sampled(&path).unwrap()
        };
        let mut long: Vec<u8> = (0..6_000_000_u32).map(|at| (at % 251) as u8).collect();
        let before = digest(&long);
        assert_eq!(digest(&long), before);
        for at in [0, 10, 5_999_999] {
            long[at] ^= 1;
            assert_ne!(digest(&long), before, "{at}");
            long[at] ^= 1;
        }
        assert_ne!(digest(&long[..5_999_999]), before);
        assert_ne!(digest(b""), digest(b"x"));
        assert_ne!(digest(&[1, 2, 3]), digest(&[1, 2, 4]));
    }
}
