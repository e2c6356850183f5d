//! Ends the process at a safe point, and measures the CPU time of a thread.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use rustix::time::{ClockId, clock_gettime};

/// Shared by the threads that write files, and held alone by the one that ends the process.
static EXIT: RwLock<()> = RwLock::new(());

/// Prevents [`exit`] until the guard is dropped. Hold it while a file is written, so that no temporary file is left behind.
pub(crate) fn prevent_exit() -> RwLockReadGuard<'static, ()> {
    EXIT.read().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process as soon as no file is being written. It does not run the destructors of libraries, which would free
/// libtorch's memory while other threads compute, and crash.
pub(crate) fn exit(code: i32) -> ! {
    let _guard = EXIT.write().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the call ends the process and accesses no memory of it.
    unsafe { libc::_exit(code) }
}

/// The CPU time of the calling thread in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
