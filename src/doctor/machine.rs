//! Checks the processor and the process limits.

use std::fs;

use indicatif::BinaryBytes;
use rustix::process::{Resource, getrlimit};

use super::Area;

/// Open files. An engine has pipes to each worker and a socket for each client.
const LEAST_FILES: u64 = 1024;

/// Checks the machine.
pub(super) fn look(area: &mut Area<'_>) {
    processor(area);
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
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let model = value("model name").unwrap_or_else(|| "unknown model".into());
    area.ok("processor", model);
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
