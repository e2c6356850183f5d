//! Feature files: the whole file and its header must agree.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use reeldeck_common::feature::{Feature, Header};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("reeldeck-fuzz-{}.safetensors", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).unwrap();
    let (feature, header) = (Feature::read(&FILE), Header::read(&FILE));
    if let Ok(feature) = feature {
        assert_eq!(header.unwrap().digest, feature.header().unwrap().digest);
        let again = feature.to_bytes().unwrap();
        std::fs::write(&*FILE, again).unwrap();
        assert_eq!(Feature::read(&FILE).unwrap().header().unwrap(), feature.header().unwrap());
    }
});
