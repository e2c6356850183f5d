//! Why a client cannot talk to an engine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::dataset::shown;
use crate::error::{Exit, ExitError};
use crate::protocol::MAX_LINE;

/// Why an engine cannot be talked to.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ClientError {
    #[error(
        "no run is active in {}; --out names the folder of another run, and `reeldeck --batch --detach` starts one",
        shown(out)
    )]
    NoRun { out: PathBuf },
    #[error("the run in this output folder is on host {host} (process {pid}); `reeldeck status` and `attach` show it")]
    OtherHost { host: String, pid: u32 },
    #[error("the run in this output folder (process {pid}) does not listen to clients")]
    NoSocket { pid: u32 },
    #[error("failed to look for runs in the output folder {}; check that its disk is there and readable", shown(out))]
    Locks { out: PathBuf, source: io::Error },
    #[error("failed to look for runs")]
    Thread(#[source] io::Error),
    #[error("failed to reach the run (process {pid}) at {}; if it hangs, end it with `kill {pid}`", shown(socket))]
    Unreachable { pid: u32, socket: PathBuf, source: io::Error },
    #[error(
        "the run (process {pid}) has not answered at {} within {} s; try again, and if it hangs, end it with `kill {pid}`",
        shown(socket),
        timeout.as_secs_f32()
    )]
    NoAnswer { pid: u32, socket: PathBuf, timeout: Duration },
    #[error("{reason}")]
    Refused { reason: String },
    #[error(
        "the file of an engine in {} belongs to a run in another output folder ({}): it was copied; remove {}",
        shown(out),
        shown(other),
        shown(file)
    )]
    OtherFolder { out: PathBuf, other: PathBuf, file: PathBuf },
    #[error(
        "the request has {bytes} bytes, and a run reads at most {MAX_LINE}; give fewer names or patterns at a time"
    )]
    TooLong { bytes: usize },
    #[error("the connection to the run broke")]
    Broken(#[from] io::Error),
    #[error("the run has ended")]
    Ended,
    #[error("unexpected reply from the run: {0}")]
    Unexpected(String),
    #[error("{0}")]
    Failed(String),
}

impl From<ClientError> for ExitError {
    fn from(error: ClientError) -> Self {
        let exit = match error {
            ClientError::NoRun { .. } | ClientError::TooLong { .. } => Exit::Usage,
            _ => Exit::Internal,
        };
        Self::new(exit, error)
    }
}
