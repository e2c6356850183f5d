//! The worker's side of the protocol's way out: messages on what was standard output.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use reeldeck_contract::protocol::{self, FromWorker};

/// Sends messages to the engine; may be cloned and used from several threads.
#[derive(Clone)]
pub struct Reporter {
    out: Arc<Mutex<File>>,
}

impl Reporter {
    /// Takes standard output for the protocol and sends everything else that is printed there (by CUDA's libraries, say) to
    /// standard error, so that no stray line is taken for a message.
    pub fn take_stdout() -> io::Result<Self> {
        // SAFETY: duplicates open descriptors; the new one is owned by the file and by nothing else.
        let file = unsafe {
            let own = libc::fcntl(io::stdout().as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3);
            if own < 0 || libc::dup2(io::stderr().as_raw_fd(), io::stdout().as_raw_fd()) < 0 {
                return Err(io::Error::last_os_error());
            }
            File::from_raw_fd(own)
        };
        Ok(Self { out: Arc::new(Mutex::new(file)) })
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the engine is gone; there is nobody left to work for then.
    pub fn send(&self, message: &FromWorker) -> Result<()> {
        let line = protocol::line(message)?;
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(line.as_bytes())?;
        Ok(())
    }
}
