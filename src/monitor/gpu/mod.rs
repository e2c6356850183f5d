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
    /// Its address.
    pub pci: Option<PciAddress>,
    /// Its measurements.
    pub gauges: Gauges,
    /// The processes that compute on it.
    pub pids: Vec<u32>,
    /// The MIG instances into which it is divided.
    pub instances: Vec<Instance>,
}

/// A MIG instance of a GPU. NVML reports its memory and nothing else that a gauge shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Instance {
    /// Its permanent identifier.
    pub uuid: Option<u128>,
    /// Used and total bytes.
    pub memory: Option<[u64; 2]>,
    /// The processes that compute on it.
    pub pids: Vec<u32>,
}

/// Parses an identifier such as `MIG-01234567-89ab-cdef-0123-456789abcdef`, with or without the type in front.
pub(crate) fn parse_uuid(text: &str) -> Option<u128> {
    let digits = text.trim_start_matches("MIG-").replace('-', "");
    u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)
}

impl Gpu {
    /// What a worker on this GPU shows. In a MIG instance, memory is that of the instance, or unknown if NVML does not report which
    /// one it is; temperature and power are those of the whole GPU.
    pub(crate) fn gauges_of(&self, place: &Place) -> Gauges {
        if self.instances.is_empty() {
            return self.gauges;
        }
        let by_uuid = |instance: &&Instance| instance.uuid.is_some() && instance.uuid == place.uuid;
        let by_process = |instance: &&Instance| place.pid.is_some_and(|pid| instance.pids.contains(&pid));
        let own = self.instances.iter().find(by_uuid).or_else(|| self.instances.iter().find(by_process));
        Gauges { memory: own.and_then(|instance| instance.memory), ..self.gauges }
    }
}

/// The address of a device on the PCI bus. CUDA and NVML agree on it, whatever their numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PciAddress {
    pub domain: u32,
    pub bus: u32,
    pub device: u32,
}

impl PciAddress {
    /// Parses CUDA's form, `0000:3b:00.0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(['.', ':']).map(|part| u32::from_str_radix(part, 16).ok());
        let (domain, bus, device) = (parts.next()??, parts.next()??, parts.next()??);
        Some(Self { domain, bus, device })
    }
}

/// Where a worker runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Its process.
    pub pid: Option<u32>,
    /// Its GPU, as it has reported it.
    pub pci: Option<PciAddress>,
    /// The identifier of its GPU or MIG instance, as it has reported it.
    pub uuid: Option<u128>,
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

/// The index of each worker's GPU. CUDA and NVML may count differently, so the number of a device comes last: first the GPU whose
/// address the worker has reported, which for a MIG instance is the whole GPU, then one on which NVML reports the worker's process,
/// then the device's number, through `CUDA_VISIBLE_DEVICES` if that is set.
pub(crate) fn assign(devices: &[String], places: &[Place], gpus: &[Gpu], visible: Option<&str>) -> Vec<Option<usize>> {
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
    let one = |(device, place): (&String, &Place)| {
        let index: usize = device.strip_prefix("cuda:")?.parse().ok()?;
        let by_address = place.pci.and_then(|pci| gpus.iter().position(|gpu| gpu.pci == Some(pci)));
        let by_process = || gpus.iter().position(|gpu| place.pid.is_some_and(|pid| gpu.pids.contains(&pid)));
        by_address.or_else(by_process).or_else(|| by_number(index)).filter(|at| *at < gpus.len())
    };
    devices.iter().zip(places).map(one).collect()
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
        let pci = Some(PciAddress { domain: 0, bus: 0x10 + at as u32, device: 0 });
        Gpu { uuid: Some(format!("GPU-{at:04}-abcd")), pci, gauges, pids: pids.to_vec(), instances: vec![] }
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
            assert_eq!(assign(&names, &[Place::default(); 16], &gpus, None), expected);
        }
        assert_eq!(
            assign(&devices(&["cpu", "cuda:0"]), &[Place::default(); 2], &[fake(0, &[])], Some("")),
            [None, Some(0)]
        );
    }

    #[test]
    fn processes_and_visible_devices_take_precedence_over_the_number() {
        let gpus: Vec<Gpu> = (0..8).map(|at| fake(at, &[1000 + at as u32])).collect();
        let names = devices(&["cuda:0", "cuda:1", "cuda:2"]);
        let by = |visible: &str| assign(&names, &[Place::default(); 3], &gpus, Some(visible));
        assert_eq!(by("6, 2"), [Some(6), Some(2), None]);
        assert_eq!(by("GPU-0005,GPU-9999,3"), [Some(5), None, Some(3)]);
        assert_eq!(by("MIG-GPU-0005/1/0,11"), [None, None, None]);
        let places = [Some(1007), None, Some(5)].map(|pid| Place { pid, ..Place::default() });
        assert_eq!(assign(&names, &places, &gpus, None), [Some(7), Some(1), Some(2)]);
    }

    /// CUDA numbers GPUs by their speed unless told otherwise, hides some, and shows a MIG instance as a device.
    #[test]
    fn the_reported_address_takes_precedence_over_everything_else() {
        let gpus: Vec<Gpu> = (0..4).map(|at| fake(at, &[1000 + at as u32])).collect();
        let at = |text: &str| Place { pid: Some(1003), pci: PciAddress::parse(text), uuid: None };
        let places = [at("0000:12:00.0"), at("00000000:10:00.0"), at("0000:13:00.0"), at("0001:12:00.0"), at("12")];
        let names = devices(&["cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:4"]);
        for visible in [None, Some("3,2,1,0"), Some("GPU-0000"), Some("MIG-GPU-0005/1/0")] {
            let found = assign(&names, &places, &gpus, visible);
            assert_eq!(
                found,
                [Some(2), Some(0), Some(3), Some(3), Some(3)],
                "{visible:?}; unknown addresses count by process"
            );
        }
        let upper = PciAddress::parse("0000:3B:1F.0");
        assert_eq!(upper, Some(PciAddress { domain: 0, bus: 0x3b, device: 0x1f }));
        assert_eq!(["", "0000:3b", "gpu:1:2"].map(PciAddress::parse), [None; 3]);
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
            pci: Some(PciAddress { domain: 0, bus: 0x3b, device: 0 }),
            gauges: Gauges {
                memory: Some([7 << 30, 80 << 30]),
                busy_percent: Some(97.0),
                decoder_percent: Some(41.0),
                temperature_c: Some(63.0),
                power_w: Some(412.5),
            },
            pids: vec![4711, 4712],
            instances: vec![],
        };
        let memory = Some([(7 << 30) + 1, 80 << 30]);
        let some = Gauges { memory, decoder_percent: None, power_w: None, ..all.gauges };
        let pci = Some(PciAddress { domain: 0, bus: 0x3c, device: 0 });
        let instance = |number: u32| Instance {
            uuid: Some(0x0123_4567_89ab_cdef_0123_0000_0000_0000 + u128::from(number)),
            memory: Some([(7 << 30) + u64::from(number), 10 << 30]),
            pids: vec![4711 + 2 * number, 4712 + 2 * number],
        };
        let instances = vec![instance(3), instance(4)];
        let some = Gpu { gauges: some, pci, pids: vec![], instances, ..all.clone() };
        let expected = vec![all, some, Gpu::default(), Gpu::default()];
        assert_eq!(driver.read(), expected);
        assert_eq!(driver.read(), expected, "each time");
        let of = |uuid: &str, pid| Place { pid: Some(pid), pci, uuid: parse_uuid(uuid) };
        for (place, memory) in [
            (of("01234567-89ab-cdef-0123-000000000004", 1), Some([(7 << 30) + 4, 10 << 30])),
            (of("01234567-89ab-cdef-0123-000000000003", 4719), Some([(7 << 30) + 3, 10 << 30])),
            (of("", 4719), Some([(7 << 30) + 4, 10 << 30])),
            (of("01234567-89ab-cdef-0123-000000000009", 1), None),
        ] {
            let found = expected[1].gauges_of(&place);
            assert_eq!(
                found,
                Gauges { memory, ..expected[1].gauges },
                "the memory of the instance, never of the whole GPU"
            );
            assert_eq!(expected[0].gauges_of(&place), expected[0].gauges);
        }
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
