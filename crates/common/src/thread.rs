//! Starts threads.

use std::io;
use std::thread::{Builder, JoinHandle};

/// What to do when the system refuses to start a thread.
pub const HINT: &str =
    "raise the limit on processes (`ulimit -u`, or pids.max of the control group) or on memory, or end other programs";

/// Starts a thread.
///
/// # Errors
/// When the system refuses, because a limit on processes or memory is reached. The error says what to do.
pub fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(work).map_err(|error| refused(name, &error))
}

/// Fails, as [`spawn`], if the system refuses to start a thread at this moment. For libraries that panic then.
///
/// # Errors
/// As [`spawn`].
pub fn check() -> io::Result<()> {
    spawn("check", || ()).map(|thread| drop(thread.join()))
}

/// The error of a thread that was not started.
pub fn refused(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to start the thread {name:?} ({error}); {HINT}"))
}
