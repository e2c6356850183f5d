//! Starts threads.

use std::thread::{Builder, JoinHandle};

use reeldeck_common::error::{ErrorKind, Failure};

const HINT: &str = "raise the limit on processes (`ulimit -u`, or pids.max of the control group), or use fewer workers, \
                    decoders or threads";

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
