//! Devices: memory and threads on a CPU, and CUDA through the user's own libtorch, which is loaded at run time.

use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use reeldeck_common::recipe::Precision;
use reeldeck_process::confine;
use tch::{Device, Kind, Tensor};
use tracing::warn;

use crate::driver;
use crate::error::ModelError;
use crate::native::check;

/// Makes glibc keep freed memory. Otherwise it returns the memory of every activation to the kernel and requests it again,
/// which takes a third of the model's time on a CPU. Call it once at the start of the program, before any thread.
pub fn keep_memory() {
    // SAFETY: mallopt only changes parameters of the allocator and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 256 << 20);
    }
}

/// Makes glibc reserve little address space, for a process with a limit on it. Otherwise it reserves 64 MiB for every thread
/// and requests memory in advance, which may fail although the memory itself would fit. Call it before any thread.
pub fn limit_reserved_memory() {
    // SAFETY: as above.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
    }
}

/// Starts libtorch's threads, which would otherwise start with the first video. If a thread cannot be started, libgomp ends
/// the process.
///
/// # Errors
/// When libtorch fails.
pub fn start_threads() -> Result<(), ModelError> {
    // libtorch splits work into chunks of 32768 numbers.
    let _ = Tensor::f_zeros([i64::from(tch::get_num_threads()) << 16], (Kind::Float, Device::Cpu))?.f_exp()?;
    Ok(())
}

/// Address space in bytes that a layer needs besides its output. oneDNN generates code for a layer, and crashes if it has no
/// memory for that.
const RESERVE: u64 = 32 << 20;

/// Checks before a layer runs on a CPU that there is memory for its output of `bytes`. Without a limit on the address space
/// there always is: the kernel kills a process instead of refusing memory.
///
/// # Errors
/// [`ModelError::NoMemory`].
pub fn check_room(bytes: usize) -> Result<(), ModelError> {
    let fits = || {
        let mut output = Vec::<u8>::new();
        output.try_reserve_exact(bytes).is_ok() && confine::remaining_address_space().is_none_or(|room| room >= RESERVE)
    };
    if confine::remaining_address_space().is_none() || fits() {
        return Ok(());
    }
    release_memory();
    if fits() { Ok(()) } else { Err(ModelError::NoMemory) }
}

/// Returns unused memory of the allocator to the kernel.
pub fn release_memory() {
    // SAFETY: may be called at any time, by any thread.
    unsafe { libc::malloc_trim(0) };
}

/// The type of numbers for a precision.
pub fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::Fp32 | Precision::Tf32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
        Precision::Fp16 => Kind::Half,
    }
}

/// Finds a device by its name, `cpu` or `cuda:N`.
///
/// # Errors
/// When libtorch has no such device.
pub fn find(name: &str) -> Result<Device, ModelError> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let number = name.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok());
    let number = number.ok_or_else(|| ModelError::Device(format!("no device is called {name:?}")))?;
    let count = tch::Cuda::device_count();
    if !tch::Cuda::is_available() || number as i64 >= count {
        let why = driver::problem().map(|problem| format!("; the driver: {problem}")).unwrap_or_default();
        return Err(ModelError::Device(format!("{name} is not there: libtorch sees {count} CUDA devices{why}")));
    }
    Ok(Device::Cuda(number))
}

/// Libraries that cuDNN and libtorch load by name when they need them. In the packages of PyTorch, they are in folders that the
/// dynamic loader does not search, so PyTorch loads them at its start, too.
const LOADED_BY_NAME: [&str; 2] = ["libnvrtc.so.", "libnvJitLink.so."];

/// Loads `libtorch_cuda.so` from `folder`, which registers CUDA with libtorch. Call it before any query about CUDA.
///
/// # Errors
/// When the dynamic loader fails; the error names the missing library.
pub fn load_cuda(folder: &Path) -> Result<(), ModelError> {
    for library in loaded_by_name(folder) {
        if let Err(error) = load(&library) {
            warn!("{error}; cuDNN may lack it");
        }
    }
    load(&folder.join("libtorch_cuda.so"))
}

/// The libraries of [`LOADED_BY_NAME`] in the NVIDIA packages beside the PyTorch package whose libraries are in `folder`.
fn loaded_by_name(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let Some(packages) = folder.ancestors().nth(2) else { return vec![] };
    let mut found: Vec<PathBuf> = entries(packages.join("nvidia"))
        .flat_map(|package| entries(package.join("lib")))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            LOADED_BY_NAME.iter().any(|start| name.starts_with(start))
        })
        .collect();
    found.sort();
    found
}

unsafe extern "C" {
    fn reeldeck_set_device(index: i8) -> *mut c_char;
    fn reeldeck_allow_tf32(is_allowed: bool) -> *mut c_char;
}

/// Selects the arithmetic of all GPUs for fp32 numbers. By default, libtorch uses TF32 for convolutions and not for products.
///
/// # Errors
/// When libtorch fails.
pub fn set_arithmetic(precision: Precision) -> Result<(), ModelError> {
    // SAFETY: the call sets two flags.
    check(unsafe { reeldeck_allow_tf32(precision == Precision::Tf32) })
}

/// Makes a GPU the current one of this thread. Otherwise CUDA opens a context on GPU 0, too, when this thread requests pinned
/// memory. Does nothing for a CPU.
///
/// # Errors
/// When libtorch fails.
pub fn make_current(device: Device) -> Result<(), ModelError> {
    let Device::Cuda(gpu) = device else { return Ok(()) };
    let index = i8::try_from(gpu).map_err(|_| ModelError::Device(format!("no GPU has the number {gpu}")))?;
    // SAFETY: any index is allowed; libtorch checks it.
    check(unsafe { reeldeck_set_device(index) })
}

/// Loads a library and makes its symbols visible to others.
fn load(path: &Path) -> Result<(), ModelError> {
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| ModelError::Device(format!("the path {} contains a zero byte", path.display())))?;
    // SAFETY: the name is a valid C string. The libraries' initialisers support this.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: after a failed dlopen, dlerror returns null or a string that is valid until the next call on this thread.
    let why = unsafe {
        let text = libc::dlerror();
        if text.is_null() { "unknown error".into() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    Err(ModelError::Device(format!("failed to load {}: {why}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_are_loaded_by_name_are_found_beside_pytorch() {
        let folder = tempfile::tempdir().unwrap();
        let create = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let torch = create("torch/lib/libtorch_cuda.so");
        create("nvidia/cudnn/lib/libcudnn.so.9");
        create("nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.13.0");
        let nvrtc = create("nvidia/cuda_nvrtc/lib/libnvrtc.so.13");
        let linker = create("nvidia/nvjitlink/lib/libnvJitLink.so.13");
        assert_eq!(loaded_by_name(torch.parent().unwrap()), [nvrtc, linker]);
        assert!(loaded_by_name(Path::new("/")).is_empty());
    }

    #[test]
    fn without_cuda_no_gpu_can_be_made_current() {
        assert!(make_current(Device::Cpu).is_ok());
        for gpu in [0, 127, 1000] {
            assert!(make_current(Device::Cuda(gpu)).is_err(), "{gpu}");
        }
    }
}
