//! Pickles, also as results of MMAction2.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reeldeck_pickle::read::{Limits, read};
use reeldeck_pickle::results::Results;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((_, length)) = read(bytes, &Limits { max_nodes: 100_000 }) {
        assert!(length <= bytes.len());
    }
    if let Ok(results) = Results::parse(bytes) {
        for sample in results.samples() {
            let _ = sample;
        }
    }
});
