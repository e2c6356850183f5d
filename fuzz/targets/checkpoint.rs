//! Checkpoints: zip archives of PyTorch, and the older format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reeldeck_pickle::checkpoint::CheckpointFile;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = CheckpointFile::from_bytes(bytes.to_vec()) {
        let _ = file.state_dict();
    }
});
