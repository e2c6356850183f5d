//! The asynchronous runtime of this program.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use reeldeck_common::thread::refused;
use rustix::io::Errno;
use tokio::runtime::{Builder, Runtime};

/// Longer than any program runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A runtime on the calling thread.
///
/// Its blocking tasks never panic for lack of threads: one thread for them is started here and stays, and takes the tasks for
/// which the system allows no further thread.
///
/// # Errors
/// When the system has no thread or no file descriptors to give.
pub(crate) fn start() -> io::Result<Runtime> {
    let built = quietly(|| Builder::new_current_thread().enable_all().thread_keep_alive(FOREVER).build());
    let runtime = built.unwrap_or_else(|| Err(Errno::MFILE.into())).map_err(|error| {
        let text = format!("{error}; raise the limit on open files (`ulimit -n`)");
        if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) { io::Error::other(text) } else { error }
    })?;
    if quietly(|| drop(runtime.spawn_blocking(|| ()))).is_none() {
        runtime.shutdown_background();
        return Err(refused("blocking tasks", &Errno::AGAIN.into()));
    }
    Ok(runtime)
}

/// The result of a call, or `None` if it panics. tokio panics if the system refuses the descriptors for its signals or the first
/// thread, and has no other way to say it.
fn quietly<T>(call: impl FnOnce() -> T) -> Option<T> {
    let report = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    panic::set_hook(report);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_tasks_run() {
        let runtime = start().unwrap();
        assert_eq!(runtime.block_on(runtime.spawn_blocking(|| 7)).unwrap(), 7);
    }
}
