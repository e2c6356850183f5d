//! From settings to workers: which devices, how many threads, how far ahead to decode.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;
use reeldeck_contract::atomic::Owner;
use reeldeck_contract::layout::Layout;
use reeldeck_contract::protocol::{Init, VERSION};
use reeldeck_contract::recipe::Precision;

use crate::commands;
use crate::config::{Device, DeviceList, Settings};
use crate::engine::checkpoint::Chosen;
use crate::engine::run::Plan;
use crate::engine::torch;
use crate::engine::worker::Launch;
use crate::error::{Exit, Stop};

/// The devices of a run. `all` means every NVIDIA device that the driver shows, or the CPU where there is none.
pub fn devices(settings: &Settings) -> Vec<Device> {
    match &settings.devices {
        DeviceList::These(devices) => devices.clone(),
        DeviceList::All => {
            let there = |index: &u32| Path::new(&format!("/dev/nvidia{index}")).exists();
            let count = (0..128).take_while(there).count() as u32;
            if count == 0 { vec![Device::Cpu] } else { (0..count).map(Device::Cuda).collect() }
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Videos that one worker decodes at a time. On a CPU the model takes a hundred times longer than decoding; a GPU outruns
/// all the cores there are.
pub fn decoders(settings: &Settings, devices: &[Device]) -> usize {
    match settings.worker.decoders {
        0 if devices.iter().all(|device| *device == Device::Cpu) => 1,
        0 => (cores() / devices.len().max(1)).max(1),
        chosen => chosen,
    }
}

/// What each worker is told and how it is started.
///
/// # Errors
/// When the worker program or the CUDA libraries are not there.
pub fn plan(settings: &Settings, layout: &Layout, chosen: &Chosen, owner: &Owner) -> Result<Plan> {
    let program = commands::worker()?;
    let devices = devices(settings);
    let on_cpu = devices.iter().filter(|device| **device == Device::Cpu).count();
    let decoders = decoders(settings, &devices);
    let or = |chosen: usize, otherwise: usize| if chosen == 0 { otherwise } else { chosen };
    let init = |device: &Device| {
        let is_cpu = *device == Device::Cpu;
        Init {
            version: VERSION,
            recipe: settings.recipe.clone(),
            set: layout.set().to_owned(),
            checkpoint: chosen.source.clone(),
            checkpoint_id: chosen.id.clone(),
            device: device.to_string(),
            threads: or(settings.worker.threads, (cores() / on_cpu.max(1)).max(1)),
            decoders,
            // A frame of the built-in recipe has 192 KiB: 64 are 12 MiB, a whole video is at most 150 MiB.
            prefetch_frames: or(settings.worker.prefetch_frames, if is_cpu { 64 } else { 400 }),
            limits: settings.limits,
            owner: owner.clone(),
        }
    };
    let cuda = devices.iter().any(|device| matches!(device, Device::Cuda(_)));
    let torch_lib = if cuda {
        Some(torch::find(&settings.torch).map_err(|e| Stop::new(Exit::Usage, e.to_string()))?)
    } else {
        None
    };
    let launch = |device: &Device| {
        let mut environment: Vec<(OsString, OsString)> = vec![];
        if let (Device::Cuda(_), Some(lib)) = (device, &torch_lib) {
            // Two builds of libtorch must not mix: this one takes the place of the one beside the worker.
            environment.push(("LD_LIBRARY_PATH".into(), lib.into()));
            environment.push(("REELDECK_TORCH_LIB".into(), lib.into()));
            if settings.recipe.precision != Precision::Tf32 {
                // libtorch lets cuDNN shorten fp32 products unless told otherwise.
                environment.push(("NVIDIA_TF32_OVERRIDE".into(), "0".into()));
            }
        }
        Launch { program: program.clone(), environment }
    };
    Ok(Plan {
        root: settings.root.clone(),
        layout: layout.clone(),
        owner: owner.clone(),
        inits: devices.iter().map(init).collect(),
        batches: devices.iter().map(|d| or(settings.worker.batch, if *d == Device::Cpu { 2 } else { 8 })).collect(),
        launches: devices.iter().map(launch).collect(),
    })
}
