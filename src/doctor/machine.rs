//! Checks the processor, the memory and the process limits.

use std::fs;

use indicatif::BinaryBytes;
use rustix::process::{Resource, getrlimit};

use super::Area;

/// Bytes of free memory. Weights, activations and libtorch take about 2 GiB, and decoded frames need more.
const LEAST_MEMORY: u64 = 4 << 30;

/// Open files. An engine has pipes to each worker and a socket for each client.
const LEAST_FILES: u64 = 1024;

/// Checks the machine.
pub(super) fn look(area: &mut Area<'_>) {
    processor(area);
    memory(area);
    let files = getrlimit(Resource::Nofile).current;
    match files {
        Some(files) if files < LEAST_FILES => {
            area.warning("open files", format!("at most {files}"), format!("raise it: ulimit -n {LEAST_FILES}"));
        }
        _ => area.ok("open files", files.map_or("no limit".into(), |files| format!("at most {files}"))),
    }
    if let Some(most) = getrlimit(Resource::As).current {
        let found = format!("limited to {}", BinaryBytes(most));
        area.warning(
            "address space",
            found,
            "libtorch maps much more memory than it uses; remove the limit with ulimit -v unlimited",
        );
    }
}

fn processor(area: &mut Area<'_>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let model = value("model name").unwrap_or_else(|| "unknown model".into());
    area.ok("processor", format!("{threads} threads for this process, {model}"));
    let flags = value("flags").unwrap_or_default();
    let has = |flag: &str| flags.split(' ').any(|word| word == flag);
    let sets: Vec<&str> = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"].into_iter().filter(|flag| has(flag)).collect();
    match sets.is_empty() {
        true => {
            area.warning("instruction set", "neither AVX2 nor AVX-512", "it works; `reeldeck tune` measures how fast");
        }
        false => area.ok("instruction set", sets.join(", ")),
    }
    area.note("speed", "`reeldeck tune` measures the speed of this machine, and which settings are fastest");
}

fn memory(area: &mut Area<'_>) {
    let Ok(mut system) = sysinfo::System::new() else {
        return area.note("memory", "unknown: the kernel does not report it");
    };
    system.refresh_memory();
    let (mut total, mut free) = (system.total_memory(), system.available_memory());
    let mut of = "";
    if let Some(group) = system.cgroup_limits().filter(|group| group.total_memory < total) {
        (total, free, of) = (group.total_memory, group.free_memory, " of this control group");
    }
    let found = format!("{} free of {}{of}", BinaryBytes(free), BinaryBytes(total));
    if free < LEAST_MEMORY {
        let next = format!(
            "a worker needs about {}; end other programs, or request more from Slurm",
            BinaryBytes(LEAST_MEMORY)
        );
        area.warning("memory", found, next);
    } else {
        area.ok("memory", found);
    }
}
