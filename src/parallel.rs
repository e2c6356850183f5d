//! Parallel work on many items: results come in the order of the items, and few are in memory at a time.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Builder};

/// Length of each thread's input and output queues.
const QUEUE_LEN: usize = 2;

/// Number of threads for work that reads and writes files. It exceeds the cores of a small machine, because such threads
/// mostly wait for the disk: with two cores, 8 threads write a third faster.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).clamp(8, 32)
}

/// Runs `work` on each item on `threads` threads and calls `take` with the results on this thread, in the order of the
/// items.
///
/// Items are assigned to the threads in turn, so at most a few results per thread exist, however slow `take` is. If the system
/// allows fewer threads, fewer do the work; if it allows none, this thread does.
///
/// # Errors
/// The first error of `take`. Work in progress is finished and discarded; no more is started.
pub(crate) fn ordered<I: Send, T: Send, E>(
    threads: usize,
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.max(1);
    thread::scope(|scope| {
        let work = &work;
        let mut lanes: Vec<(SyncSender<I>, Receiver<T>)> = vec![];
        for _ in 0..threads {
            let (give, given) = sync_channel::<I>(QUEUE_LEN);
            let (done, results) = sync_channel(QUEUE_LEN);
            let run = move || {
                for item in given {
                    if done.send(work(item)).is_err() {
                        return;
                    }
                }
            };
            if start(scope, run).is_err() {
                break;
            }
            lanes.push((give, results));
        }
        if lanes.is_empty() {
            return items.into_iter().try_for_each(|item| take(work(item)));
        }
        let (mut given, mut taken) = (lanes.iter().cycle(), lanes.iter().cycle());
        let mut in_work = 0;
        let mut take_one = || match taken.next().map(|(_, results)| results.recv()) {
            Some(Ok(result)) => take(result),
            // A panic of a thread is propagated when the scope ends.
            _ => Ok(()),
        };
        for item in items {
            if in_work == lanes.len() * QUEUE_LEN {
                take_one()?;
                in_work -= 1;
            }
            if let Some((give, _)) = given.next() {
                // As above.
                let _ = give.send(item);
            }
            in_work += 1;
        }
        (0..in_work).try_for_each(|_| take_one())
    })
}

fn start<'scope>(scope: &'scope thread::Scope<'scope, '_>, run: impl FnOnce() + Send + 'scope) -> io::Result<()> {
    #[cfg(test)]
    if tests::ALLOWED.get() == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    #[cfg(test)]
    tests::ALLOWED.set(tests::ALLOWED.get() - 1);
    Builder::new().spawn_scoped(scope, run).map(drop)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    thread_local! {
        /// How many threads this one may start before the system refuses.
        pub(super) static ALLOWED: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    #[test]
    fn fewer_threads_than_asked_for_do_the_same_work() {
        for allowed in [0, 1, 3] {
            ALLOWED.set(allowed);
            let mut seen = vec![];
            let result: Result<(), ()> = ordered(
                8,
                0..100,
                |item: usize| item * 2,
                |result| {
                    seen.push(result);
                    Ok(())
                },
            );
            ALLOWED.set(usize::MAX);
            assert_eq!(result, Ok(()));
            assert!(seen.iter().copied().eq((0..100).map(|item| item * 2)), "{allowed} threads");
        }
    }

    #[test]
    fn results_come_in_order_and_few_at_a_time() {
        for (threads, count) in [(1, 0), (1, 7), (3, 2), (3, 100), (8, 1000)] {
            let (begun, most, taken) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
            let mut seen = vec![];
            let work = |item: usize| {
                let open = begun.fetch_add(1, Ordering::SeqCst) + 1 - taken.load(Ordering::SeqCst);
                most.fetch_max(open, Ordering::SeqCst);
                if item.is_multiple_of(7) {
                    thread::yield_now();
                }
                item * 2
            };
            let result: Result<(), ()> = ordered(threads, 0..count, work, |result| {
                taken.fetch_add(1, Ordering::SeqCst);
                seen.push(result);
                Ok(())
            });
            assert_eq!(result, Ok(()));
            assert!(seen.iter().copied().eq((0..count).map(|item| item * 2)));
            assert!(most.load(Ordering::SeqCst) <= threads * QUEUE_LEN, "{most:?} with {threads} threads");
        }
    }

    #[test]
    fn an_error_stops_the_remaining_work() {
        let begun = AtomicUsize::new(0);
        let result = ordered(
            2,
            0..1_000_000,
            |item: usize| {
                begun.fetch_add(1, Ordering::SeqCst);
                item
            },
            |item| if item == 10 { Err("enough") } else { Ok(()) },
        );
        assert_eq!(result, Err("enough"));
        assert!(begun.load(Ordering::SeqCst) < 100);
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_is_propagated() {
        let _: Result<(), ()> = ordered(2, 0..100, |item: usize| assert!(item != 5, "on purpose"), |()| Ok(()));
    }
}
