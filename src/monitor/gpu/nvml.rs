//! The queries of NVML that the gauges need. The functions and structures are those of NVIDIA's header, from nvml-wrapper-sys.

use std::ffi::{CStr, OsStr, c_char, c_uint};

use nvml_wrapper_sys::bindings::{
    NvmlLib, nvmlDevice_t, nvmlMemory_v2_t, nvmlPciInfo_t, nvmlProcessInfo_t, nvmlReturn_t, nvmlUtilization_t,
};

use super::{Gpu, Instance, PciAddress, parse_uuid};
use crate::protocol::snapshot::Gauges;

const SUCCESS: nvmlReturn_t = nvml_wrapper_sys::bindings::nvmlReturn_enum_NVML_SUCCESS;
const GPU_SENSOR: c_uint = nvml_wrapper_sys::bindings::nvmlTemperatureSensors_enum_NVML_TEMPERATURE_GPU;

/// Room for processes that start between the question how many there are and the question which.
const SPARE_PROCESSES: usize = 5;

/// The initialised library.
pub(super) struct Nvml(NvmlLib);

impl Nvml {
    /// Loads and initialises the library. `None` without a driver.
    pub(super) fn load(library: &OsStr) -> Option<Self> {
        // SAFETY: loading the driver's library runs its initialisers, as in every program that uses NVML. Its functions have the
        // types of the bindings in every release.
        unsafe {
            let library = NvmlLib::new(library).ok()?;
            let start = library.nvmlInit_v2.as_ref().ok()?;
            (start() == SUCCESS).then(|| Self(library))
        }
    }

    /// Number of GPUs; `None` after the driver was unloaded.
    pub(super) fn count(&self) -> Option<u32> {
        // SAFETY: the call writes a number.
        value(|count| unsafe { Some(self.0.nvmlDeviceGetCount_v2.as_ref().ok()?(count)) })
    }

    /// A GPU by its index. What it does not report is left out.
    pub(super) fn gpu(&self, index: u32) -> Gpu {
        let mut device: nvmlDevice_t = std::ptr::null_mut();
        // SAFETY: the call writes a handle that is valid as long as the library is loaded.
        let found = unsafe { self.0.nvmlDeviceGetHandleByIndex_v2.as_ref().ok().map(|get| get(index, &mut device)) };
        if found != Some(SUCCESS) {
            return Gpu::default();
        }
        let gauges = Gauges {
            memory: self.memory(device),
            busy_percent: self.busy_percent(device),
            decoder_percent: self.decoder_percent(device),
            // SAFETY: these calls write one number for a valid handle.
            temperature_c: value(|degrees| unsafe {
                Some(self.0.nvmlDeviceGetTemperature.as_ref().ok()?(device, GPU_SENSOR, degrees))
            })
            .map(|degrees: c_uint| degrees as f32),
            // SAFETY: as above.
            power_w: value(|milliwatts| unsafe {
                Some(self.0.nvmlDeviceGetPowerUsage.as_ref().ok()?(device, milliwatts))
            })
            .map(|milliwatts: c_uint| milliwatts as f32 / 1000.0),
        };
        Gpu {
            uuid: self.uuid(device),
            pci: self.pci(device),
            gauges,
            pids: self.pids(device).unwrap_or_default(),
            instances: self.instances(device),
        }
    }

    /// The MIG instances of a GPU.
    fn instances(&self, device: nvmlDevice_t) -> Vec<Instance> {
        // SAFETY: the call writes a number.
        let most = value(|count| unsafe { Some(self.0.nvmlDeviceGetMaxMigDeviceCount.as_ref().ok()?(device, count)) });
        let instance = |index: c_uint| {
            let mut instance: nvmlDevice_t = std::ptr::null_mut();
            // SAFETY: the call writes a handle that is valid as long as the library is loaded.
            let code =
                unsafe { self.0.nvmlDeviceGetMigDeviceHandleByIndex.as_ref().ok()?(device, index, &mut instance) };
            (code == SUCCESS).then(|| Instance {
                uuid: self.uuid(instance).as_deref().and_then(parse_uuid),
                memory: self.memory(instance),
                pids: self.pids(instance).unwrap_or_default(),
            })
        };
        (0..most.unwrap_or(0)).filter_map(instance).collect()
    }

    /// Used and total bytes.
    fn memory(&self, device: nvmlDevice_t) -> Option<[u64; 2]> {
        // The version of the structure, as NVML's header defines it.
        let version = (size_of::<nvmlMemory_v2_t>() | 2 << 24) as c_uint;
        let mut memory = nvmlMemory_v2_t { version, total: 0, reserved: 0, free: 0, used: 0 };
        // SAFETY: the call writes to the structure, whose version it checks.
        let code = unsafe { self.0.nvmlDeviceGetMemoryInfo_v2.as_ref().ok()?(device, &mut memory) };
        (code == SUCCESS).then_some([memory.used, memory.total])
    }

    fn busy_percent(&self, device: nvmlDevice_t) -> Option<f32> {
        let mut rates = nvmlUtilization_t { gpu: 0, memory: 0 };
        // SAFETY: the call writes to the structure.
        let code = unsafe { self.0.nvmlDeviceGetUtilizationRates.as_ref().ok()?(device, &mut rates) };
        (code == SUCCESS).then_some(rates.gpu as f32)
    }

    fn decoder_percent(&self, device: nvmlDevice_t) -> Option<f32> {
        let mut sampling_period_us: c_uint = 0;
        // SAFETY: the call writes two numbers.
        value(|percent| unsafe {
            Some(self.0.nvmlDeviceGetDecoderUtilization.as_ref().ok()?(device, percent, &mut sampling_period_us))
        })
        .map(|percent: c_uint| percent as f32)
    }

    fn uuid(&self, device: nvmlDevice_t) -> Option<String> {
        // The header's NVML_DEVICE_UUID_V2_BUFFER_SIZE.
        let mut text: [c_char; 96] = [0; 96];
        // SAFETY: the call writes at most as many bytes, with a zero at the end.
        unsafe {
            let code = self.0.nvmlDeviceGetUUID.as_ref().ok()?(device, text.as_mut_ptr(), text.len() as c_uint);
            (code == SUCCESS).then(|| CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
        }
    }

    fn pci(&self, device: nvmlDevice_t) -> Option<PciAddress> {
        // SAFETY: the structure consists of numbers. The call writes to it.
        let (code, pci) = unsafe {
            let mut pci: nvmlPciInfo_t = std::mem::zeroed();
            (self.0.nvmlDeviceGetPciInfo_v3.as_ref().ok()?(device, &mut pci), pci)
        };
        (code == SUCCESS).then_some(PciAddress { domain: pci.domain, bus: pci.bus, device: pci.device })
    }

    /// The processes that compute on a GPU.
    fn pids(&self, device: nvmlDevice_t) -> Option<Vec<u32>> {
        let get = self.0.nvmlDeviceGetComputeRunningProcesses_v3.as_ref().ok()?;
        let mut count: c_uint = 0;
        // SAFETY: without room the call only writes the number of processes.
        unsafe { get(device, &mut count, std::ptr::null_mut()) };
        let room = count as usize + SPARE_PROCESSES;
        // SAFETY: the structure consists of numbers. The call writes at most `count` of them.
        let (code, mut processes) = unsafe {
            let mut processes: Vec<nvmlProcessInfo_t> = vec![std::mem::zeroed(); room];
            count = room as c_uint;
            (get(device, &mut count, processes.as_mut_ptr()), processes)
        };
        processes.truncate(count as usize);
        (code == SUCCESS).then(|| processes.iter().map(|process| process.pid).collect())
    }
}

/// What a query writes; `None` when it fails, or the library lacks it.
fn value<T: Default>(query: impl FnOnce(&mut T) -> Option<nvmlReturn_t>) -> Option<T> {
    let mut value = T::default();
    (query(&mut value)? == SUCCESS).then_some(value)
}
