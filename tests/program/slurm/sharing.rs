//! Engines of one output folder in the jobs of a real Slurm: arrays with gaps and limits, a second array, steps, and
//! heterogeneous jobs.

use std::collections::BTreeMap;
use std::fs;

use super::cluster::Cluster;
use crate::support::wait_for;

const REELDECK: &str = env!("CARGO_BIN_EXE_reeldeck");

/// Enough videos for several engines: each claims some ahead.
fn names() -> Vec<String> {
    (10..74).map(|i| format!("A/v_{i}.mp4")).collect()
}

/// A cluster whose videos all wait for the file `go`.
fn cluster(nodes: u32) -> Option<Cluster> {
    let names = names();
    let videos: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "until go")).collect();
    Cluster::start(nodes, &videos)
}

/// How often each video was begun, by all engines together; the number of engines that have begun one.
fn begun(cluster: &Cluster) -> (BTreeMap<String, usize>, usize) {
    let (mut begun, mut engines) = (BTreeMap::new(), 0);
    for run in fs::read_dir(cluster.bench.path("out/.reeldeck/runs")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(run.path()).unwrap_or_default();
        let before = begun.values().sum::<usize>();
        for line in text.lines().filter(|line| line.contains("video-started")) {
            let video = line.split("\"video\":\"").nth(1).unwrap().split('"').next().unwrap();
            *begun.entry(video.to_owned()).or_default() += 1;
        }
        engines += usize::from(begun.values().sum::<usize>() > before);
    }
    (begun, engines)
}

fn assert_each_once(cluster: &Cluster) {
    let (begun, _) = begun(cluster);
    assert_eq!((begun.len(), begun.values().sum::<usize>()), (64, 64), "each once: {begun:?}");
    assert_eq!((cluster.bench.files("features").len(), cluster.bench.files("failures").len()), (64, 0));
    assert!(!cluster.bench.path("out/.reeldeck/claims").exists(), "claims are left");
}

#[test]
fn tasks_of_an_array_with_gaps_and_a_limit_do_all_videos_and_one_that_runs_again_does_the_rest() {
    let Some(cluster) = cluster(1) else { return };
    fs::write(cluster.bench.path("go"), "").unwrap();
    let engine = format!("exec '{REELDECK}' extract");
    let job = cluster.job(&["--cpus-per-task=2", "--array=2,5%1"], &engine);
    cluster.wait_for_state(&format!("{job}_2"), "COMPLETED");
    cluster.wait_for_state(&format!("{job}_5"), "COMPLETED");
    assert_each_once(&cluster);
    cluster.bench.video("B/v_late.mp4", "ok");
    let again = cluster.job(&["--array=5"], &engine);
    cluster.wait_for_state(&format!("{again}_5"), "COMPLETED");
    assert_eq!(cluster.bench.files("features").len(), 65);
}

#[test]
fn a_second_array_joins_the_first() {
    let Some(cluster) = cluster(2) else { return };
    let engine = format!("exec '{REELDECK}' extract");
    let first = cluster.job(&["--cpus-per-task=4", "--array=0-1"], &engine);
    wait_for("both engines work", || begun(&cluster).1 == 2);
    let second = cluster.job(&["--cpus-per-task=4", "--array=0-1"], &engine);
    wait_for("all engines work", || begun(&cluster).1 == 4);
    fs::write(cluster.bench.path("go"), "").unwrap();
    for job in [&first, &second] {
        (0..2).for_each(|task| cluster.wait_for_state(&format!("{job}_{task}"), "COMPLETED"));
    }
    assert_each_once(&cluster);
    let export = cluster.job(&[], &format!("exec '{REELDECK}' export"));
    cluster.wait_for_state(&export, "COMPLETED");
    assert!(cluster.bench.export("result.pkl").exists());
}

#[test]
fn components_of_a_heterogeneous_job_share_the_videos() {
    let Some(cluster) = cluster(2) else { return };
    let lines = format!(
        "#SBATCH --ntasks=1 --cpus-per-task=2\n#SBATCH hetjob\n#SBATCH --ntasks=2 --cpus-per-task=2\n\
         srun --het-group=0,1 '{REELDECK}' extract"
    );
    let job = cluster.job(&[], &lines);
    wait_for("all engines work", || begun(&cluster).1 == 3);
    fs::write(cluster.bench.path("go"), "").unwrap();
    cluster.wait_for_state(&job, "COMPLETED");
    assert_each_once(&cluster);
}

#[test]
fn engines_of_one_step_end_together_and_the_script_queues_their_job_again() {
    let Some(cluster) = cluster(1) else { return };
    let lines = format!("srun '{REELDECK}' extract\n'{REELDECK}' slurm requeue $?");
    let job = cluster.job(&["--ntasks=4", "--cpus-per-task=2"], &lines);
    wait_for("all engines work", || begun(&cluster).1 == 4);
    cluster.slurm("scancel", &["--signal=USR1", &job]);
    let stopping = |log: &str| log.matches("finishing the videos in progress").count() == 4;
    wait_for("they are stopping", || stopping(&cluster.log("step", 0)));
    fs::write(cluster.bench.path("go"), "").unwrap();
    wait_for("the job is queued again", || cluster.log("step", 0).contains(&format!("job {job} is queued again")));
    cluster.wait_for_state(&job, "COMPLETED");
    assert_eq!((cluster.field(&job, "Restarts").as_str(), cluster.bench.files("features").len()), ("1", 64));
    assert!(cluster.bench.files("failures").is_empty(), "{}", cluster.log("step", 0));
}
