//! Checks what the job, or the machine without a job, gives to this process: devices, cores, memory and time.

use std::fs;

use indicatif::BinaryBytes;

use super::Area;
use crate::allocation::{Memory, cores};
use crate::config::{Device, DeviceList, Settings};
use crate::discovery::Visible;
use crate::discovery::trust::find_program;
use crate::out::duration;
use crate::slurm::Job;

/// Bytes of free memory. Weights, activations and libtorch take about 2 GiB, and decoded frames need more.
const LEAST_MEMORY: u64 = 4 << 30;

/// Checks the allocation.
pub(super) fn look(area: &mut Area<'_>, settings: Option<&Settings>) {
    let job = Job::of_this_process();
    match &job {
        Some(job) => area.ok("job", format!("Slurm job {}", job.name)),
        None if slurm_is_there() => {
            area.note(
                "job",
                "none, but Slurm is here: `reeldeck slurm init` writes a script; run `reeldeck doctor` in a job, too",
            );
        }
        None => area.note("job", "none"),
    }
    devices(area, settings);
    processors(area);
    memory(area);
    if let Some(job) = job {
        match job.time_left() {
            Ok(Some(left)) => {
                area.ok("time left", format!("{} until the limit of the job", duration(left.as_secs_f64())))
            }
            Ok(None) => area.ok("time left", "the job has no limit"),
            Err(error) => area.warning(
                "time left",
                format!("unknown: {error}"),
                "a run continues until Slurm sends SIGTERM; it has KillWait to finish then",
            ),
        }
    }
}

fn slurm_is_there() -> bool {
    find_program("sbatch").is_some()
}

fn devices(area: &mut Area<'_>, settings: Option<&Settings>) {
    const NAME: &str = "devices";
    let visible = Visible::of_this_process();
    let wanted = settings.and_then(|settings| match &settings.devices {
        DeviceList::All => None,
        DeviceList::These(devices) => {
            devices.iter().filter_map(|d| if let Device::Cuda(n) = d { Some(*n) } else { None }).max()
        }
    });
    if let (Some(most), Some(count)) = (wanted, visible.count())
        && most as usize >= count
    {
        let found =
            format!("the configuration names cuda:{most}, and CUDA_VISIBLE_DEVICES leaves {count} to this process");
        return area.missing(
            NAME,
            found,
            "devices count from cuda:0 within a job: set devices = \"all\", or request more GPUs",
        );
    }
    match visible {
        Visible::All => area.ok(NAME, "all GPUs of this machine: CUDA_VISIBLE_DEVICES is not set"),
        Visible::None => area.note(NAME, "no GPU: CUDA_VISIBLE_DEVICES leaves none to this process"),
        Visible::Devices(names) if names.len() > 1 && visible_mig(&names) => area.warning(
            NAME,
            format!("{} (CUDA_VISIBLE_DEVICES)", names.join(", ")),
            "CUDA uses the first MIG instance only: start one engine for each instance",
        ),
        Visible::Devices(names) => area.ok(NAME, format!("{} (CUDA_VISIBLE_DEVICES)", names.join(", "))),
    }
}

fn visible_mig(names: &[String]) -> bool {
    names.iter().any(|name| name.starts_with("MIG-"))
}

fn processors(area: &mut Area<'_>) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let affinity = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map_or("?", str::trim);
    let cores = cores();
    area.ok("cores", format!("{cores} for this process (affinity {affinity})"));
}

fn memory(area: &mut Area<'_>) {
    let Some(memory) = Memory::of_this_process() else {
        return area.note("memory", "unknown: the kernel does not report it");
    };
    let (_, free) = memory.share();
    if free < LEAST_MEMORY {
        let next = format!(
            "a worker needs about {}; end other programs, or request more for the job (Slurm: --mem)",
            BinaryBytes(LEAST_MEMORY)
        );
        area.warning("memory", memory.to_string(), next);
    } else {
        area.ok("memory", memory.to_string());
    }
}
