//! Memory for what a file makes large: asked for, not taken for granted, so that lack of it is the failure of one video.

use rustix::process::{Resource, getrlimit};

use crate::error::VideoError;

/// What a picture must leave: messages, packets and the like cannot ask first, and end the process where there is nothing.
const RESERVE: usize = 16 << 20;

/// Makes a vector this long; what is new in it is zero.
///
/// # Errors
/// When there is no memory for it.
pub fn resize(bytes: &mut Vec<u8>, length: usize) -> Result<(), VideoError> {
    let more = length.saturating_sub(bytes.len());
    bytes.try_reserve_exact(more).map_err(|_| VideoError::NoMemory("hold a picture"))?;
    bytes.resize(length, 0);
    Ok(())
}

/// Appends to a vector that grows with the file.
///
/// # Errors
/// When there is no memory for it.
pub fn push<T>(list: &mut Vec<T>, value: T) -> Result<(), VideoError> {
    list.try_reserve(1).map_err(|_| VideoError::NoMemory("list the packets"))?;
    list.push(value);
    Ok(())
}

/// Whether memory lacks right now. Asked where something failed that may have failed for this: FFmpeg does not always say.
pub fn is_short() -> bool {
    Vec::<u8>::new().try_reserve_exact(RESERVE).is_err()
}

/// Whether there is memory for whatever a healthy file may need at a time. Broken ones make FFmpeg ask for any amount, and
/// that it has not got it says nothing then.
pub fn is_ample() -> bool {
    Vec::<u8>::new().try_reserve_exact(512 << 20).is_ok()
}

/// Whether this process may use only so much address space. Where it may use all, memory never lacks: the kernel ends
/// somebody instead.
pub fn is_limited() -> bool {
    getrlimit(Resource::As).current.is_some()
}
