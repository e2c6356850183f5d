//! What CUDA's driver reports about a GPU. **Never run on a GPU so far**; the worker's tests use a fake driver.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::sync::LazyLock;

use libloading::{Library, Symbol};
use reeldeck_common::protocol::FoundGpu;
use reeldeck_common::recipe::Precision;
use tch::Device;

use crate::error::ModelError;

/// The numbers of two attributes in CUDA's header.
const CAPABILITY: [c_int; 2] = [75, 76];

/// The first compute capability with bf16 and TF32: Ampere.
const AMPERE: [c_int; 2] = [8, 0];

/// A GPU, as far as the driver reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its product name.
    pub name: String,
    /// Its compute capability, such as `[9, 0]`.
    pub capability: [c_int; 2],
    /// What the engine needs to know.
    pub found: FoundGpu,
}

/// The driver, or why there is none. It stays loaded until the process ends.
static DRIVER: LazyLock<Result<Library, String>> = LazyLock::new(|| {
    // SAFETY: loading the driver and calling this function are what every program that uses CUDA does first.
    unsafe {
        let driver = Library::new("libcuda.so.1").map_err(|error| error.to_string())?;
        let start = driver.get::<unsafe extern "C" fn(c_uint) -> c_int>(b"cuInit\0");
        match start.map_err(|error| error.to_string())?(0) {
            0 => Ok(driver),
            code => Err(format!("cuInit failed with code {code}")),
        }
    }
});

/// Lets the driver create its device files and load its kernel module, for which it starts a setuid program. Call it before
/// [`confine::harden`](reeldeck_process::confine::harden), which prevents that. Without a driver it does nothing.
pub fn start() {
    LazyLock::force(&DRIVER);
}

/// Why the driver does not work.
pub fn problem() -> Option<&'static str> {
    DRIVER.as_ref().err().map(String::as_str)
}

/// Asks the driver about a GPU, which must be the current device of this thread. `None` for a CPU, or if the driver cannot be asked.
pub fn ask(device: Device) -> Option<Gpu> {
    let Device::Cuda(index) = device else { return None };
    let driver = DRIVER.as_ref().ok()?;
    // SAFETY: the functions have these types in every release of CUDA's interface. They write numbers, and texts of at most the
    // given length.
    unsafe {
        type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
        let mut number = 0;
        let get: Symbol<'_, Get> = driver.get(b"cuDeviceGet\0").ok()?;
        if get(&mut number, c_int::try_from(index).ok()?) != 0 {
            return None;
        }
        type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
        let attribute: Symbol<'_, Attribute> = driver.get(b"cuDeviceGetAttribute\0").ok()?;
        let mut capability = [0; 2];
        for (value, which) in capability.iter_mut().zip(CAPABILITY) {
            if attribute(value, which, number) != 0 {
                return None;
            }
        }
        let name = text(|text, length| {
            type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
            Some(driver.get::<Name>(b"cuDeviceGetName\0").ok()?(text, length, number))
        });
        let pci = text(|text, length| {
            type Address = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
            Some(driver.get::<Address>(b"cuDeviceGetPCIBusId\0").ok()?(text, length, number))
        });
        type Uuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int;
        let mut bytes = [0; 16];
        let uuid = driver.get::<Uuid>(b"cuDeviceGetUuid_v2\0").is_ok_and(|uuid| uuid(&mut bytes, number) == 0);
        let uuid = uuid.then(|| hyphenated(u128::from_be_bytes(bytes)));
        type Memory = unsafe extern "C" fn(*mut usize, *mut usize) -> c_int;
        let (mut free, mut total) = (0, 0);
        let told = driver.get::<Memory>(b"cuMemGetInfo_v2\0").is_ok_and(|memory| memory(&mut free, &mut total) == 0);
        let found = FoundGpu { pci, uuid, free: told.then_some(free as u64) };
        Some(Gpu { name: name.unwrap_or_else(|| "GPU".into()), capability, found })
    }
}

/// An identifier as NVML writes it.
fn hyphenated(uuid: u128) -> String {
    let hex = format!("{uuid:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The text that a call writes to memory of a length; `None` when the call is missing or fails.
fn text(write: impl FnOnce(*mut c_char, c_int) -> Option<c_int>) -> Option<String> {
    let mut text: [c_char; 128] = [0; 128];
    if write(text.as_mut_ptr(), text.len() as c_int - 1)? != 0 {
        return None;
    }
    // SAFETY: the last byte is zero.
    Some(unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned())
}

/// Cards with several video decoders, and how many; the driver does not report it. **Not compared with any card so far.**
const VIDEO_DECODERS: [(&str, usize); 16] = [
    // NVIDIA's Multi-Instance GPU User Guide, "Supported MIG Profiles": the profile that is the whole GPU.
    ("A30", 4),
    ("A100", 5),
    ("H100", 7),
    ("H200", 7),
    ("GH200", 7),
    ("RTX PRO 6000 Blackwell", 4),
    ("RTX PRO 5000 Blackwell", 3),
    ("RTX PRO 4500 Blackwell", 3),
    // NVIDIA's Video Encode and Decode GPU Support Matrix, as quoted elsewhere.
    ("L40S", 3),
    // As other projects say.
    ("L4", 4),
    ("T4", 2),
    ("GeForce RTX 5090", 2),
    // Not confirmed: the same chips as others in this table, or from memory.
    ("L40", 3),
    ("A10", 2),
    ("A10G", 2),
    ("A40", 2),
];

impl Gpu {
    /// The number of its video decoders: one if the card is not in the table. Two streams keep each of them busy, and more would
    /// only take memory.
    pub fn video_decoders(&self) -> usize {
        let words = |text: &str| format!(" {} ", text.replace('-', " "));
        let name = words(&self.name);
        // A part of a card has some of its decoders, and the chip of a laptop is a smaller one.
        if [" MIG ", " Laptop "].iter().any(|part| name.contains(part)) {
            return 1;
        }
        VIDEO_DECODERS.iter().find(|(card, _)| name.contains(&words(card))).map_or(1, |(_, decoders)| *decoders)
    }

    /// Checks that this GPU has the arithmetic of a precision.
    ///
    /// # Errors
    /// [`ModelError::Device`] if it lacks it. libtorch would fail later with a message that does not name the cause, or compute
    /// in fp32 instead of TF32.
    pub fn check(&self, precision: Precision) -> Result<(), ModelError> {
        let missing = match precision {
            Precision::Bf16 if self.capability < AMPERE => "fp16",
            Precision::Tf32 if self.capability < AMPERE => "fp32 or fp16",
            _ => return Ok(()),
        };
        let ([major, minor], name) = (self.capability, precision.name());
        Err(ModelError::Device(format!(
            "{} has compute capability {major}.{minor}, and {name} needs 8.0 or later: set precision in the recipe to {missing}",
            self.name
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_and_tf32_need_ampere() {
        let gpu = |capability| Gpu { name: "Tesla T4".into(), capability, found: FoundGpu::default() };
        for capability in [[7, 0], [7, 5]] {
            for precision in [Precision::Fp32, Precision::Fp16] {
                assert!(gpu(capability).check(precision).is_ok());
            }
            for precision in [Precision::Bf16, Precision::Tf32] {
                let error = gpu(capability).check(precision).unwrap_err().to_string();
                assert!(error.starts_with("Tesla T4 has compute capability 7."), "{error}");
                assert!(error.contains(precision.name()) && error.contains("fp16"), "{error}");
            }
        }
        for capability in [[8, 0], [8, 9], [9, 0], [12, 0]] {
            for precision in [Precision::Fp32, Precision::Tf32, Precision::Bf16, Precision::Fp16] {
                assert!(gpu(capability).check(precision).is_ok());
            }
        }
    }

    #[test]
    fn an_unknown_card_or_a_part_of_one_counts_as_one_video_decoder() {
        for (name, expected) in [
            ("NVIDIA A100-SXM4-80GB", 5),
            ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 1),
            ("NVIDIA A30", 4),
            ("NVIDIA H100 80GB HBM3", 7),
            ("NVIDIA H200", 7),
            ("NVIDIA GH200 480GB", 7),
            ("NVIDIA L4", 4),
            ("NVIDIA L40S", 3),
            ("NVIDIA A10G", 2),
            ("Tesla T4", 2),
            ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 4),
            ("NVIDIA GeForce RTX 5090", 2),
            ("NVIDIA GeForce RTX 5090 Laptop GPU", 1),
            ("NVIDIA GeForce RTX 4090", 1),
            ("Tesla V100-SXM2-16GB", 1),
            ("NVIDIA B200", 1),
            ("NVIDIA X999", 1),
            ("GPU", 1),
        ] {
            let gpu = Gpu { name: name.into(), capability: [9, 0], found: FoundGpu::default() };
            assert_eq!(gpu.video_decoders(), expected, "{name}");
        }
    }

    #[test]
    fn without_a_driver_or_for_a_cpu_nothing_is_known() {
        // No machine has a GPU of this number.
        start();
        assert_eq!([Device::Cpu, Device::Cuda(100_000), Device::Cuda(usize::MAX)].map(ask), [None, None, None]);
    }
}
