//! What the worker asks of the kernel while it works: to end at once, and how long it has computed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::time::{ClockId, clock_gettime};

static WRITING: Mutex<()> = Mutex::new(());

/// To be held while a feature is written: nobody leaves in the middle of it, and no temporary file is left behind.
pub fn writing() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process as soon as no feature is being written. The destructors of libraries are not run: they would take
/// libtorch's memory from under the threads that are computing in it, and a crash would be the last that is heard.
pub fn leave(code: i32) -> ! {
    let _whole = writing();
    // SAFETY: ends the process and touches nothing of it.
    unsafe { libc::_exit(code) }
}

/// CPU time that this thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
