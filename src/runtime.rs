//! The asynchronous runtime of this program.

use std::io;
use std::time::Duration;

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
    // tokio would panic.
    reeldeck_common::thread::check()?;
    drop(runtime.spawn_blocking(|| ()));
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
