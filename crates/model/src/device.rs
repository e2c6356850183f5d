//! Devices: threads and memory on a CPU, CUDA by loading the user's own libtorch at run time.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tch::Device;

use crate::error::ModelError;

/// Keeps glibc from giving the memory of every activation back to the kernel and fetching it again, page by page: a third
/// of the model's time on a CPU. Call once at program start, before any thread.
pub fn keep_memory() {
    // SAFETY: mallopt only changes parameters of the allocator and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 256 << 20);
    }
}

/// Finds a device by the name that `--devices` gives it, `cpu` or `cuda:N`.
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

/// Registers CUDA with libtorch by loading `libtorch_cuda.so` from `folder`. Must come before the first CUDA query.
///
/// # Errors
/// Says which library the loader could not find.
pub fn load_cuda(folder: &Path) -> Result<(), ModelError> {
    let path = folder.join("libtorch_cuda.so");
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| ModelError::Device("the path of libtorch_cuda.so contains a zero byte".into()))?;
    // SAFETY: the name is a valid C string. The library's initialisers are libtorch's own, meant to be run this way.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: after a failed dlopen, dlerror returns null or a string that lives until the next call on this thread.
    let why = unsafe {
        let text = libc::dlerror();
        if text.is_null() { "unknown error".into() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    Err(ModelError::Device(format!("failed to load {}: {why}", path.display())))
}
