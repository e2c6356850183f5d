//! Process ids.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Whether no process with this id runs on this machine. A zombie has ended, although its id is still in use: in a container
/// without an init process it stays forever. An invalid id gives true.
pub fn is_gone(pid: u32) -> bool {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    if test_kill_process(id) == Err(Errno::SRCH) {
        return true;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may contain any character; the state comes after it.
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_zombie_is_gone() {
        let pid = std::process::id();
        assert!(!is_gone(pid) && !is_gone(1) && is_gone(0) && is_gone(u32::MAX));
        let mut child = Command::new("true").spawn().unwrap();
        // It is not reaped, so it becomes a zombie.
        while !is_gone(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_gone(child.id()));
    }
}
