//! Compares each stage with the limits of the machine, and prints Markdown tables:
//! `cargo bench -p reeldeck-worker --bench table -- [--short] [--threads N] [model] [winograd] [vit] [decode] [disk] [start] [memory] [soak]`.
//!
//! `… -- fed --device cuda:0 --precision bf16` measures the model on a GPU; scripts/gpu-check.sh runs it.
//!
//! Run it on an idle machine. It fails if a worker takes more memory than designed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod decode;
mod disk;
mod fed;
mod memory;
mod model;
mod vit;
mod winograd;
mod worker;

use std::process::ExitCode;
use std::time::Instant;

use reeldeck_common::versions::LIBTORCH;
use reeldeck_model::device;

/// Options of the measurements.
pub struct Options {
    short: bool,
    threads: i32,
}

fn first_line(file: &str, start: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
}

/// The busy time of all processors, and the CPU time of this process and its children, in seconds.
fn busy() -> (f64, f64) {
    let line = first_line("/proc/stat", "cpu ");
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // All columns but idle and iowait: user, nice, system, interrupts and steal.
    let all: f64 = ticks.iter().enumerate().filter(|(i, _)| ![3, 4].contains(i) && *i < 8).map(|(_, t)| t).sum();
    let ours: f64 = [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].into_iter().map(used).sum();
    // SAFETY: the call takes a number and returns one.
    (all / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64, ours)
}

fn used(whose: i32) -> f64 {
    // SAFETY: the structure contains only numbers and is valid for writing.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(whose, &mut usage);
        usage
    };
    [usage.ru_utime, usage.ru_stime].map(|time| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6).iter().sum()
}

fn main() -> ExitCode {
    // As in the worker, before any thread.
    device::keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |name: &str| arguments.iter().skip_while(|a| *a != name).nth(1)?.parse().ok();
    let options =
        Options { short: arguments.iter().any(|a| a == "--short"), threads: number("--threads").unwrap_or(2) };
    if arguments.iter().any(|a| a == "fed") {
        let word = |name: &str| arguments.iter().skip_while(|a| *a != name).nth(1).map(String::as_str);
        fed::print(
            &options,
            word("--device").unwrap_or("cpu"),
            word("--precision").unwrap_or("fp32"),
            arguments.iter().any(|a| a == "--unfused"),
        );
        return ExitCode::SUCCESS;
    }
    let parts: Vec<&str> = ["model", "winograd", "vit", "decode", "disk", "start", "memory", "soak"]
        .into_iter()
        .filter(|part| arguments.iter().any(|a| a == part))
        .collect();
    let wants = |part: &str| parts.is_empty() || parts.contains(&part);
    let processor = first_line("/proc/cpuinfo", "model name");
    let processor = processor.split(": ").nth(1).unwrap_or("unknown").to_owned();
    println!("Processor: {processor}, {} threads used; libtorch {}.", options.threads, LIBTORCH);
    println!();
    let (started, (all, ours)) = (Instant::now(), busy());
    let mut good = true;
    if wants("model") {
        model::table(&options);
    }
    if wants("winograd") {
        winograd::table(&options);
    }
    if wants("vit") {
        vit::table(&options);
    }
    if wants("decode") {
        decode::table(&options);
    }
    if wants("disk") {
        disk::table();
    }
    if wants("start") {
        memory::start(&options);
    }
    if wants("memory") {
        good = memory::table(&options);
    }
    if wants("soak") {
        memory::soak(&options);
    }
    let (all_now, ours_now) = busy();
    let others = (all_now - all) - (ours_now - ours);
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "It took {seconds:.0} s. Others kept {:.2} processors busy meanwhile; near 0 is needed.",
        others / seconds
    );
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
