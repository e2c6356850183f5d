//! The cache of probes.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use reeldeck::internals::dataset::Cache;
use reeldeck::internals::dataset::VideoFile;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("reeldeck-fuzz-{}.probes", std::process::id())));

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).unwrap();
    let name = VideoName::new("A/v.mp4").unwrap();
    let videos = [VideoFile { name, stamp: SourceStamp { size: 9, mtime_ns: 7 } }];
    let _ = Cache::open(&FILE, &videos, true).verdicts(&videos);
});
