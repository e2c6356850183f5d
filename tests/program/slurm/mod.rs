//! `reeldeck slurm` and runs in jobs, with a real Slurm, and with programs that stand for it.

use std::fs;

use crate::support::wait_for;
use cluster::Cluster;

mod cluster;
mod fake;
mod sharing;
mod time;

/// Videos of which the first waits for the file `go`.
const VIDEOS: &[(&str, &str)] =
    &[("A/v_1.mp4", "until go"), ("A/v_2.mp4", "ok"), ("A/v_3.mp4", "ok"), ("A/v_4.mp4", "ok")];

fn has_begun(cluster: &Cluster) -> bool {
    let runs = fs::read_dir(cluster.bench.path("out/.reeldeck/runs")).into_iter().flatten().flatten();
    runs.map(|run| fs::read_to_string(run.path()).unwrap_or_default()).any(|text| text.contains("A/v_2.mp4"))
}

#[test]
fn jobs_succeed_although_a_video_fails_and_the_export_follows() {
    let Some(cluster) = Cluster::start(1, &[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "fail corrupt")]) else { return };
    let (engines, export) = cluster.submit(1);
    let after = cluster.slurm("sbatch", &["--parsable", &format!("--dependency=afterok:{engines}"), "--wrap", "true"]);
    cluster.wait_for_state(&after, "COMPLETED");
    cluster.wait_for_state(&export, "COMPLETED");
    assert_eq!(cluster.field(&engines, "ExitCode"), "0:0");
    assert!(cluster.log(&engines, 0).contains("with --strict it is 3"), "{}", cluster.log(&engines, 0));
    assert!(cluster.bench.export("result.pkl").exists() && cluster.bench.files("failures").len() == 1);
    let idle = cluster.reeldeck(&["slurm", "stop"]);
    assert!(idle.contains("none of the jobs is in the queue") || idle.contains("finish the videos"), "{idle}");
}

#[test]
fn a_task_whose_time_runs_out_finishes_its_videos_and_is_queued_again() {
    let Some(cluster) = Cluster::start(1, VIDEOS) else { return };
    let (engines, export) = cluster.submit(1);
    wait_for("two videos are in flight", || has_begun(&cluster));
    // As --signal=B:USR1@180 has Slurm do before the time limit.
    cluster.slurm("scancel", &["--batch", "--signal=USR1", &engines]);
    wait_for("it is stopping", || cluster.log(&engines, 0).contains("finishing the videos in progress"));
    fs::write(cluster.bench.path("go"), "").unwrap();
    wait_for("it is queued again", || cluster.log(&engines, 0).contains(&format!("job {engines}_0 is queued again")));
    cluster.wait_for_state(&export, "COMPLETED");
    assert_eq!((cluster.field(&engines, "Restarts").as_str(), cluster.bench.files("features").len()), ("1", 4));
    let log = cluster.log(&engines, 0);
    assert_eq!(log.matches("done before").count(), 2, "both runs are in the log: {log}");
    assert!(cluster.bench.files("failures").is_empty() && cluster.bench.export("result.pkl").exists());
}

#[test]
fn a_cancelled_job_finishes_what_it_can_and_charges_no_video() {
    let Some(cluster) = Cluster::start(1, VIDEOS) else { return };
    let (engines, export) = cluster.submit(1);
    wait_for("two videos are in flight", || has_begun(&cluster));
    cluster.slurm("scancel", &[&engines]);
    wait_for("it is stopping", || cluster.log(&engines, 0).contains("finishing the videos in progress"));
    fs::write(cluster.bench.path("go"), "").unwrap();
    cluster.wait_for_state(&export, "COMPLETED");
    assert_eq!((cluster.field(&engines, "JobState").as_str(), cluster.bench.files("features").len()), ("CANCELLED", 2));
    assert!(cluster.bench.files("failures").is_empty() && !cluster.log(&engines, 0).contains("queued again"));
    assert_eq!(cluster.bench.run(&["--batch"]).code, 0);
    assert_eq!(cluster.bench.files("features").len(), 4);
}

#[test]
fn engines_are_shown_added_and_stopped() {
    let Some(cluster) = Cluster::start(1, VIDEOS) else { return };
    let (engines, export) = cluster.submit(1);
    wait_for("two videos are in flight", || has_begun(&cluster));
    let again =
        cluster.bench.command(&["slurm", "submit"]).env("SLURM_CONF", cluster.bench.path("slurm/slurm.conf")).output();
    assert_eq!(again.unwrap().status.code(), Some(2), "the jobs are in the queue already");
    // There is one node, and the engine has all of its cores.
    let said = cluster.reeldeck(&["slurm", "add", "1"]);
    let added: String = said.split("as job ").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    let dependency = cluster.field(&export, "Dependency");
    assert!(dependency.contains(&engines) && dependency.contains(&added), "{dependency}");
    let status = cluster.reeldeck(&["slurm", "status"]);
    for (job, state) in
        [(format!("{engines}_0 "), "RUNNING"), (format!("{added}_"), "PENDING"), (export.clone(), "PENDING")]
    {
        let line = status.lines().find(|line| line.starts_with(&job));
        assert!(line.is_some_and(|line| line.contains(state)), "{job} {state}: {status}");
    }
    cluster.reeldeck(&["slurm", "stop"]);
    wait_for("it is stopping", || cluster.log(&engines, 0).contains("finishing the videos in progress"));
    fs::write(cluster.bench.path("go"), "").unwrap();
    wait_for("the queue is empty", || cluster.slurm("squeue", &["--noheader"]).is_empty());
    assert_eq!(
        (cluster.field(&added, "JobState"), cluster.field(&export, "JobState")),
        ("CANCELLED".into(), "CANCELLED".into())
    );
    assert_eq!((cluster.bench.files("features").len(), cluster.bench.files("failures").len()), (2, 0));
}

/// Jobs of a partition with more priority end it, and Slurm queues it again.
#[test]
fn a_preempted_task_continues_later() {
    let Some(cluster) = Cluster::start(1, VIDEOS) else { return };
    let (engines, export) = cluster.submit_to("low", 1);
    wait_for("two videos are in flight", || has_begun(&cluster));
    let other = cluster.slurm("sbatch", &["--parsable", "--partition=main", "--exclusive", "--wrap", "true"]);
    wait_for("it is stopping", || cluster.log(&engines, 0).contains("finishing the videos in progress"));
    fs::write(cluster.bench.path("go"), "").unwrap();
    cluster.wait_for_state(&other, "COMPLETED");
    cluster.wait_for_state(&export, "COMPLETED");
    assert_eq!((cluster.field(&engines, "Restarts").as_str(), cluster.bench.files("features").len()), ("1", 4));
    assert!(cluster.bench.files("failures").is_empty() && cluster.bench.export("result.pkl").exists());
}

#[test]
fn a_task_of_a_lost_node_continues_on_another() {
    let Some(cluster) = Cluster::start(2, VIDEOS) else { return };
    let (engines, export) = cluster.submit(1);
    wait_for("two videos are in flight", || has_begun(&cluster));
    cluster.lose_node(&engines);
    fs::write(cluster.bench.path("go"), "").unwrap();
    cluster.wait_for_state(&export, "COMPLETED");
    assert_eq!((cluster.field(&engines, "Restarts").as_str(), cluster.bench.files("features").len()), ("1", 4));
    assert!(cluster.bench.files("failures").is_empty(), "no video is charged");
}
