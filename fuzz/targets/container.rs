//! The walks through the boxes of MP4, the elements of Matroska, and the other containers. The first byte selects one.
//!
//! The module is included as source: the crate around it links FFmpeg, which these walks do not use.

#![no_main]
#![allow(dead_code, unused_imports)]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/video/src/container/mod.rs"]
mod container;

const FORMATS: [&str; 10] =
    ["mov,mp4", "matroska,webm", "avi", "flv", "asf", "mpegts", "mpeg", "ogg", "ivf", "mxf"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let format = FORMATS[usize::from(*first) % FORMATS.len()];
    let stream = container::StreamId { index: 0, id: 1 };
    let size = bytes.len() as u64;
    if let Ok(structure) = container::inspect(Cursor::new(bytes), format, stream) {
        assert!(structure.breaks.iter().all(|at| *at <= size));
        assert!(structure.breaks.is_sorted());
        if let Some(table) = structure.table {
            for entries in [0, 1, u64::MAX] {
                table.expected(entries);
            }
            let _ = table.contradiction();
        }
    }
});
