//! GPUs as NVML reports them. Its library belongs to the driver and is loaded at run time. Without it there are no GPUs.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use nvml::Nvml;

use crate::discovery::had_relative_libraries;
use crate::protocol::snapshot::Gauges;

mod nvml;

/// Time until a missing driver is looked for again.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// One GPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gpu {
    /// Its permanent identifier, `GPU-…`.
    pub uuid: Option<String>,
    /// Its measurements.
    pub gauges: Gauges,
    /// The processes that compute on it.
    pub pids: Vec<u32>,
}

/// A source of GPUs, in the order of their PCI bus ids.
pub(crate) trait Gpus: Send {
    /// All GPUs at this moment.
    fn read(&mut self) -> Vec<Gpu>;
}

/// The driver's library.
pub(crate) struct Driver {
    library: OsString,
    nvml: Option<Nvml>,
    tried: Option<Instant>,
}

impl Default for Driver {
    fn default() -> Self {
        // The name without a version belongs to the development package.
        Self { library: "libnvidia-ml.so.1".into(), nvml: None, tried: None }
    }
}

impl Gpus for Driver {
    fn read(&mut self) -> Vec<Gpu> {
        // The loader would look for the library in the current folder first.
        if had_relative_libraries() {
            return vec![];
        }
        if self.nvml.is_none() && self.tried.is_none_or(|tried| tried.elapsed() >= TRY_AGAIN) {
            self.tried = Some(Instant::now());
            self.nvml = Nvml::load(&self.library);
        }
        let Some(nvml) = &self.nvml else { return vec![] };
        let Some(count) = nvml.count() else {
            // After the driver was unloaded, the library must be initialised again.
            self.nvml = None;
            return vec![];
        };
        // A GPU that cannot be read keeps its index.
        (0..count).map(|at| nvml.gpu(at)).collect()
    }
}

/// The index of each worker's GPU. A GPU on which NVML reports the worker's process comes first, because CUDA and NVML may
/// count differently. Otherwise the device's number counts, through `CUDA_VISIBLE_DEVICES` if that is set.
pub(crate) fn assign(
    devices: &[String],
    pids: &[Option<u32>],
    gpus: &[Gpu],
    visible: Option<&str>,
) -> Vec<Option<usize>> {
    let by_number = |index: usize| -> Option<usize> {
        let Some(visible) = visible.filter(|visible| !visible.trim().is_empty()) else { return Some(index) };
        let name = visible.split(',').nth(index)?.trim();
        let of_name = |gpu: &Gpu| gpu.uuid.as_deref().is_some_and(|uuid| uuid.starts_with(name));
        match name.parse() {
            Ok(index) => Some(index),
            Err(_) if name.starts_with("GPU-") => gpus.iter().position(of_name),
            // NVML does not report a MIG instance by number.
            Err(_) => None,
        }
    };
    let one = |(device, pid): (&String, &Option<u32>)| {
        let index: usize = device.strip_prefix("cuda:")?.parse().ok()?;
        let by_process = pid.and_then(|pid| gpus.iter().position(|gpu| gpu.pids.contains(&pid)));
        by_process.or_else(|| by_number(index)).filter(|at| *at < gpus.len())
    };
    devices.iter().zip(pids).map(one).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A GPU whose gauges contain its index.
    pub(crate) fn fake(at: usize, pids: &[u32]) -> Gpu {
        let gauges = Gauges {
            memory: Some([at as u64, 100]),
            busy_percent: Some(at as f32),
            decoder_percent: None,
            temperature_c: Some(40.0 + at as f32),
            power_w: Some(300.0),
        };
        Gpu { uuid: Some(format!("GPU-{at:04}-abcd")), gauges, pids: pids.to_vec() }
    }

    fn devices(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn workers_find_their_gpus_by_number() {
        for count in [0, 1, 8, 16] {
            let gpus: Vec<Gpu> = (0..count).map(|at| fake(at, &[])).collect();
            let names: Vec<String> = (0..16).map(|at| format!("cuda:{at}")).collect();
            let expected: Vec<Option<usize>> = (0..16).map(|at| (at < count).then_some(at)).collect();
            assert_eq!(assign(&names, &[None; 16], &gpus, None), expected);
        }
        assert_eq!(assign(&devices(&["cpu", "cuda:0"]), &[None; 2], &[fake(0, &[])], Some("")), [None, Some(0)]);
    }

    #[test]
    fn processes_and_visible_devices_take_precedence_over_the_number() {
        let gpus: Vec<Gpu> = (0..8).map(|at| fake(at, &[1000 + at as u32])).collect();
        let names = devices(&["cuda:0", "cuda:1", "cuda:2"]);
        let by = |visible: &str| assign(&names, &[None; 3], &gpus, Some(visible));
        assert_eq!(by("6, 2"), [Some(6), Some(2), None]);
        assert_eq!(by("GPU-0005,GPU-9999,3"), [Some(5), None, Some(3)]);
        assert_eq!(by("MIG-GPU-0005/1/0,11"), [None, None, None]);
        let pids = [Some(1007), None, Some(5)];
        assert_eq!(assign(&names, &pids, &gpus, None), [Some(7), Some(1), Some(2)]);
    }

    #[test]
    fn reported_values_are_shown_and_missing_ones_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("driver.c"), folder.path().join("libnvidia-ml.so.1"));
        std::fs::write(&source, include_str!("driver.c")).unwrap();
        let compiled =
            std::process::Command::new("cc").args(["-w", "-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        assert!(compiled.unwrap().success());
        let mut driver = Driver { library: library.clone().into(), ..Driver::default() };
        let all = Gpu {
            uuid: Some("GPU-0000-made-up".into()),
            gauges: Gauges {
                memory: Some([7 << 30, 80 << 30]),
                busy_percent: Some(97.0),
                decoder_percent: Some(41.0),
                temperature_c: Some(63.0),
                power_w: Some(412.5),
            },
            pids: vec![4711, 4712],
        };
        let memory = Some([(7 << 30) + 1, 80 << 30]);
        let some = Gauges { memory, decoder_percent: None, power_w: None, ..all.gauges };
        let some = Gpu { gauges: some, pids: vec![], ..all.clone() };
        let expected = vec![all, some, Gpu::default(), Gpu::default()];
        assert_eq!(driver.read(), expected);
        assert_eq!(driver.read(), expected, "each time");
        // The driver is unloaded, as during an update, and loaded again.
        // SAFETY: the library is the one above, and the names those of ints in it.
        let (set, begun) = unsafe {
            let library = Box::leak(Box::new(libloading::Library::new(&library).unwrap()));
            let gone = *library.get::<*mut std::ffi::c_int>(b"gone").unwrap();
            let begun = *library.get::<*const std::ffi::c_int>(b"begun").unwrap();
            (move |value| gone.write(value), move || begun.read())
        };
        set(1);
        assert_eq!((driver.read(), driver.read()), (vec![], vec![]));
        set(0);
        assert_eq!(driver.read(), [], "it is not asked for all the time");
        driver.tried = None;
        assert_eq!((driver.read(), begun()), (expected, 2));
    }

    #[test]
    fn without_a_driver_there_are_no_gpus() {
        // On a machine with a driver the call returns its GPUs instead.
        let mut driver = Driver::default();
        assert_eq!(driver.read().len(), driver.read().len());
    }
}
