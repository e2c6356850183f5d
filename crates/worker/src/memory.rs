//! The worker's memory limit.

use std::io;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::Init;
use reeldeck_model::{ModelError, device};
use reeldeck_process::confine;

const MIB: u64 = 1 << 20;

/// The address space that videos need at least, in bytes: a decoder of 1080p frames, and the smallest network.
const MIN_FOR_VIDEOS: u64 = 96 * MIB;

/// The address space of each additional thread in bytes, mostly its stack.
const PER_THREAD: u64 = 4 * MIB;

/// Whether this worker has a memory limit.
///
/// A worker on a GPU has none: CUDA's driver reserves address space for all memory of host and device, which may be
/// terabytes.
fn is_limited(init: &Init) -> bool {
    init.device == "cpu" && init.limits.memory_mib > 0
}

/// A suggestion for a video that exceeded the limit.
pub(crate) fn hint(init: &Init) -> Option<String> {
    let mib = init.limits.memory_mib;
    is_limited(init).then(|| format!("the worker may use {mib} MiB: raise memory_mib under [limits] to give it more"))
}

/// Configures the allocator for the limit. Call it before the model is loaded, which starts threads.
pub(crate) fn prepare(init: &Init) {
    if is_limited(init) {
        device::limit_reserved_memory();
    }
}

/// Sets the limit. Call it after the model is loaded and before the first video, so that no video is charged for a limit that
/// is too low.
///
/// # Errors
/// When the limit leaves too little memory for videos.
pub(crate) fn limit(init: &Init) -> Result<(), Failure> {
    if !is_limited(init) {
        return Ok(());
    }
    let model_failed = |error: ModelError| Failure::from_error(error.kind(), &error);
    let failed = |error: io::Error| Failure::from_error(ErrorKind::Internal, &error);
    device::start_threads().map_err(model_failed)?;
    let used = confine::address_space().map_err(failed)?;
    // The decode threads, and those that fetch and write.
    let threads = (init.decoders as u64).saturating_add(2);
    let least = used.saturating_add(MIN_FOR_VIDEOS).saturating_add(PER_THREAD.saturating_mul(threads));
    let asked = init.limits.memory_mib;
    if asked.saturating_mul(MIB) < least {
        let (used, least) = (used.div_ceil(MIB), least.div_ceil(MIB));
        let text = format!(
            "memory_mib is {asked}, but a worker with this model takes {used} MiB before its first video: raise memory_mib under [limits] to {least} or more"
        );
        return Err(Failure::new(ErrorKind::OutOfMemory, text));
    }
    confine::limit_address_space(asked.saturating_mul(MIB)).map_err(failed)
}
