//! Devices, and the list of devices in `--devices` and the configuration.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::discovery::gpus::{self, DetectError, Detected};

/// Where a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// The CUDA device with this index.
    Cuda(u32),
}

/// The default number of clips per forward pass on a GPU. It divides 100 clips evenly. It is halved when memory runs out.
pub(crate) const GPU_BATCH: usize = 20;

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let index = text.strip_prefix("cuda:").filter(|i| !i.is_empty() && i.bytes().all(|b| b.is_ascii_digit()));
        match (text, index.map(str::parse)) {
            ("cpu", _) => Ok(Self::Cpu),
            // libtorch stores device numbers in eight bits.
            (_, Some(Ok(index))) if index <= 127 => Ok(Self::Cuda(index)),
            (_, Some(_)) => Err(format!("unknown device `{text}`: indices go up to 127")),
            _ => {
                let digits: String = lower.chars().filter(char::is_ascii_digit).collect();
                let cuda = ["cuda", "gpu", "nvidia"].iter().any(|word| lower.starts_with(word));
                let cuda = cuda || (!digits.is_empty() && digits == lower);
                let index = digits.parse().unwrap_or(0).min(127);
                let meant = if cuda { Self::Cuda(index).to_string() } else { "cpu".into() };
                Err(format!("unknown device `{text}`: write `cpu` or `cuda:N`; did you mean `{meant}`?"))
            }
        }
    }
}

/// The devices to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceList {
    /// All GPUs of the machine, or the CPU without any.
    All,
    /// One worker for each entry. A device that is listed twice has two workers.
    These(Vec<Device>),
}

impl DeviceList {
    /// Whether the list has the CPU only; false for `all`.
    pub fn is_cpu_only(&self) -> bool {
        matches!(self, Self::These(devices) if devices.iter().all(|device| *device == Device::Cpu))
    }

    /// The devices to use, and a note for the user when `all` means the CPU. `torch` is the PyTorch of the configuration.
    /// `all` asks a worker, which may take seconds.
    ///
    /// # Errors
    /// For `all`, when GPUs exist that cannot be used.
    pub fn resolve(&self, torch: &Path) -> Result<(Vec<Device>, Option<String>), DetectError> {
        match self {
            Self::These(devices) => Ok((devices.clone(), None)),
            Self::All => Ok(match gpus::detect(torch)? {
                Detected::Gpus(count) => ((0..count).map(Device::Cuda).collect(), None),
                Detected::None(note) => (vec![Device::Cpu], Some(note)),
            }),
        }
    }
}

impl FromStr for DeviceList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "all" {
            return Ok(Self::All);
        }
        let mut devices = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (name, count) = match item.split_once('*') {
                Some((name, count)) => (name, count.parse().ok().filter(|n| (1..=64).contains(n))),
                None => (item, Some(1)),
            };
            let count = count.ok_or_else(|| format!("`{item}`: write a number of workers from 1 to 64 after `*`"))?;
            if name.is_empty() {
                let place = if text.trim().is_empty() { String::new() } else { format!("`{text}`: ") };
                return Err(format!(
                    "{place}a device is missing; write `cpu`, `all`, or devices such as `cuda:0,cuda:1`"
                ));
            }
            if name == "all" {
                return Err(format!("`{text}`: write `all` alone, or devices such as `cpu` or `cuda:0,cuda:1`"));
            }
            let device: Device = name.parse()?;
            if devices.contains(&device) {
                return Err(format!("`{device}` occurs twice; write `{device}*2` for two workers on it"));
            }
            devices.resize(devices.len() + count, device);
        }
        // A worker on the CPU would take the cores that decode for the GPU, which is a hundred times faster.
        if devices.contains(&Device::Cpu) && devices.iter().any(|device| *device != Device::Cpu) {
            return Err(format!(
                "`{text}`: the GPUs need the processor for decoding, and a worker on it would make the run slower; leave out `cpu`"
            ));
        }
        Ok(Self::These(devices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn these(devices: &[Device]) -> Result<DeviceList, String> {
        Ok(DeviceList::These(devices.to_vec()))
    }

    #[test]
    fn lists_are_parsed_in_order() {
        use Device::*;
        assert_eq!("cpu".parse(), these(&[Cpu]));
        assert_eq!("cpu*2".parse(), these(&[Cpu, Cpu]));
        assert_eq!(" cuda:1, cuda:0*2 ".parse(), these(&[Cuda(1), Cuda(0), Cuda(0)]));
        assert_eq!("cuda:127".parse(), these(&[Cuda(127)]));
        assert_eq!("all".parse(), Ok(DeviceList::All));
        for device in [Cpu, Cuda(0), Cuda(15)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
    }

    #[test]
    fn errors_suggest_the_right_form() {
        for (text, says) in [
            ("cuda", "did you mean `cuda:0`?"),
            ("gpu:3", "did you mean `cuda:3`?"),
            ("CUDA:1", "did you mean `cuda:1`?"),
            ("2", "did you mean `cuda:2`?"),
            ("cuda1", "did you mean `cuda:1`?"),
            ("cuda:-1", "did you mean `cuda:1`?"),
            ("CPU", "did you mean `cpu`?"),
            ("cpuu", "did you mean `cpu`?"),
            ("cuda:128", "indices go up to 127"),
            ("cuda:99999999999", "indices go up to 127"),
            ("cpu*0", "1 to 64"),
            ("cpu*", "1 to 64"),
            ("cpu*65", "1 to 64"),
            ("cpu,cpu", "write `cpu*2` for two workers"),
            ("", "a device is missing; write `cpu`"),
            (" ", "a device is missing; write `cpu`"),
            ("cpu,", "`cpu,`: a device is missing"),
            ("all,cpu", "write `all` alone"),
            ("all*2", "write `all` alone"),
            ("cpu,cuda:0", "leave out `cpu`"),
            ("cuda:0*2,cpu*3", "leave out `cpu`"),
        ] {
            let error = text.parse::<DeviceList>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
