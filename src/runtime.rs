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
    let runtime = Builder::new_current_thread().enable_all().thread_keep_alive(FOREVER).build()?;
    // tokio panics if the system refuses the first thread, and has no other way to say it.
    let report = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let started = panic::catch_unwind(AssertUnwindSafe(|| drop(runtime.spawn_blocking(|| ()))));
    panic::set_hook(report);
    if started.is_err() {
        runtime.shutdown_background();
        return Err(refused("blocking tasks", &Errno::AGAIN.into()));
    }
    Ok(runtime)
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
