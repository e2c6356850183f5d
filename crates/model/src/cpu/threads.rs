//! Runs work on libtorch's own threads.

use std::ffi::{c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `GOMP_parallel` of libgomp: runs a function on each thread of a team.
type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// The `GOMP_parallel` that libtorch calls. Its threads spin for a while after their work, so other threads would compete with
/// them. `None` if libtorch was built for another OpenMP library.
fn parallel() -> Option<Parallel> {
    static FOUND: OnceLock<Option<Parallel>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the name is a C string. The symbol, where it exists, is this function.
        unsafe {
            let symbol = libc::dlsym(libc::RTLD_DEFAULT, c"GOMP_parallel".as_ptr());
            (!symbol.is_null()).then(|| std::mem::transmute::<*mut c_void, Parallel>(symbol))
        }
    })
}

/// What the threads of a team share.
struct Team<'w> {
    work: &'w (dyn Fn(usize) + Sync),
    next: AtomicUsize,
}

extern "C" fn member(team: *mut c_void) {
    // SAFETY: `each` passes its team, which outlives the threads' work.
    let team = unsafe { &*team.cast::<Team<'_>>() };
    (team.work)(team.next.fetch_add(1, Ordering::Relaxed));
}

/// Runs `work` on up to `threads` threads in parallel, with their numbers from 0.
pub(crate) fn each(threads: usize, work: &(dyn Fn(usize) + Sync)) {
    if threads <= 1 {
        return work(0);
    }
    let mut team = Team { work, next: AtomicUsize::new(0) };
    match parallel() {
        // SAFETY: the team lives until the call returns, and its members only read it.
        Some(run) => unsafe { run(member, (&raw mut team).cast(), threads as c_uint, 0) },
        None => on_new_threads(threads, work),
    }
}

fn on_new_threads(threads: usize, work: &(dyn Fn(usize) + Sync)) {
    std::thread::scope(|scope| {
        for number in 1..threads {
            scope.spawn(move || work(number));
        }
        work(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_works_once() {
        assert!(parallel().is_some(), "libtorch has another OpenMP library");
        for run in [each, on_new_threads] {
            for threads in [1, 2, 5] {
                let ran: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
                run(threads, &|number| {
                    ran[number].fetch_add(1, Ordering::Relaxed);
                });
                assert!(ran.iter().all(|ran| ran.load(Ordering::Relaxed) == 1), "{ran:?}");
            }
        }
    }
}
