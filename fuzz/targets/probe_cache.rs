//! The cache of probes.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("reeldeck-fuzz-{}.probes", std::process::id())));

fuzz_target!(|bytes: &[u8]| reeldeck::internals::fuzz::probe_cache(&FILE, bytes));
