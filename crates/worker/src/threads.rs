//! Starts threads.

use std::thread::{Builder, JoinHandle};

use reeldeck_common::error::{ErrorKind, Failure};
use rustix::process::{getpriority_process, setpriority_process};
use tracing::debug;

const HINT: &str = "raise the limit on processes (`ulimit -u`, or pids.max of the control group), or use fewer workers, \
                    decoders or threads";

/// How much less the scheduler prefers decode threads to the thread that submits the GPU's work, as a nice value.
const DECODE_NICE: i32 = 5;

/// Gives the calling thread a lower priority than the process. All cores decode for a GPU, and without this the GPU would wait for
/// its model thread to get a core.
pub(crate) fn yield_to_model() {
    // On Linux this changes the thread, not the process.
    let lowered = getpriority_process(None).and_then(|nice| setpriority_process(None, nice + DECODE_NICE));
    if let Err(error) = lowered {
        debug!("a decode thread keeps its priority: {error}");
    }
}

/// Starts a thread.
///
/// # Errors
/// When the system refuses, because a limit on processes or memory is reached. The failure suggests what to do.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    Builder::new().name(name.into()).spawn(work).map_err(|error| {
        let mut failure = Failure::from_error(ErrorKind::Device, &error);
        failure.chain.insert(0, format!("failed to start the thread {name:?}"));
        failure.chain.push(HINT.into());
        failure
    })
}
