//! Devices: threads and memory on a CPU, CUDA by loading the user's own libtorch at run time.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use reeldeck_common::recipe::Precision;
use reeldeck_process::confine;
use tch::{Device, Kind, Tensor};

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

/// For a process whose address space is to be limited: takes no more of it than is used. Otherwise glibc sets 64 MiB aside
/// for every thread, and asks for so much ahead that it takes for impossible what would fit. Call before there are threads.
pub fn keep_memory_short() {
    // SAFETY: as above.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
    }
}

/// Starts the threads that will compute, which otherwise start with the first video: where there is no room for one of
/// them, libgomp ends the process.
///
/// # Errors
/// When libtorch fails.
pub fn start_threads() -> Result<(), ModelError> {
    // Work is dealt out in pieces of 32768 numbers.
    let _ = Tensor::f_zeros([i64::from(tch::get_num_threads()) << 16], (Kind::Float, Device::Cpu))?.f_exp()?;
    Ok(())
}

/// What a layer must find besides the memory for its output: oneDNN makes code for it, and runs what it had no memory to
/// make.
const RESERVE: u64 = 32 << 20;

/// Makes sure, before a layer runs on a CPU, that its output of so many bytes and all that goes with it can be had. Where
/// address space is not limited, memory never lacks: the kernel ends somebody instead.
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
    give_back_memory();
    if fits() { Ok(()) } else { Err(ModelError::NoMemory) }
}

/// Gives memory that was kept and is not in use back to the kernel, where it counts against no limit.
pub fn give_back_memory() {
    // SAFETY: may be called at any time, by any thread.
    unsafe { libc::malloc_trim(0) };
}

/// The numbers that a network of this precision is computed with.
pub fn kind(precision: Precision) -> Kind {
    if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float }
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
