//! Lines between clients and engine.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reeldeck::internals::protocol::{FromEngine, ToEngine};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = serde_json::from_slice::<ToEngine>(bytes) {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<ToEngine>(&text).unwrap(), message);
    }
    let _ = serde_json::from_slice::<FromEngine>(bytes);
});
