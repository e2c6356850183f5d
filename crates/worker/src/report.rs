//! The worker's side of the protocol's way out: messages on what was standard output.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use reeldeck_common::protocol::{self, FromWorker};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::dup2_stdout;

/// Sends messages to the engine; may be cloned and used from several threads.
#[derive(Clone)]
pub struct Reporter {
    out: Arc<Mutex<File>>,
}

impl Reporter {
    /// Takes standard output for the protocol and sends everything else that is printed there (by CUDA's libraries, say) to
    /// standard error, so that no stray line is taken for a message.
    pub fn take_stdout() -> io::Result<Self> {
        let own = fcntl_dupfd_cloexec(io::stdout(), 3)?;
        dup2_stdout(io::stderr())?;
        Ok(Self { out: Arc::new(Mutex::new(own.into())) })
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
