//! Asks a program a question that it answers with one JSON value.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use reeldeck_process::{Event, Exit, Process, Program};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It cannot be started.
    #[error("failed to start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It did not answer in time, and was killed.
    #[error("{} did not answer within {} s", program.display(), timeout.as_secs_f32())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// How long it had.
        timeout: Duration,
    },
    /// It ended without an answer.
    #[error("{}", end(program, exit, stderr))]
    Ended {
        /// The program.
        program: PathBuf,
        /// How it ended.
        exit: Exit,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// Its answer has another form.
    #[error("unexpected answer from {}", program.display())]
    Unexpected {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
}

/// What the program wrote before its end explains it, unless it was killed from outside.
fn end(program: &Path, exit: &Exit, stderr: &str) -> String {
    if stderr.is_empty() || exit.is_from_outside() {
        format!("{} {exit}", program.display())
    } else {
        stderr.to_owned()
    }
}

/// Starts a program, waits for its answer and ends it. Takes `timeout` at most.
///
/// # Errors
/// When there is no answer, or it is not an `A`.
pub(crate) fn ask<A: DeserializeOwned>(program: &Program, timeout: Duration) -> Result<A, AskError> {
    let path = || program.path.clone();
    let deadline = Instant::now() + timeout;
    let (process, events) =
        Process::start_with_channel::<Value>(program).map_err(|source| AskError::Start { program: path(), source })?;
    loop {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Message(answer)) => {
                return serde_json::from_value(answer)
                    .map_err(|source| AskError::Unexpected { program: path(), source });
            }
            Ok(Event::Stderr(_)) => {}
            Ok(Event::Exited(exit)) => {
                return Err(AskError::Ended { program: path(), exit, stderr: process.stderr().join("\n") });
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(AskError::Timeout { program: path(), timeout });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask_sh(script: &str, timeout: Duration) -> Result<u32, AskError> {
        let program = Program { arguments: vec!["-c".into(), script.into()], ..Program::new(Path::new("sh")) };
        ask(&program, timeout)
    }

    #[test]
    fn an_answer_or_the_reason_for_none_is_returned() {
        let long = Duration::from_secs(60);
        assert_eq!(ask_sh("echo warning >&2; echo 7", long).unwrap(), 7);
        for (script, message) in [
            ("echo '\"seven\"'", "unexpected answer from sh"),
            ("echo no libtorch >&2; exit 127", "no libtorch"),
            ("exit 3", "sh exited with code 3"),
            ("echo warning >&2; kill -9 $$", "sh was killed by signal 9 (SIGKILL)"),
            ("echo seven", "sh broke the protocol"),
        ] {
            let error = ask_sh(script, long).unwrap_err().to_string();
            assert!(error.starts_with(message), "{script}: {error}");
        }
        let missing = ask::<u32>(&Program::new(Path::new("/nonexistent/worker")), long);
        assert!(matches!(missing, Err(AskError::Start { .. })));
    }

    #[test]
    fn a_program_that_hangs_is_ended_at_the_deadline() {
        let error = ask_sh("exec sleep 600", Duration::from_millis(100)).unwrap_err().to_string();
        assert_eq!(error, "sh did not answer within 0.1 s");
    }
}
