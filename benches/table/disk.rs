//! The time to write a feature file atomically, compared with a plain copy.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use reeldeck_common::atomic::{self, Owner};

/// The size of a feature of the built-in recipe in bytes: 100 × 700 numbers and the header.
const BYTES: usize = 100 * 700 * 4 + 2048;
const TIMES: usize = 41;

fn median(mut write: impl FnMut(usize)) -> f64 {
    let mut all: Vec<f64> = (0..TIMES)
        .map(|i| {
            let started = Instant::now();
            write(i);
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[TIMES / 2]
}

/// Prints the table.
pub fn table() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bytes = vec![7; BYTES];
    let path = |kind: &str, i: usize| folder.path().join(format!("{kind}-{i}"));
    let copy = |path: &Path, sync: bool| {
        let mut file = File::create(path).unwrap();
        file.write_all(&bytes).unwrap();
        if sync {
            file.sync_all().unwrap();
        }
    };
    let plain = median(|i| copy(&path("plain", i), false));
    let synced = median(|i| copy(&path("synced", i), true));
    let owner = Owner::this_process();
    let whole = median(|i| atomic::write(&path("whole", i), &owner, |out| out.write_all(&bytes)).unwrap());
    let read = median(|i| assert_eq!(fs::read(path("whole", i)).unwrap().len(), BYTES));
    println!("Writing {BYTES} bytes, medians of {TIMES}, milliseconds:\n");
    println!("| write | write and fsync | atomic write of a feature | read |");
    println!("|---|---|---|---|\n| {plain:.2} | {synced:.2} | {whole:.2} | {read:.2} |\n");
}
