//! The model and the decoder against the machine's own limits, as Markdown tables:
//! `cargo bench -p reeldeck-worker --bench table -- [--short] [--threads N] [model] [decode] [memory]`.
//!
//! Leave the machine alone while it runs. Ends with an error where a bound of the design is broken.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod decode;
mod memory;
mod model;

use std::process::ExitCode;

use reeldeck_contract::pinned::LIBTORCH;
use reeldeck_model::device;

/// What to measure, and how long.
pub struct Options {
    short: bool,
    threads: i32,
}

fn first_line(file: &str, start: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
}

fn load() -> String {
    first_line("/proc/loadavg", "").split(' ').take(2).collect::<Vec<_>>().join(", ")
}

fn main() -> ExitCode {
    // Before any thread, as the worker does it.
    device::keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |name: &str| arguments.iter().skip_while(|a| *a != name).nth(1)?.parse().ok();
    let options =
        Options { short: arguments.iter().any(|a| a == "--short"), threads: number("--threads").unwrap_or(2) };
    let parts: Vec<&str> =
        ["model", "decode", "memory"].into_iter().filter(|part| arguments.iter().any(|a| a == part)).collect();
    let wants = |part: &str| parts.is_empty() || parts.contains(&part);
    let processor = first_line("/proc/cpuinfo", "model name");
    let processor = processor.split(": ").nth(1).unwrap_or("unknown").to_owned();
    println!("Processor: {processor}, {} threads used; libtorch {}.", options.threads, LIBTORCH);
    println!("Load of the machine over 1 and 5 minutes before: {}.\n", load());
    let mut good = true;
    if wants("model") {
        model::table(&options);
    }
    if wants("decode") {
        decode::table(&options);
    }
    if wants("memory") {
        good = memory::table(&options);
    }
    println!("Load after: {}.", load());
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
