//! Search paths of this process and of those that it starts. An empty or relative entry means the current folder, from which
//! nothing may be loaded: it may be a dataset from elsewhere.

use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicBool, Ordering};

/// The search path of the dynamic loader.
const LIBRARIES: &str = "LD_LIBRARY_PATH";

static HAD_RELATIVE_LIBRARIES: AtomicBool = AtomicBool::new(false);

/// Removes empty and relative entries from the search paths of programs and libraries.
///
/// # Safety
/// No other thread may run yet.
pub(crate) unsafe fn remove_relative_entries() {
    for name in ["PATH", LIBRARIES] {
        let Some(kept) = std::env::var_os(name).and_then(|path| without_relative_entries(&path)) else { continue };
        if name == LIBRARIES {
            HAD_RELATIVE_LIBRARIES.store(true, Ordering::Relaxed);
        }
        // SAFETY: the caller promises that there is no other thread, which could read the environment at the same time.
        unsafe { std::env::set_var(name, kept) };
    }
}

/// Whether the dynamic loader of this process searches the current folder. It has read its path before
/// [`remove_relative_entries`], so only child processes are safe from that.
pub(crate) fn had_relative_libraries() -> bool {
    HAD_RELATIVE_LIBRARIES.load(Ordering::Relaxed)
}

/// The path with its absolute entries only; `None` if it has no other.
fn without_relative_entries(path: &OsStr) -> Option<OsString> {
    let entries = || std::env::split_paths(path);
    // An empty variable means no folder.
    if path.is_empty() || entries().all(|entry| entry.is_absolute()) {
        return None;
    }
    std::env::join_paths(entries().filter(|entry| entry.is_absolute())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_entries_are_kept() {
        for (path, kept) in [
            ("/a:/b", None),
            ("", None),
            (":/a", Some("/a")),
            ("/a::/b:", Some("/a:/b")),
            (".:/a:lib:../b", Some("/a")),
            (".", Some("")),
        ] {
            assert_eq!(without_relative_entries(path.as_ref()), kept.map(OsString::from), "{path:?}");
        }
    }
}
