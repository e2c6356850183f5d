//! Fallible allocation for data whose size depends on the file, so that a lack of memory fails one video instead of the process.

use rustix::process::{Resource, getrlimit};

use crate::error::VideoError;

/// Memory that must stay free after a picture is allocated: messages and packets are allocated infallibly and would end the process.
const RESERVE: usize = 16 << 20;

/// Resizes a vector; new elements are zero.
///
/// # Errors
/// If there is no memory.
pub(crate) fn resize(bytes: &mut Vec<u8>, length: usize) -> Result<(), VideoError> {
    let more = length.saturating_sub(bytes.len());
    bytes.try_reserve_exact(more).map_err(|_| VideoError::NoMemory("hold a picture"))?;
    bytes.resize(length, 0);
    Ok(())
}

/// Appends to a vector that grows with the file.
///
/// # Errors
/// If there is no memory.
pub(crate) fn push<T>(list: &mut Vec<T>, value: T) -> Result<(), VideoError> {
    list.try_reserve(1).map_err(|_| VideoError::NoMemory("list the packets"))?;
    list.push(value);
    Ok(())
}

/// Whether memory is short now. Called after a failure that may be due to this, because FFmpeg does not always report it.
pub(crate) fn is_short() -> bool {
    Vec::<u8>::new().try_reserve_exact(RESERVE).is_err()
}

/// Whether there is more memory than a healthy file needs at a time. If so, a failed allocation was the fault of the file: damaged
/// files make FFmpeg request any amount.
pub(crate) fn is_ample() -> bool {
    Vec::<u8>::new().try_reserve_exact(512 << 20).is_ok()
}

/// Whether this process has a limit on its address space. Without one, allocations do not fail: the kernel kills a process instead.
pub(crate) fn is_limited() -> bool {
    getrlimit(Resource::As).current.is_some()
}
