//! Reads the terminal on a thread of its own, which ends when it hangs up: crossterm alone would spin or wait for ever.

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;

/// Keys that wait to be taken in, at most.
const QUEUE: usize = 256;

/// What was typed is there at once; with no time at all, crossterm would not look.
const POLL_TIMEOUT: Duration = Duration::from_millis(5);

/// What is typed, from now on. It ends when the terminal hangs up.
///
/// # Errors
/// When there can be no thread.
pub fn spawn() -> io::Result<mpsc::Receiver<Event>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    std::thread::Builder::new().name("keys".into()).spawn(move || {
        while wait_readable() {
            while matches!(event::poll(POLL_TIMEOUT), Ok(true)) {
                let Ok(event) = event::read() else { return };
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
        }
    })?;
    Ok(receiver)
}

/// Waits until something can be read; false where nothing ever will be.
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
