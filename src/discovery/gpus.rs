//! Finds the GPUs that workers can use. A worker counts them by CUDA itself, which follows CUDA_VISIBLE_DEVICES, MIG and the
//! limits of a container.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::about::Worker;
use reeldeck_process::Program;

use super::torch::{self, TorchError};
use super::{AskError, ProgramError, Visible, ask, worker};
use crate::error::{Exit, ExitError};

/// CUDA's libraries have gigabytes, which may have to come over a network.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Why the GPUs cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// There is no CUDA build of libtorch.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// There is no worker to ask.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The worker does not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// CUDA does not work.
    #[error("the PyTorch in {} cannot use CUDA: {reason}", lib.display())]
    Cuda {
        /// The folder of its libraries.
        lib: PathBuf,
        /// The cause, in libtorch's words.
        reason: String,
    },
    /// CUDA works and shows no device.
    #[error("CUDA shows none of them to this process; the driver may be too old for this PyTorch")]
    Hidden,
    /// The job or the user has chosen devices, and CUDA shows none of them.
    #[error("CUDA_VISIBLE_DEVICES is {0}, and CUDA shows no such device to this process")]
    NotVisible(String),
}

/// NVIDIA devices exist that cannot be used. A run would be a hundred times slower on the CPU, so it must not fall back to it
/// silently.
#[derive(Debug, thiserror::Error)]
#[error(
    "this machine has NVIDIA devices, or its job requested some, and they cannot be used; `reeldeck doctor` shows what is \
     missing, and `--devices cpu` runs without them"
)]
pub struct DetectError(#[source] pub GpuError);

impl From<DetectError> for ExitError {
    fn from(error: DetectError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

/// What `all` means on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    /// CUDA devices 0 to this number, exclusive.
    Gpus(u32),
    /// No device, and why, for the user.
    None(String),
}

/// Whether the kernel knows an NVIDIA device. Immediate, and only a hint: this process may not be allowed to use it.
pub(crate) fn may_exist() -> bool {
    may_exist_in(Path::new("/"))
}

fn may_exist_in(root: &Path) -> bool {
    let devices = fs::read_dir(root.join("dev")).into_iter().flatten().flatten();
    let is_device = |name: &str| name.strip_prefix("nvidia").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let has_node = devices.filter_map(|entry| entry.file_name().into_string().ok()).any(|name| is_device(&name));
    has_node || fs::read_dir(root.join("proc/driver/nvidia/gpus")).is_ok_and(|mut gpus| gpus.next().is_some())
}

/// The CUDA devices that a worker can use with the libraries in `lib`, the result of [`torch::find`].
///
/// # Errors
/// When the worker cannot count them.
pub(crate) fn count(lib: &Path) -> Result<u32, GpuError> {
    count_with(&worker()?, lib, TIMEOUT)
}

fn count_with(worker: &Path, lib: &Path, timeout: Duration) -> Result<u32, GpuError> {
    let program = Program {
        arguments: vec!["about".into()],
        environment: torch::library_path(lib).into(),
        ..Program::new(worker)
    };
    let failed = |reason| GpuError::Cuda { lib: lib.to_owned(), reason };
    let about: Worker = ask(&program, timeout)?;
    let devices = about.cuda.unwrap_or_else(|| Err("the worker did not try".into())).map_err(failed)?;
    u32::try_from(devices).map_err(|_| failed(format!("it counts {devices} devices")))
}

/// What `all` means on this machine, with the PyTorch in the folder `named`, or the one that python3 imports.
///
/// # Errors
/// When NVIDIA devices exist that cannot be used.
pub(crate) fn detect(named: &Path) -> Result<Detected, DetectError> {
    let visible = Visible::of_this_process();
    if visible == Visible::None {
        return Ok(Detected::None("CUDA_VISIBLE_DEVICES leaves no GPU to this process; using the CPU".into()));
    }
    let counted = torch::find(named).map_err(GpuError::from).and_then(|lib| count(&lib));
    decide(counted, may_exist(), &visible)
}

fn decide(counted: Result<u32, GpuError>, may_exist: bool, visible: &Visible) -> Result<Detected, DetectError> {
    // Whoever has chosen devices expects them to be used.
    let may_exist = may_exist || matches!(visible, Visible::Devices(_));
    match counted {
        Ok(0) if let Visible::Devices(names) = visible => Err(DetectError(GpuError::NotVisible(names.join(",")))),
        Ok(0) if may_exist => Err(DetectError(GpuError::Hidden)),
        Ok(0) | Err(GpuError::Torch(TorchError::NotFound)) if !may_exist => {
            Ok(Detected::None("no GPU on this machine; using the CPU".into()))
        }
        Ok(count) => Ok(Detected::Gpus(count)),
        Err(error) if may_exist => Err(DetectError(error)),
        Err(error) => {
            let cause = format!("{:#}", anyhow::Error::from(error));
            Ok(Detected::None(format!(
                "no GPU was found on this machine, and CUDA cannot be asked ({cause}); using the CPU"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A worker that answers `about` with this script.
    fn fake_worker(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("worker");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn answer(cuda: &str) -> String {
        let cuda = cuda.replace('"', "\\\"");
        format!(
            "[ \"$1\" = about ] && [ \"$REELDECK_TORCH_LIB\" = /cuda/lib ] || exit 9\n\
             echo \"{{\\\"version\\\":\\\"0\\\",\\\"built_for\\\":\\\"2\\\",\\\"library\\\":null,\\\"found\\\":null,\\\"threads\\\":1,\
             \\\"onednn\\\":true,\\\"wrong\\\":null,\\\"cuda\\\":{cuda}}}\""
        )
    }

    #[test]
    fn the_worker_counts_the_devices_that_cuda_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let lib = Path::new("/cuda/lib");
        let count = |cuda: &str| count_with(&fake_worker(folder.path(), &answer(cuda)), lib, LONG);
        assert_eq!(count("{\"Ok\":2}").unwrap(), 2);
        let error = count("{\"Err\":\"no libcudart\"}").unwrap_err().to_string();
        assert_eq!(error, "the PyTorch in /cuda/lib cannot use CUDA: no libcudart");
        assert!(matches!(count("null"), Err(GpuError::Cuda { .. })));
        assert!(matches!(count("{\"Ok\":-1}"), Err(GpuError::Cuda { .. })));
        let hanging = fake_worker(folder.path(), "exec sleep 600");
        let error = count_with(&hanging, lib, Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, GpuError::Ask(AskError::Timeout { .. })), "{error}");
        let broken = fake_worker(folder.path(), "echo libcuda.so.1: cannot open >&2; exit 127");
        assert_eq!(count_with(&broken, lib, LONG).unwrap_err().to_string(), "libcuda.so.1: cannot open");
    }

    #[test]
    fn nvidia_devices_are_never_ignored_silently() {
        let failed = || Err(GpuError::Cuda { lib: "/cuda/lib".into(), reason: "x".into() });
        let note = |detected: Result<Detected, DetectError>| match detected.unwrap() {
            Detected::None(note) => note,
            Detected::Gpus(count) => panic!("{count} GPUs"),
        };
        let (all, some) = (Visible::All, Visible::parse(Some("GPU-1,GPU-2")));
        assert_eq!(decide(Ok(3), true, &all).unwrap(), Detected::Gpus(3));
        assert_eq!(decide(Ok(2), false, &some).unwrap(), Detected::Gpus(2), "the driver knows better than /dev");
        assert!(decide(Ok(0), true, &all).is_err());
        assert!(decide(failed(), true, &all).is_err());
        assert!(decide(Err(TorchError::NotFound.into()), true, &all).is_err());
        for counted in [Ok(0), failed(), Err(TorchError::NotFound.into())] {
            assert!(decide(counted, false, &some).is_err(), "chosen devices are never replaced by the CPU");
        }
        let hidden = decide(Ok(0), true, &some).unwrap_err();
        assert!(hidden.0.to_string().contains("CUDA_VISIBLE_DEVICES is GPU-1,GPU-2"), "{hidden:?}");
        assert!(note(decide(Ok(0), false, &all)).contains("no GPU on this machine"));
        assert!(note(decide(Err(TorchError::NotFound.into()), false, &all)).contains("no GPU on this machine"));
        assert!(note(decide(failed(), false, &all)).contains("cannot use CUDA: x"));
    }

    #[test]
    fn a_device_node_or_a_driver_entry_is_a_hint() {
        let root = tempfile::tempdir().unwrap();
        assert!(!may_exist_in(root.path()));
        fs::create_dir_all(root.path().join("dev")).unwrap();
        fs::create_dir_all(root.path().join("proc/driver/nvidia/gpus")).unwrap();
        // The driver has these without any device.
        for name in ["nvidiactl", "nvidia-uvm"] {
            fs::write(root.path().join("dev").join(name), "").unwrap();
        }
        assert!(!may_exist_in(root.path()));
        fs::write(root.path().join("dev/nvidia3"), "").unwrap();
        assert!(may_exist_in(root.path()));
        fs::remove_file(root.path().join("dev/nvidia3")).unwrap();
        fs::create_dir(root.path().join("proc/driver/nvidia/gpus/0000:01:00.0")).unwrap();
        assert!(may_exist_in(root.path()));
    }
}
