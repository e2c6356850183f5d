//! Jobs that reach their time limit, and an engine that looks while the tasks are still pending.

use std::fs;
use std::process::Stdio;

use super::cluster::Cluster;
use super::{VIDEOS, has_begun};
use crate::support::wait_for;
use reeldeck::internals::client::{Client, runs};

/// The shortest limit that Slurm has is a minute. The engine stops after half of it. Its video does not end, so Slurm ends the job; the engine
/// gives the video back before Slurm kills it.
#[test]
fn a_task_that_reaches_its_time_limit_charges_no_video_and_continues_in_a_new_job() {
    let videos = [("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok"), ("A/v_3.mp4", "until go"), ("A/v_4.mp4", "ok")];
    let Some(cluster) = Cluster::start(1, &videos) else { return };
    let engine = format!("exec '{}' extract", env!("CARGO_BIN_EXE_reeldeck"));
    let job = cluster.job(&["--cpus-per-task=2", "--time=1", "--array=0"], &engine);
    wait_for("its time runs out", || cluster.log("step", 0).contains("finishing the videos in progress"));
    assert_eq!(cluster.bench.files("features").len(), 2, "a video is in progress, and the last one waits");
    wait_for("it is queued again", || cluster.log("step", 0).contains(&format!("job {job}_0 is queued again")));
    fs::write(cluster.bench.path("go"), "").unwrap();
    cluster.wait_for_state(&job, "COMPLETED");
    assert_eq!((cluster.field(&job, "Restarts").as_str(), cluster.bench.files("features").len()), ("1", 4));
    assert!(cluster.bench.files("failures").is_empty(), "no video is charged: {}", cluster.log("step", 0));
}

#[test]
fn an_engine_that_looks_while_tasks_are_pending_leaves_all_videos_to_them() {
    let Some(cluster) = Cluster::start(1, VIDEOS) else { return };
    // The only node is busy.
    let other = cluster.slurm("sbatch", &["--parsable", "--exclusive", "--wrap", "sleep 600"]);
    cluster.wait_for_state(&other, "RUNNING");
    let (engines, export) = cluster.submit(1);
    let mut command = cluster.bench.command(&["engine", "--wait"]);
    let mut looking = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let out = cluster.bench.path("out");
    let connect = || Client::connect(&out, &runs(&out).ok()?.pop()?).ok();
    wait_for("the engine answers", || connect().is_some());
    // As a window does: a connection for events, and one for questions.
    let (mut follower, mut window) = (connect().unwrap(), connect().unwrap());
    follower.subscribe().unwrap();
    let status = cluster.reeldeck(&["slurm", "status"]);
    assert!(status.lines().any(|line| line.starts_with(&engines) && line.contains("PENDING")), "{status}");
    assert!(!has_begun(&cluster), "an engine that looks extracts nothing");
    cluster.slurm("scancel", &[&other]);
    wait_for("the task works beside it", || has_begun(&cluster));
    fs::write(cluster.bench.path("go"), "").unwrap();
    cluster.wait_for_state(&engines, "COMPLETED");
    cluster.wait_for_state(&export, "COMPLETED");
    wait_for("the window shows the results", || window.snapshot().is_ok_and(|now| now.counts.done == 4));
    assert_eq!((cluster.bench.files("features").len(), cluster.bench.files("failures").len()), (4, 0));
    assert!(cluster.bench.export("result.pkl").exists());
    drop((window, follower));
    looking.wait().unwrap();
    assert!(!cluster.bench.path("out/.reeldeck/claims").exists(), "claims are left");
}
