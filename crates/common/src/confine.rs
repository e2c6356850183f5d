//! What a process that opens untrusted files gives up at its start: new privileges, core dumps, and memory without end.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Gives up new privileges and core dumps, which would hold gigabytes of weights and the user's pictures. Call before
/// there is any thread: a thread has the privileges of the one that made it.
///
/// # Errors
/// When the kernel refuses.
pub fn harden() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    lower(Resource::Core, 0)
}

/// Has the kernel kill this process when the thread that started it ends.
///
/// # Errors
/// When the kernel refuses.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
}

/// Lets the address space grow to `bytes` and no further: what asks for more is told that there is no memory.
///
/// # Errors
/// When the kernel refuses.
pub fn limit_address_space(bytes: u64) -> io::Result<()> {
    lower(Resource::As, bytes)
}

/// Bytes of address space that this process uses now.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn address_space() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let pages =
        pages.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/statm is not as expected"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Bytes of address space that this process may still take; `None` where there is no limit, or none that can be told.
pub fn room() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    Some(limit.saturating_sub(address_space().ok()?))
}

/// Lowers a limit for good. One that is lower already stays: to raise it is not ours, and the kernel would refuse.
fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let least = |limit: Option<u64>| Some(limit.map_or(to, |limit| limit.min(to)));
    Ok(setrlimit(resource, Rlimit { current: least(now.current), maximum: least(now.maximum) })?)
}
