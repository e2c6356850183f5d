//! Lines between engine and worker.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reeldeck_common::protocol::{FromWorker, ToWorker, line};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = serde_json::from_slice::<FromWorker>(bytes) {
        serde_json::from_str::<FromWorker>(&line(&message).unwrap()).unwrap();
    }
    if let Ok(message) = serde_json::from_slice::<ToWorker>(bytes) {
        serde_json::from_str::<ToWorker>(&line(&message).unwrap()).unwrap();
    }
});
