//! The worker's share of the host's memory, where it is given one.

use std::io;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::Init;
use reeldeck_model::{ModelError, device};
use reeldeck_process::confine;

const MIB: u64 = 1 << 20;

/// What must be left for videos: a decoder with pictures of 1080 lines, and the smallest network.
const LEAST: u64 = 96 * MIB;

/// What each other thread takes besides: its stack, of which most is never used.
const THREAD: u64 = 4 * MIB;

/// Whether this worker is to be held to a limit.
///
/// Never for CUDA: its driver reserves address space for all memory of host and device at once, terabytes of it, and a
/// limit would end it while memory is free.
pub fn is_limited(init: &Init) -> bool {
    init.device == "cpu" && init.limits.memory_mib > 0
}

/// What to do about a video that needed more than the limit.
pub fn hint(init: &Init) -> Option<String> {
    let mib = init.limits.memory_mib;
    is_limited(init).then(|| format!("the worker may use {mib} MiB: raise memory_mib under [limits] to give it more"))
}

/// Has the allocator take no more address space than it uses, where that is going to be limited. Call before the model is
/// loaded: afterwards there are threads.
pub fn prepare(init: &Init) {
    if is_limited(init) {
        device::keep_memory_short();
    }
}

/// Holds the worker to its limit. Call when the model is loaded, before the first video: what cannot be had by then is not
/// the fault of one.
///
/// # Errors
/// When the limit leaves nothing for videos.
pub fn limit(init: &Init) -> Result<(), Failure> {
    if !is_limited(init) {
        return Ok(());
    }
    let model_failed = |error: ModelError| Failure::from_error(error.kind(), &error);
    let failed = |error: io::Error| Failure::from_error(ErrorKind::Internal, &error);
    device::start_threads().map_err(model_failed)?;
    let used = confine::address_space().map_err(failed)?;
    // The one more is that which writes.
    let threads = (init.decoders as u64).saturating_add(1);
    let least = used.saturating_add(LEAST).saturating_add(THREAD.saturating_mul(threads));
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
