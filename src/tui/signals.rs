//! Signals that mean something to a window, apart from the thread that reads keys.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSignal {
    /// The terminal is gone, or somebody wants us to go.
    Quit,
    /// It has another size.
    Resize,
    /// Somebody stops us.
    Suspend,
    /// We were stopped, and go on.
    Resume,
}

/// Signals that are caught.
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    resize: Signal,
    stop: Signal,
    resume: Signal,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            resize: signal(SignalKind::window_change())?,
            stop: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            resume: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> WindowSignal {
        tokio::select! {
            _ = self.hangup.recv() => WindowSignal::Quit,
            _ = self.terminate.recv() => WindowSignal::Quit,
            _ = self.interrupt.recv() => WindowSignal::Quit,
            _ = self.resize.recv() => WindowSignal::Resize,
            _ = self.stop.recv() => WindowSignal::Suspend,
            _ = self.resume.recv() => WindowSignal::Resume,
        }
    }
}

/// No shell waits for us to stop: a session's first process would sleep for ever.
pub fn is_session_leader() -> bool {
    rustix::process::getsid(None).is_ok_and(|leader| leader == rustix::process::getpid())
}
