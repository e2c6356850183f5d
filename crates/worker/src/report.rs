//! Sends messages to the engine.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use reeldeck_common::protocol::{self, FromWorker};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::dup2_stdout;

/// Sends messages to the engine. Clones may be used from several threads.
#[derive(Clone)]
pub(crate) struct Reporter {
    out: Arc<Mutex<File>>,
}

impl Reporter {
    /// Takes over standard output for messages. Other output, such as that of CUDA's libraries, goes to standard error from
    /// now on, so that it does not mix with messages.
    ///
    /// # Errors
    /// When the file descriptors cannot be duplicated.
    pub(crate) fn take_stdout() -> io::Result<Self> {
        let own = fcntl_dupfd_cloexec(io::stdout(), 3)?;
        dup2_stdout(io::stderr())?;
        Ok(Self { out: Arc::new(Mutex::new(own.into())) })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the engine has ended.
    pub(crate) fn send(&self, message: &FromWorker) -> Result<()> {
        let line = protocol::line(message)?;
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(line.as_bytes())?;
        Ok(())
    }
}
