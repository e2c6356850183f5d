//! The user's signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The user's signals. Caught from here on, so that none ends the program in between runs.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to catch them.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            // Closing the terminal must not end the run.
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until the user wants an end.
    pub async fn ended(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hang_up.recv() => {}
            }
        }
    }
}
