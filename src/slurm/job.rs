//! The job that this process belongs to: its name, its state and the time that is left.

use std::time::{Duration, SystemTime};

use super::{SlurmError, call};

/// A Slurm job, or one task of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// As Slurm's programs take it: `12` or `12_3`.
    pub name: String,
    /// This process is one of several that one step has started. They share the job.
    pub is_shared: bool,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobState {
    /// It runs. Otherwise Slurm is ending it.
    pub runs: bool,
    /// Time until its limit; `None` without a limit.
    pub left: Option<Duration>,
}

impl Job {
    /// The job of this process; `None` outside of Slurm.
    pub(crate) fn of_this_process() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let id = variable("SLURM_JOB_ID")?;
        // The last task of an array has the id of the array, which would name all tasks.
        let name = match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
            (Some(array), Some(task)) => format!("{array}_{task}"),
            _ => id,
        };
        let tasks = variable("SLURM_STEP_NUM_TASKS").and_then(|tasks| tasks.parse::<u32>().ok()).unwrap_or(1);
        Some(Self { name, is_shared: tasks > 1 })
    }

    /// Asks Slurm for the state.
    ///
    /// # Errors
    /// When Slurm does not answer, or does not know the job.
    pub(crate) fn state(&self) -> Result<JobState, SlurmError> {
        let text = call("squeue", &["--noheader", "--jobs", &self.name, "--format", "%T|%L"])?;
        state(&text).ok_or(SlurmError::Unknown { program: "squeue", said: text.trim().to_owned() })
    }

    /// The time until the limit of the job, from its environment or from Slurm; `None` without a limit.
    ///
    /// # Errors
    /// When Slurm does not answer.
    pub(crate) fn time_left(&self) -> Result<Option<Duration>, SlurmError> {
        let end = std::env::var("SLURM_JOB_END_TIME").ok().and_then(|end| end.parse().ok());
        match end {
            Some(end) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Ok(Some(Duration::from_secs(end).saturating_sub(now)))
            }
            None => Ok(self.state()?.left),
        }
    }
}

/// How long Slurm waits between SIGTERM and SIGKILL.
pub(crate) fn kill_wait() -> Duration {
    let configured = call("scontrol", &["show", "config"]).ok();
    let seconds = configured.as_deref().and_then(|text| {
        let line = text.lines().find(|line| line.split('=').next().is_some_and(|key| key.trim() == "KillWait"))?;
        line.split('=').nth(1)?.split_whitespace().next()?.parse().ok()
    });
    // Slurm's default.
    Duration::from_secs(seconds.unwrap_or(30))
}

/// Reads `STATE|LEFT`.
fn state(text: &str) -> Option<JobState> {
    let (state, left) = text.lines().next()?.trim().split_once('|')?;
    Some(JobState { runs: state == "RUNNING", left: duration(left) })
}

/// A duration as Slurm writes it: `2:59`, `1:02:03`, `1-02:03:04`. `None` for `UNLIMITED` and other words.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (days, clock) = match text.trim().split_once('-') {
        Some((days, clock)) => (days.parse::<u64>().ok()?, clock),
        None => (0, text.trim()),
    };
    let parts: Vec<u64> = clock.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let seconds = match parts.as_slice() {
        [hours, minutes, seconds] => hours * 3600 + minutes * 60 + seconds,
        [minutes, seconds] => minutes * 60 + seconds,
        _ => return None,
    };
    Some(Duration::from_secs(days * 86_400 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Option<Job> {
        Job::of(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_task_of_an_array_is_named_by_array_and_task() {
        let plain = Job { name: "7".into(), is_shared: false };
        assert_eq!(job(&[]), None);
        assert_eq!(job(&[("SLURM_JOB_ID", "7"), ("SLURM_STEP_NUM_TASKS", "1")]), Some(plain.clone()));
        assert_eq!(job(&[("SLURM_JOB_ID", "7"), ("SLURM_STEP_NUM_TASKS", "4")]).map(|job| job.is_shared), Some(true));
        let last = [("SLURM_JOB_ID", "7"), ("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "5")];
        assert_eq!(job(&last), Some(Job { name: "7_5".into(), ..plain }));
    }

    #[test]
    fn times_are_read_as_squeue_writes_them() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        assert_eq!(["0:05", "2:59", "1:00:01", "2-00:00:00"].map(seconds), [5, 179, 3601, 172_800].map(Some));
        assert_eq!(["UNLIMITED", "INVALID", "NOT_SET", "", "7"].map(seconds), [None; 5]);
        let left = Some(Duration::from_secs(120));
        assert_eq!(state("RUNNING|2:00\n"), Some(JobState { runs: true, left }));
        assert_eq!(state("COMPLETING|2:00\n"), Some(JobState { runs: false, left }));
        assert_eq!(state(""), None);
    }
}
