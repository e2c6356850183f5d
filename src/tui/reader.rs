//! Reads the terminal on a thread of its own, which ends when it hangs up: crossterm alone would spin or wait for ever.

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;

/// Keys that wait to be taken in, at most.
const WAITING: usize = 256;

/// So long the rest of what has come is waited for. Not at all would be too short for crossterm to look.
const MOMENT: Duration = Duration::from_millis(5);

/// What is typed, from now on. It ends when the terminal hangs up.
///
/// # Errors
/// When there can be no thread.
pub fn read() -> io::Result<mpsc::Receiver<Event>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    std::thread::Builder::new().name("keys".into()).spawn(move || {
        while is_ready() {
            while matches!(event::poll(MOMENT), Ok(true)) {
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
fn is_ready() -> bool {
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
