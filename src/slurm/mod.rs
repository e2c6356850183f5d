//! Slurm: the job that this process belongs to, and what Slurm's own programs say. Calls may take seconds, so do
//! not make them on an event loop.

pub(crate) mod cluster;
mod job;
pub(crate) mod queue;
pub(crate) mod script;

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::runtime::Builder;

use crate::discovery::trust::find_program;

pub(crate) use job::{Job, JobState, kill_wait};

/// How long a program of Slurm may take. A busy controller answers after many seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a program of Slurm gives no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SlurmError {
    /// The program is not there.
    #[error("{0} was not found; on most clusters it is on the login nodes, perhaps after `module load slurm`")]
    NotFound(&'static str),
    /// It cannot be started.
    #[error("failed to start {program}")]
    Start {
        /// The program.
        program: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// It does not answer.
    #[error("{program} did not answer within {} s; try again when Slurm's controller responds", TIMEOUT.as_secs())]
    Timeout {
        /// The program.
        program: &'static str,
    },
    /// It fails.
    #[error("{program} failed: {said}")]
    Failed {
        /// The program.
        program: &'static str,
        /// The last line of its standard error.
        said: String,
    },
    /// It answers in an unknown form.
    #[error("{program} gave an answer in an unknown form: {said}")]
    Unknown {
        /// The program.
        program: &'static str,
        /// The answer.
        said: String,
    },
}

/// Runs a program of Slurm and returns what it prints.
///
/// # Errors
/// When it is not there, fails, or does not answer in time.
fn call(program: &'static str, arguments: &[&str]) -> Result<String, SlurmError> {
    let path = find_program(program).ok_or(SlurmError::NotFound(program))?;
    let start = |source| SlurmError::Start { program, source };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(start)?;
    let mut command = Command::new(path);
    // A signal to the group of this process must not end the call.
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).process_group(0);
    // Formats of output that a user has configured would change the answer.
    for name in ["SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_STATES", "SINFO_FORMAT", "SLURM_TIME_FORMAT"] {
        command.env_remove(name);
    }
    let output = runtime.block_on(async { tokio::time::timeout(TIMEOUT, command.output()).await });
    let output = output.map_err(|_| SlurmError::Timeout { program })?.map_err(start)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let said = text.trim().lines().last().unwrap_or("it printed no reason").to_owned();
        return Err(SlurmError::Failed { program, said });
    }
    String::from_utf8(output.stdout).map_err(|error| SlurmError::Unknown { program, said: error.to_string() })
}
