//! The GPUs that a scheduler or a user leaves to this process: `CUDA_VISIBLE_DEVICES`, as CUDA reads it.

/// What the variable says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// It is not set: all GPUs.
    All,
    /// No GPU: it is empty, or begins with something that is no device. Slurm writes `NoDevFiles` for a job without GPUs.
    None,
    /// These, by number, or by the identifier of a GPU or of a MIG instance.
    Devices(Vec<String>),
}

impl Visible {
    /// Of this process.
    pub(crate) fn of_this_process() -> Self {
        Self::parse(std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref())
    }

    pub(crate) fn parse(text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::All };
        let is_device =
            |name: &&str| name.parse::<u32>().is_ok() || name.starts_with("GPU-") || name.starts_with("MIG-");
        // CUDA ignores what follows an entry that it cannot use.
        let devices: Vec<String> = text.split(',').map(str::trim).take_while(is_device).map(str::to_owned).collect();
        if devices.is_empty() { Self::None } else { Self::Devices(devices) }
    }

    /// How many devices CUDA shows at most; `None` for all. Of several MIG instances it shows the first.
    pub(crate) fn count(&self) -> Option<usize> {
        match self {
            Self::All => None,
            Self::None => Some(0),
            Self::Devices(devices) if devices.iter().any(|name| name.starts_with("MIG-")) => Some(1),
            Self::Devices(devices) => Some(devices.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_as_cuda_reads_it() {
        let devices = |text| match Visible::parse(Some(text)) {
            Visible::Devices(devices) => devices.join(" "),
            other => format!("{other:?}"),
        };
        assert_eq!(Visible::parse(None), Visible::All);
        for (text, expected) in [
            ("", "None"),
            ("-1", "None"),
            ("NoDevFiles", "None"),
            ("3", "3"),
            (" 0, 2 ", "0 2"),
            ("0,-1,2", "0"),
            ("GPU-8932f937,GPU-7e4a", "GPU-8932f937 GPU-7e4a"),
            ("MIG-GPU-8932f937/1/0,MIG-2", "MIG-GPU-8932f937/1/0 MIG-2"),
        ] {
            assert_eq!(devices(text), expected, "{text:?}");
        }
        let count = |text| Visible::parse(text).count();
        assert_eq!([None, Some(""), Some("1,2"), Some("MIG-1,MIG-2")].map(count), [None, Some(0), Some(2), Some(1)]);
    }
}
