//! Lists of videos.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reeldeck::internals::fuzz::list(bytes));
