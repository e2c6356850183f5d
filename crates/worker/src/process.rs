//! What the worker asks of the kernel: to end with its engine, to end at once, and to leave no core dumps.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// Has the kernel kill this process when the thread that started it ends, and turns off core dumps, which would hold
/// gigabytes of weights.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: both calls only change settings of this process; the structure is fully initialised.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::setrlimit(libc::RLIMIT_CORE, &none) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// CPU time that this thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is valid for writing; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
