//! Lines between clients and engine.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reeldeck::internals::fuzz::message(bytes));
