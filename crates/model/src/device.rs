//! Devices: memory and threads on a CPU, and CUDA through the user's own libtorch, which is loaded at run time.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use reeldeck_common::recipe::Precision;
use reeldeck_process::confine;
use tch::{Device, Kind, Tensor};

use crate::error::ModelError;

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
    if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float }
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
        return Err(ModelError::Device(format!("{name} is not there: libtorch sees {count} CUDA devices")));
    }
    Ok(Device::Cuda(number))
}

/// Loads `libtorch_cuda.so` from `folder`, which registers CUDA with libtorch. Call it before any query about CUDA.
///
/// # Errors
/// When the dynamic loader fails; the error names the missing library.
pub fn load_cuda(folder: &Path) -> Result<(), ModelError> {
    let path = folder.join("libtorch_cuda.so");
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| ModelError::Device("the path of libtorch_cuda.so contains a zero byte".into()))?;
    // SAFETY: the name is a valid C string. The library's initialisers are libtorch's, which support this.
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
