//! Slurm: the job that this process belongs to, and what Slurm's own programs say. Calls may take seconds, so do
//! not make them on an event loop.

pub(crate) mod cluster;
mod job;
pub(crate) mod options;
pub(crate) mod queue;
mod record;
pub(crate) mod script;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::runtime::Builder;

use crate::discovery::trust::find_program;

pub(crate) use job::{Job, JobState, kill_wait};
pub(crate) use record::Jobs;

/// How long a program of Slurm may take. A busy controller answers after many seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes that are read from a program of Slurm, of each of its streams.
const MAX_BYTES: u64 = 16 << 20;

/// Variables of `scancel`, `scontrol`, `sinfo` and `squeue`, and others; see [`changes_the_call`].
const OF_PROGRAMS: [&str; 4] = ["SCANCEL_", "SCONTROL_", "SINFO_", "SQUEUE_"];
const OTHERS: [&str; 7] = [
    "SBATCH_CLUSTERS",
    "SBATCH_WAIT",
    "SLURM_BITSTR_LEN",
    "SLURM_CLUSTERS",
    "SLURM_DEBUG_FLAGS",
    "SLURM_EXIT_ERROR",
    "SLURM_TIME_FORMAT",
];

/// What Slurm says of a job that has ended: when it has forgotten the job, and before.
const ENDED: [&str; 3] = ["Invalid job id", "already finished", "already completing or completed"];

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
    /// It prints too much.
    #[error(
        "{program} was ended because it printed more than {} MiB; run it yourself to see what it prints",
        MAX_BYTES >> 20
    )]
    Long {
        /// The program.
        program: &'static str,
    },
    /// It fails.
    #[error("{program} failed: {}", said.lines().last().unwrap_or("it printed no reason"))]
    Failed {
        /// The program.
        program: &'static str,
        /// Its standard error.
        said: String,
    },
    /// sbatch has submitted a job to another cluster, where no command would find it.
    #[error(
        "sbatch submitted job {id} to the cluster {cluster}, where `reeldeck slurm` does not find it; cancel it with \
         `scancel --clusters={cluster} {id}`, and submit on a login node of that cluster"
    )]
    OtherCluster {
        /// The job.
        id: String,
        /// The cluster.
        cluster: String,
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

impl SlurmError {
    /// The program failed for no other reason than that jobs have ended.
    pub(crate) fn is_of_ended_jobs(&self) -> bool {
        let Self::Failed { said, .. } = self else { return false };
        !said.is_empty() && said.lines().all(|line| ENDED.iter().any(|reason| line.contains(reason)))
    }
}

/// Runs a program of Slurm and returns what it prints.
///
/// # Errors
/// When it is not there, fails, prints too much, or does not answer in time.
fn call(program: &'static str, arguments: &[&str]) -> Result<String, SlurmError> {
    run(program, &find_program(program).ok_or(SlurmError::NotFound(program))?, arguments)
}

fn run(program: &'static str, path: &Path, arguments: &[&str]) -> Result<String, SlurmError> {
    let start = |source| SlurmError::Start { program, source };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(start)?;
    let mut command = Command::new(path);
    // A signal to the group of this process must not end the call.
    command.args(arguments).kill_on_drop(true).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os().filter(|(name, _)| changes_the_call(name)) {
        command.env_remove(name);
    }
    let (status, printed, said) = runtime.block_on(async {
        let mut child = command.spawn().map_err(start)?;
        let answered = tokio::time::timeout(TIMEOUT, answer(program, &mut child)).await;
        let answered = answered.unwrap_or(Err(SlurmError::Timeout { program }));
        // The program has an id until it is reaped. What it has started ends with it.
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(group) = group.filter(|_| answered.is_err()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        answered
    })?;
    if !status.success() {
        return Err(SlurmError::Failed { program, said: String::from_utf8_lossy(&said).trim().to_owned() });
    }
    String::from_utf8(printed).map_err(|error| SlurmError::Unknown { program, said: error.to_string() })
}

/// How a program ends, and all that it prints on its standard output and error.
async fn answer(program: &'static str, child: &mut Child) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), SlurmError> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (printed, said) = tokio::try_join!(bounded(program, stdout), bounded(program, stderr))?;
    let status = child.wait().await.map_err(|source| SlurmError::Start { program, source })?;
    Ok((status, printed, said))
}

async fn bounded(program: &'static str, stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, SlurmError> {
    let mut bytes = vec![];
    if let Some(stream) = stream {
        let read = stream.take(MAX_BYTES + 1).read_to_end(&mut bytes).await;
        read.map_err(|source| SlurmError::Start { program, source })?;
    }
    if bytes.len() as u64 > MAX_BYTES { Err(SlurmError::Long { program }) } else { Ok(bytes) }
}

/// Whether a variable would change which jobs a program of Slurm selects, what it prints, or when it returns. With `SCANCEL_USER`,
/// for example, `scancel` cancels jobs of a user that it was not given, and with `SQUEUE_PARTITION`, `squeue` hides jobs. A job is
/// known by its number alone, so all calls must reach the same cluster, and a variable that names another one is dropped too. What
/// finds Slurm (`SLURM_CONF`), and what users set for their jobs (`SBATCH_ACCOUNT`), is kept.
fn changes_the_call(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    OF_PROGRAMS.iter().any(|prefix| name.starts_with(prefix)) || OTHERS.contains(&&*name)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use reeldeck_common::pid::is_gone;

    use super::*;

    #[test]
    fn a_program_that_prints_without_end_is_ended_with_what_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let (program, pid) = (dir.path().join("squeue"), dir.path().join("pid"));
        let start = format!("sh -c 'echo $$ > {0}; exec sleep 600' >/dev/null 2>&1 &\n", pid.display());
        let print = format!("while [ ! -s {} ]; do :; done\nexec yes\n", pid.display());
        fs::write(&program, format!("#!/bin/sh\n{start}{print}")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let error = run("squeue", &program, &[]).unwrap_err();
        assert!(error.to_string().contains("squeue was ended because it printed more than 16 MiB"), "{error}");
        let started = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        while !is_gone(started) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_failure_is_of_ended_jobs_only_if_each_line_says_so() {
        let ended = |said: &str| SlurmError::Failed { program: "scancel", said: said.into() }.is_of_ended_jobs();
        let (gone, denied) = ("scancel: error: job 4: Invalid job id specified", "scancel: error: Access denied");
        assert!(ended(gone) && ended(&format!("{gone}\n{gone}")));
        assert!(!ended(denied) && !ended(&format!("{denied}\n{gone}")) && !ended(""));
    }
}
