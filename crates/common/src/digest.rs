//! SHA-256 digests in hex, which identify checkpoints.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

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
    let mut file = File::open(path)?;
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
