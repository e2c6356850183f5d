//! What a process that opens untrusted files gives up: new privileges, core dumps and unlimited memory.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Gives up new privileges and [core dumps](leave_no_dumps). Call it before the first thread is started: a thread inherits the
/// privileges of the thread that starts it.
///
/// # Errors
/// When the kernel refuses.
pub fn harden() -> io::Result<()> {
    leave_no_dumps()?;
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Gives up core dumps, which would contain gigabytes of weights and the user's pictures, and
/// [makes large writes fail](fail_large_writes). Processes that this one starts inherit both.
///
/// # Errors
/// When the kernel refuses.
pub fn leave_no_dumps() -> io::Result<()> {
    fail_large_writes();
    lower(Resource::Core, 0)
}

/// A smaller stack does not suffice, in bytes.
const LEAST_STACK: u64 = 1 << 20;
/// The usual size of a stack, in bytes.
const USUAL_STACK: u64 = 8 << 20;

/// Raises a stack limit that is too small, for this process and those that it starts. Call it first: it needs little stack.
///
/// # Errors
/// The limit in bytes, when it cannot be raised.
pub fn ensure_stack() -> Result<(), u64> {
    let now = getrlimit(Resource::Stack);
    let Some(limit) = now.current.filter(|limit| *limit < LEAST_STACK) else { return Ok(()) };
    let raised = now.maximum.map_or(USUAL_STACK, |maximum| maximum.min(USUAL_STACK));
    match setrlimit(Resource::Stack, Rlimit { current: Some(raised), ..now }) {
        Ok(()) if raised >= LEAST_STACK => Ok(()),
        _ => Err(limit),
    }
}

/// Makes a write beyond the limit on the size of a file fail. Otherwise the kernel kills the process, which then cannot say
/// why. Processes that this one starts inherit this.
pub fn fail_large_writes() {
    // SAFETY: SIG_IGN installs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Ignores the signals with which terminals and schedulers ask a program to stop. They send them to every process of a job, and
/// the engine decides when its children stop. A program that is started by this process ignores them, too.
///
/// It allocates nothing and takes no lock, so it may be called between `fork` and `exec`.
///
/// # Errors
/// When the kernel refuses.
pub fn ignore_stop_signals() -> io::Result<()> {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2] {
        // SAFETY: SIG_IGN installs no handler.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Makes the kernel kill this process when the thread that started it ends.
///
/// # Errors
/// When the kernel refuses.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
}

/// Limits the address space of this process to `bytes`. Allocations beyond the limit fail.
///
/// # Errors
/// When the kernel refuses.
pub fn limit_address_space(bytes: u64) -> io::Result<()> {
    lower(Resource::As, bytes)
}

/// The address space that this process uses, in bytes.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn address_space() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let pages =
        pages.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/statm has an unknown format"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// The address space that this process may still allocate, in bytes; `None` without a limit, or when the current use is
/// unknown.
pub fn remaining_address_space() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    Some(limit.saturating_sub(address_space().ok()?))
}

/// Lowers a limit permanently. A limit that is already lower stays: raising it would need privileges.
fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let least = |limit: Option<u64>| Some(limit.map_or(to, |limit| limit.min(to)));
    Ok(setrlimit(resource, Rlimit { current: least(now.current), maximum: least(now.maximum) })?)
}
