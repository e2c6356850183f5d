//! Jobs in the queue: what `sbatch`, `squeue`, `scontrol` and `scancel` do with them.

use super::{SlurmError, call};

/// A job, or tasks of an array, in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    /// Such as `12`, `12_3` or `12_[4-7]`.
    pub id: String,
    /// Such as `RUNNING` or `PENDING`.
    pub state: String,
    /// The name of the first node.
    pub node: String,
    /// Until its limit, as Slurm writes it.
    pub left: String,
    /// Why it waits.
    pub reason: String,
}

/// Submits a script, an absolute path. Returns the id of the job.
///
/// # Errors
/// When Slurm refuses.
pub(crate) fn submit(script: &str, options: &[String]) -> Result<String, SlurmError> {
    let mut arguments = vec!["--parsable"];
    arguments.extend(options.iter().map(String::as_str));
    arguments.extend(["--", script]);
    let said = call("sbatch", &arguments)?;
    id_in(&said)
}

/// The id in the answer of sbatch: `12`. With `12;cluster`, the job is on another cluster.
fn id_in(said: &str) -> Result<String, SlurmError> {
    let said = said.trim();
    let is_id = |id: &str| id.parse::<u64>().is_ok();
    match said.split_once(';') {
        None if is_id(said) => Ok(said.to_owned()),
        Some((id, cluster)) if is_id(id) => Err(SlurmError::OtherCluster { id: id.into(), cluster: cluster.into() }),
        _ => Err(SlurmError::Unknown { program: "sbatch", said: said.to_owned() }),
    }
}

/// Those of these jobs that are in the queue. Slurm forgets a job some minutes after its end.
///
/// # Errors
/// When Slurm does not answer, or in an unknown form.
pub(crate) fn queued(ids: &[String]) -> Result<Vec<Queued>, SlurmError> {
    let mut found = vec![];
    for id in ids {
        match call("squeue", &["--noheader", "--jobs", id, "--format", "%i|%T|%N|%L|%r"]) {
            Ok(text) => {
                for line in text.lines().filter(|line| !line.trim().is_empty()) {
                    let unknown = || SlurmError::Unknown { program: "squeue", said: line.to_owned() };
                    found.push(parse(line).ok_or_else(unknown)?);
                }
            }
            Err(error) if error.is_of_ended_jobs() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Makes a job wait for others, however they end.
///
/// # Errors
/// When Slurm refuses: the job has begun, or has ended.
pub(crate) fn wait_for(id: &str, others: &[String]) -> Result<(), SlurmError> {
    call("scontrol", &["update", &format!("JobId={id}"), &format!("Dependency={}", after(others))]).map(drop)
}

/// The dependency on the end of these jobs.
pub(crate) fn after(jobs: &[String]) -> String {
    format!("afterany:{}", jobs.join(":"))
}

/// Puts a running job back into the queue. Slurm ends its processes.
///
/// # Errors
/// When Slurm refuses.
pub(crate) fn requeue(job: &str) -> Result<(), SlurmError> {
    call("scontrol", &["requeue", job]).map(drop)
}

/// Cancels jobs, or only those that wait. Skips those that have ended.
///
/// # Errors
/// When Slurm refuses.
pub(crate) fn cancel(ids: &[String], waiting_only: bool) -> Result<(), SlurmError> {
    scancel(if waiting_only { &["--state=PENDING"] } else { &[] }, ids)
}

/// Sends SIGINT to every process of these jobs. Skips those that have ended.
///
/// # Errors
/// When Slurm refuses.
pub(crate) fn interrupt(ids: &[String]) -> Result<(), SlurmError> {
    scancel(&["--full", "--signal=INT"], ids)
}

fn scancel(options: &[&str], ids: &[String]) -> Result<(), SlurmError> {
    // Without ids, options alone would select jobs.
    if ids.is_empty() {
        return Ok(());
    }
    let mut arguments = options.to_vec();
    arguments.push("--");
    arguments.extend(ids.iter().map(String::as_str));
    match call("scancel", &arguments) {
        Err(error) if !error.is_of_ended_jobs() => Err(error),
        _ => Ok(()),
    }
}

fn parse(line: &str) -> Option<Queued> {
    let mut fields = line.splitn(5, '|').map(|field| field.trim().to_owned());
    let mut field = || fields.next();
    let queued = Queued { id: field()?, state: field()?, node: field()?, left: field()?, reason: field()? };
    (queued.id.starts_with(|first: char| first.is_ascii_digit()) && !queued.state.is_empty()).then_some(queued)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_jobs_of_the_own_cluster_are_accepted() {
        assert_eq!(id_in("123\n").unwrap(), "123");
        let other = id_in("123;east\n").unwrap_err().to_string();
        assert!(other.contains("job 123") && other.contains("`scancel --clusters=east 123`"), "{other}");
        for said in ["", "x", "12 3", ";east", "x;east", "-1"] {
            assert!(matches!(id_in(said), Err(SlurmError::Unknown { .. })), "{said}");
        }
    }
}
