//! Derives the devices, the workers and the plan of an engine from the settings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use reeldeck_common::atomic::Owner;
use reeldeck_common::layout::Layout;
use reeldeck_common::limits::Limits;
use reeldeck_common::protocol::{Init, VERSION};
use reeldeck_common::recipe::Recipe;
use reeldeck_process::Program;
use tokio::sync::mpsc;

use crate::allocation::cores;
use crate::config::{Device, GPU_BATCH, Settings, WatchMode, measurements};
use crate::dataset::probe::cache;
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::dataset::watch::{Backend, Watch, WatchOptions};
use crate::discovery::{self, torch};
use crate::engine::background_tasks::TaskContext;
use crate::engine::checkpoint::ChosenWeights;
use crate::engine::claims::{Claims, ClaimsEvent};
use crate::engine::dataset_folder::DatasetFolder;
use crate::engine::excluded;
use crate::engine::files::Files;
use crate::engine::other_files::OtherFiles;
use crate::engine::output::Output;
use crate::engine::plan::Plan;
use crate::engine::registration::Registration;
use crate::engine::state::{Rules, Slot};
use crate::engine::worker::Launch;
use crate::engine::{crash_recovery, inspector};
use crate::error::{Exit, ExitError};
use crate::out::errln;
use crate::protocol::last_run;

use super::sizes::{self, Sizes, memory, or, tuned};

/// The smallest address space of a worker; libtorch alone maps a gigabyte.
const LEAST_MEMORY_MIB: u64 = 4096;

/// The devices of a run. For `all` this asks a worker, which may take seconds.
///
/// # Errors
/// For `all`, when GPUs exist that cannot be used.
pub(crate) fn devices(settings: &Settings) -> Result<Vec<Device>, ExitError> {
    let (devices, note) = settings.devices.resolve(&settings.torch)?;
    if let Some(note) = note {
        errln!("note: {note}");
    }
    Ok(devices)
}

/// The slots of the workers, one for each device.
pub(crate) fn slots(settings: &Settings, devices: &[Device]) -> Vec<Slot> {
    let sizes = Sizes::of(settings, devices);
    let tuned = tuned(settings, devices).map_or(2, |way| way.batch);
    let batch = |device: &Device| or(settings.worker.batch, if *device == Device::Cpu { tuned } else { GPU_BATCH });
    let slot = |device: &Device| {
        let capacity = sizes.capacity(*device).capacity;
        Slot { device: device.to_string(), capacity, batch: batch(device) }
    };
    devices.iter().map(slot).collect()
}

/// The limits of the run.
pub(crate) fn rules(settings: &Settings) -> Rules {
    Rules {
        clips: settings.recipe.sampling.fixed_rows(),
        stall_timeout: settings.worker.stall_timeout_s * 1000,
        wall_limit: settings.limits.wall_s * 1000,
    }
}

/// The size of the feature file of a video of usual length, in bytes; an upper bound if all videos have as many clips.
pub(crate) fn feature_size(recipe: &Recipe) -> u64 {
    let columns: usize = recipe.outputs.iter().map(|output| recipe.columns(*output)).sum();
    (recipe.sampling.usual_rows() * columns * 4 + 65_536) as u64
}

/// How the dataset folder is watched; `None` if it is not.
fn watch(settings: &Settings) -> Option<WatchOptions> {
    let backend = match settings.watch.mode {
        WatchMode::Auto => Backend::Auto,
        WatchMode::Events => Backend::Events,
        WatchMode::Polling => Backend::Polling,
        WatchMode::Off => return None,
    };
    let (settle, poll) = (settings.watch.settle_s, settings.watch.poll_s);
    Some(WatchOptions {
        settle: Duration::from_secs(settle),
        poll: Duration::from_secs(poll),
        backend,
        ..WatchOptions::new(settings.root.clone(), settings.scan.clone())
    })
}

/// The inputs of the inspector.
pub(crate) fn inspector(settings: &Settings, layout: &Layout, files: Files) -> inspector::Plan {
    inspector::Plan {
        root: settings.root.clone(),
        manifest: settings.manifest.clone(),
        prefix: settings.prefix.clone(),
        cache: layout.private().join(cache::FOLDER),
        limits: settings.limits,
        files,
        prober: discovery::probe().map_err(|error| format!("{error:#}")),
    }
}

/// The plan of the engine: how each worker is started, and everything that does not change during a run. An engine that waits
/// for clients is given the files of its first scan, and watches the dataset folder.
///
/// # Errors
/// When the worker program or the CUDA libraries are missing, or the output folder cannot be read.
#[expect(clippy::too_many_arguments, reason = "each is a result of one step of the start")]
pub(crate) fn plan(
    settings: &Settings,
    layout: &Layout,
    chosen: &ChosenWeights,
    owner: &Owner,
    registration: &Registration,
    claims: Claims,
    news: mpsc::UnboundedReceiver<ClaimsEvent>,
    devices: &[Device],
    files: &[VideoFile],
    waits: bool,
    others: Arc<OtherFiles>,
) -> Result<Plan> {
    let program = discovery::worker()?;
    let on_cpu = devices.iter().filter(|device| **device == Device::Cpu).count();
    let sizes = Sizes::of(settings, devices);
    let in_flight: usize = devices.iter().map(|device| sizes.capacity(*device).capacity).sum();
    let threads = tuned(settings, devices).map_or((cores() / on_cpu.max(1)).max(1), |way| way.threads);
    let (total, free) = memory();
    let limits = Limits {
        memory_mib: match settings.limits.memory_mib {
            0 => (total / (1 << 20) / on_cpu.max(1) as u64).max(LEAST_MEMORY_MIB),
            chosen => chosen,
        },
        ..settings.limits
    };
    let init = |device: &Device| Init {
        version: VERSION,
        recipe: settings.recipe.clone(),
        set: layout.set().to_owned(),
        checkpoint: chosen.source.clone(),
        checkpoint_id: chosen.id.clone(),
        device: device.to_string(),
        threads: or(settings.worker.threads, threads),
        decoders: sizes.capacity(*device).decoders,
        prefetch_frames: sizes::prefetch(settings, *device == Device::Cpu, in_flight, free),
        algorithms: measurements::algorithms(),
        nvdec: sizes.nvdec(*device),
        graphs: settings.graphs && *device != Device::Cpu,
        limits,
        owner: owner.clone(),
    };
    let cuda = devices.iter().any(|device| matches!(device, Device::Cuda(_)));
    let of_gpus = match cuda {
        true => torch::environment(&settings.torch, settings.recipe.precision)
            .map_err(|error| ExitError::new(Exit::Usage, error.to_string()))?,
        false => vec![],
    };
    let launch = |device: &Device| {
        let environment = if *device == Device::Cpu { vec![] } else { of_gpus.clone() };
        // A worker on a GPU has no limit.
        let memory_mib = (*device == Device::Cpu).then_some(limits.memory_mib);
        Launch { device: device.to_string(), program: Program { environment, ..Program::new(&program) }, memory_mib }
    };
    let room = (in_flight as u64 * feature_size(&settings.recipe)).max(1 << 20);
    let output = Output::new(layout.clone(), registration.clone(), room);
    let dataset = DatasetFolder::new(&settings.root, files)
        .with_context(|| format!("failed to read the dataset folder {}", shown(&settings.root)))?;
    let private = layout.private();
    let excluded = excluded::read(&private)?;
    Ok(Plan {
        waits,
        others,
        needs: chosen.needs.clone(),
        last_run: last_run::read(&private).map(Box::new),
        policy: super::work::policy(settings),
        excluded,
        watch: if waits { watch(settings).map(|options| Watch::start(options, files)) } else { None },
        task_context: TaskContext {
            root: settings.root.clone(),
            dataset: Arc::new(dataset),
            scan: settings.scan.clone(),
            layout: layout.clone(),
            recipe: settings.recipe.clone(),
            style: settings.label_style,
            owner: owner.clone(),
            manifest: settings.manifest.clone(),
            prefix: settings.prefix.clone(),
            accepted: settings.accepted(),
        },
        kill_wait_s: settings.engine.kill_wait_s,
        feature_size: feature_size(&settings.recipe),
        root: settings.root.clone(),
        claims,
        news: Some(news),
        layout: layout.clone(),
        owner: owner.clone(),
        engine: registration.id(),
        inits: devices.iter().map(init).collect(),
        default_batch: settings.worker.batch == 0,
        launches: devices.iter().map(launch).collect(),
        output: output.with_context(|| format!("failed to look at {}", layout.out().display()))?,
        journal: crash_recovery::journal(&private, &registration.id())
            .with_context(|| format!("failed to read {}", shown(&crash_recovery::folder(&private))))?,
    })
}
