//! Checks the NVIDIA driver, the devices, the CUDA build of libtorch, and NVDEC.

use std::fs;
use std::path::{Path, PathBuf};

use super::Area;
use crate::config::{Device, DeviceList, Settings};
use crate::discovery::gpus::{self, GpuError};
use crate::discovery::torch;
use crate::out::count;

/// Checks the GPUs.
pub(super) fn look(area: &mut Area<'_>, settings: Option<&Settings>) {
    let wanted = settings.is_some_and(|settings| match &settings.devices {
        DeviceList::All => false,
        DeviceList::These(devices) => devices.iter().any(|device| matches!(device, Device::Cuda(_))),
    });
    let Some(driver) = driver() else {
        let found = "no NVIDIA driver on this machine";
        if wanted {
            let next = "run on a machine with a GPU, or set devices = \"cpu\"; in a container, pass the GPUs through";
            area.missing("driver", found, next);
        } else {
            area.note("driver", format!("{found}: workers run on the processor"));
        }
        return;
    };
    area.ok("driver", driver);
    if !gpus::may_exist() {
        area.missing(
            "devices",
            "the driver is loaded, but there is no /dev/nvidia0",
            "ask Slurm for a GPU (--gpus=1), or pass it into the container",
        );
        return;
    }
    let models = models();
    area.ok("devices", if models.is_empty() { "models unknown".into() } else { models.join(", ") });
    match library("libnvcuvid.so.1") {
        Some(path) => area.ok("NVDEC", path.display().to_string()),
        None => area.warning(
            "NVDEC",
            "the driver's libnvcuvid.so.1 was not found",
            "install it with the driver (libnvcuvid1); in a container set NVIDIA_DRIVER_CAPABILITIES=compute,video,utility",
        ),
    }
    libtorch(area, settings.map_or(Path::new(""), |settings| &settings.torch), wanted);
}

fn libtorch(area: &mut Area<'_>, named: &Path, wanted: bool) {
    const NAME: &str = "libtorch for CUDA";
    let lib = match torch::find(named) {
        Ok(lib) => lib,
        Err(error) => {
            let next =
                "without it, GPUs cannot be used: reeldeck contains no CUDA build and loads the installed PyTorch";
            return if wanted {
                area.missing(NAME, error.to_string(), next)
            } else {
                area.warning(NAME, error.to_string(), next)
            };
        }
    };
    match gpus::count(&lib) {
        Ok(0) => area.warning(
            NAME,
            format!("{}; it sees no device", lib.display()),
            "check CUDA_VISIBLE_DEVICES, and whether the driver is new enough for this PyTorch",
        ),
        Ok(devices) => {
            let devices = count(devices as usize, "device", "devices");
            area.ok(NAME, format!("{}; it sees {devices}", lib.display()));
        }
        // `programs` reports a missing worker.
        Err(GpuError::Program(_)) => {}
        Err(error) => area.missing(
            NAME,
            format!("{:#}", anyhow::Error::from(error)),
            "reinstall this PyTorch, or name another under [cuda]",
        ),
    }
}

/// The version in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  …`.
fn driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let line = text.lines().next()?;
    let version =
        line.split_whitespace().find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    Some(version.unwrap_or(line).to_owned())
}

fn models() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc/driver/nvidia/gpus") else { return vec![] };
    let mut models: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("information")).ok()?;
            let line = text.lines().find(|line| line.starts_with("Model:"))?;
            Some(line.trim_start_matches("Model:").trim().to_owned())
        })
        .collect();
    models.sort();
    models
}

/// Searches the usual folders of the dynamic loader.
fn library(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let usual = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/lib64",
        "/usr/local/nvidia/lib64",
        "/usr/lib/wsl/lib",
    ];
    std::env::split_paths(&named)
        .chain(usual.into_iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
}
