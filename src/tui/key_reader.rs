//! Reads terminal events on a thread of its own.
//!
//! The thread ends when the terminal hangs up. crossterm alone would spin or block forever then.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;

/// The number of events that can wait for the event loop.
const QUEUE: usize = 256;

/// With a zero timeout crossterm does not read at all.
const POLL_TIMEOUT: Duration = Duration::from_millis(5);

/// Starts the thread. The channel closes when the terminal hangs up.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn spawn() -> io::Result<mpsc::Receiver<Event>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    reeldeck_common::thread::spawn("keys", move || {
        while wait_readable() {
            wait_until_ours();
            while !is_lent() && matches!(event::poll(POLL_TIMEOUT), Ok(true)) {
                let Ok(event) = event::read() else { return };
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
        }
    })?;
    Ok(receiver)
}

/// Another program has the terminal and reads the keys.
static LENT: Mutex<bool> = Mutex::new(false);
static RETURNED: Condvar = Condvar::new();

/// Leaves the keys to another program, or reads them again.
pub(super) fn lend(lent: bool) {
    *LENT.lock().unwrap_or_else(PoisonError::into_inner) = lent;
    RETURNED.notify_all();
}

fn is_lent() -> bool {
    *LENT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_until_ours() {
    let lent = LENT.lock().unwrap_or_else(PoisonError::into_inner);
    drop(RETURNED.wait_while(lent, |lent| *lent));
}

/// Waits until standard input is readable. Returns false when the terminal has hung up.
fn wait_readable() -> bool {
    let stdin = rustix::stdio::stdin();
    loop {
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut polled, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return false,
        }
        let [stdin] = polled;
        return !stdin.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
    }
}
