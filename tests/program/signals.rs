//! Signals to every process of a job, as Slurm and other schedulers send them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use crate::support::processes::Process;
use crate::support::{Bench, Ran, wait_for};

/// Videos of which the first waits for the file `go`.
fn bench() -> Bench {
    let bench = Bench::new(&[("A/v_1.mp4", "until go"), ("A/v_2.mp4", "ok"), ("A/v_3.mp4", "ok"), ("A/v_4.mp4", "ok")]);
    bench.configure("[engine]\norder = \"list\"\n");
    bench
}

/// Signals an engine and its workers, the workers first.
fn signal_all(run: &Child, signal: &str) {
    let workers = Process::children(run.id()).into_iter().map(|worker| worker.pid.to_string());
    let pids: Vec<String> = workers.chain([run.id().to_string()]).collect();
    assert!(pids.len() > 1, "a worker runs");
    for pid in &pids {
        let sent = Command::new("kill").args([signal, pid]).stderr(Stdio::null()).status().unwrap().success();
        // Another child may have been a program of Slurm, which ends by itself.
        assert!(sent || *pid != run.id().to_string(), "the engine runs");
    }
}

/// Puts a program on the search path of a job, in place of one of Slurm's.
fn program(bench: &Bench, name: &str, script: &str) {
    let (text, path) = (bench.path(&format!("{name}.sh")), bench.path("bin").join(name));
    fs::create_dir_all(bench.path("bin")).unwrap();
    fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&text, fs::Permissions::from_mode(0o755)).unwrap();
    // Copied by another process: a child of another test may inherit a file that this process has open for writing, and then
    // it cannot be executed.
    assert!(Command::new("cp").args([&text, &path]).status().unwrap().success());
}

/// A run in a job whose state is in the file `state`. Slurm sends SIGKILL two seconds after SIGTERM. What `scontrol` is told
/// to do is in the file `told`.
fn in_job(bench: &Bench, arguments: &[&str]) -> Command {
    program(bench, "squeue", &format!("cat '{}'", bench.path("state").display()));
    let told = bench.path("told");
    program(
        bench,
        "scontrol",
        &format!("case $1 in show) echo 'KillWait = 2 sec';; *) echo \"$@\" >>'{}';; esac", told.display()),
    );
    let path = format!("{}:{}", bench.path("bin").display(), std::env::var("PATH").unwrap());
    let mut command = bench.command(arguments);
    command.env("PATH", path).env("SLURM_JOB_ID", "7").env("SLURM_ARRAY_JOB_ID", "7").env("SLURM_ARRAY_TASK_ID", "0");
    command.env("SLURM_ARRAY_TASK_COUNT", "1");
    command
}

/// The same with a limit in some seconds. Half of the time is for work.
fn start_with_limit(bench: &Bench, seconds: u64) -> Child {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    fs::write(bench.path("state"), "RUNNING|0:02\n").unwrap();
    bench.spawn_logged(in_job(bench, &["--batch", "-v"]).env("SLURM_JOB_END_TIME", (now + seconds).to_string()))
}

fn start_in_job(bench: &Bench) -> Child {
    bench.spawn_logged(&mut in_job(bench, &["--batch", "-v"]))
}

fn told(bench: &Bench) -> String {
    fs::read_to_string(bench.path("told")).unwrap_or_default()
}

#[test]
fn a_signal_to_every_process_ends_a_run_after_the_videos_in_progress() {
    for signal in ["-TERM", "-INT", "-USR1", "-USR2"] {
        let bench = bench();
        let run = bench.start_logged(&["--batch", "-v"]);
        wait_for("two videos are in flight", || bench.is_assigned("A/v_2.mp4"));
        signal_all(&run, signal);
        wait_for("the run is stopping", || bench.log().contains("interrupt again to stop now"));
        fs::write(bench.path("go"), "").unwrap();
        let ran = bench.finish(run);
        assert_eq!((ran.code, bench.files("features").len()), (130, 2), "{signal}: {ran:?}");
        assert!(bench.files("failures").is_empty() && !ran.stderr.contains("requeued"), "{signal}: {ran:?}");
        assert_eq!((bench.run(&["--batch"]).code, bench.files("features").len()), (0, 4), "{signal}");
    }
}

#[test]
fn a_hangup_of_every_process_does_not_end_a_run() {
    let bench = bench();
    let run = bench.start_logged(&["--batch", "-v"]);
    wait_for("two videos are in flight", || bench.is_assigned("A/v_2.mp4"));
    signal_all(&run, "-HUP");
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.finish(run);
    assert_eq!((ran.code, bench.files("features").len()), (0, 4), "{ran:?}");
    assert!(!ran.stderr.contains("requeued"), "{ran:?}");
}

#[test]
fn a_run_that_slurm_ends_stops_before_sigkill_and_charges_no_video() {
    let bench = bench();
    fs::write(bench.path("state"), "COMPLETING|5:00\n").unwrap();
    let run = start_in_job(&bench);
    wait_for("two videos are in flight", || bench.is_assigned("A/v_2.mp4"));
    // The second one comes from `srun`, and does not cut the time short.
    signal_all(&run, "-TERM");
    signal_all(&run, "-TERM");
    let ran = bench.finish(run);
    assert_eq!((ran.code, bench.files("features").len()), (130, 0), "{ran:?}");
    assert!(ran.stderr.contains("finishing the videos in progress") && ran.stderr.contains("stopping now"), "{ran:?}");
    assert!(bench.files("failures").is_empty(), "{ran:?}");
    assert_eq!(told(&bench), "", "a job that a user has cancelled is not queued again");
    fs::write(bench.path("go"), "").unwrap();
    assert_eq!((bench.run(&["--batch"]).code, bench.files("features").len()), (0, 4));
}

#[test]
fn a_run_whose_job_goes_on_after_sigterm_finishes_its_videos() {
    let bench = bench();
    fs::write(bench.path("state"), "RUNNING|5:00\n").unwrap();
    let run = start_in_job(&bench);
    wait_for("two videos are in flight", || bench.is_assigned("A/v_2.mp4"));
    signal_all(&run, "-TERM");
    wait_for("the run is stopping", || bench.log().contains("interrupt again to stop now"));
    signal_all(&run, "-TERM");
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.finish(run);
    assert_eq!((ran.code, bench.files("features").len(), told(&bench).as_str()), (0, 2, "requeue 7_0\n"), "{ran:?}");
}

#[test]
fn a_run_near_its_time_limit_finishes_its_videos_and_queues_its_task_again() {
    let bench = bench();
    let run = start_with_limit(&bench, 16);
    wait_for("the run is stopping", || bench.log().contains("interrupt again to stop now"));
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.finish(run);
    assert_eq!((ran.code, bench.files("features").len(), told(&bench).as_str()), (0, 2, "requeue 7_0\n"), "{ran:?}");
    assert!(ran.stderr.contains("Slurm job 7_0 is queued again"), "{ran:?}");
}

#[test]
fn a_run_that_finished_no_video_in_its_time_is_not_queued_again() {
    let bench = bench();
    let run = start_with_limit(&bench, 16);
    wait_for("the run is stopping", || bench.log().contains("interrupt again to stop now"));
    fs::write(bench.path("state"), "COMPLETING|0:00\n").unwrap();
    signal_all(&run, "-TERM");
    let ran = bench.finish(run);
    assert_eq!((ran.code, told(&bench).as_str()), (130, ""), "{ran:?}");
}

#[test]
fn a_run_that_finishes_its_last_videos_when_its_time_runs_out_succeeds() {
    let bench = Bench::new(&[("A/v_1.mp4", "until go")]);
    fs::write(bench.path("state"), "RUNNING|5:00\n").unwrap();
    let run = bench.spawn_logged(&mut in_job(&bench, &["extract", "-v"]));
    wait_for("the video is in flight", || bench.log().contains("started A/v_1.mp4"));
    signal_all(&run, "-USR1");
    wait_for("the run is stopping", || bench.log().contains("interrupt again to stop now"));
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.finish(run);
    assert_eq!((ran.code, bench.files("features").len(), told(&bench).as_str()), (0, 1, ""), "{ran:?}");
}

#[test]
fn a_failed_video_does_not_fail_a_job_but_for_strict_ones() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "fail corrupt")]);
    fs::write(bench.path("state"), "RUNNING|UNLIMITED\n").unwrap();
    let run = |more: &[&str]| Ran::to_the_end(&mut in_job(&bench, &[&["--batch"], more].concat()));
    let ran = run(&[]);
    assert!(ran.code == 0 && ran.stderr.contains("with --strict it is 3"), "{ran:?}");
    assert_eq!((run(&["--strict"]).code, bench.run(&["--batch"]).code), (3, 3));
}

#[test]
fn other_schedulers_are_configured_by_the_time_until_sigkill() {
    let bench = bench();
    bench.configure("[engine]\norder = \"list\"\nkill_wait_s = 2\n");
    let run = bench.start_logged(&["--batch", "-v"]);
    wait_for("two videos are in flight", || bench.is_assigned("A/v_2.mp4"));
    signal_all(&run, "-TERM");
    let ran = bench.finish(run);
    assert_eq!((ran.code, bench.files("failures").len()), (130, 0), "{ran:?}");
    assert!(ran.stderr.contains("stopping now"), "{ran:?}");
}

#[test]
fn workers_that_reach_the_limit_of_cpu_time_charge_no_video() {
    for videos in [20, 1] {
        let names: Vec<String> = (0..videos).map(|i| format!("A/v_{i:02}.mp4")).collect();
        let bench = Bench::new(&names.iter().map(|name| (name.as_str(), "xcpu")).collect::<Vec<_>>());
        let ran = bench.run(&["--batch"]);
        assert!(ran.code == 1 && ran.stderr.contains("signal 24 (SIGXCPU)"), "{ran:?}");
        assert!(ran.stderr.contains("`ulimit -t`") && bench.files("failures").is_empty(), "{ran:?}");
    }
}

#[test]
fn workers_that_are_killed_on_different_videos_stop_the_run_and_charge_none() {
    let names: Vec<String> = (0..20).map(|i| format!("A/v_{i:02}.mp4")).collect();
    let bench = Bench::new(&names.iter().map(|name| (name.as_str(), "kill")).collect::<Vec<_>>());
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = &ran.stderr;
    assert!(said.contains("with signal 9 (SIGKILL)") && said.contains("on different videos; "), "{ran:?}");
    assert!(said.contains("memory runs out: there are") && said.contains("start fewer workers"), "{ran:?}");
    assert!(bench.files("failures").is_empty(), "{ran:?}");
    names.iter().for_each(|name| bench.video(name, "ok"));
    assert_eq!((bench.run(&["--batch"]).code, bench.files("features").len()), (0, 20));
}
