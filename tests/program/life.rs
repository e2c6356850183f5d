//! Lifetime of an engine and its children: signals, terminals that close, kills, and the privileges that they drop.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::processes::Process;
use crate::support::{Bench, Ran, signal, wait_for};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::Value;

fn bench(videos: usize, script: &str) -> Bench {
    let names: Vec<String> = (0..videos).map(|i| format!("A/v_{i:02}.mp4")).collect();
    let bench = Bench::new(&names.iter().map(|name| (name.as_str(), script)).collect::<Vec<_>>());
    bench.configure("[engine]\norder = \"list\"\nlinger_s = 1\n");
    bench
}

fn status(bench: &Bench) -> Value {
    serde_json::from_str(&bench.run(&["status", "--json"]).stdout).unwrap()
}

fn done(bench: &Bench) -> u64 {
    status(bench)["runs"][0]["snapshot"]["counts"]["done"].as_u64().unwrap_or(0)
}

fn kill(how: &str, pid: u32) {
    assert!(Command::new("kill").args([how, &pid.to_string()]).status().unwrap().success());
}

/// A reeldeck command in a pseudo-terminal, as over SSH.
struct Terminal {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    fn open(bench: &Bench, arguments: &[&str]) -> Self {
        let like = bench.command(arguments);
        let mut command = CommandBuilder::new(like.get_program());
        command.args(like.get_args());
        command.cwd(bench.dir.path());
        // On a dumb terminal, reeldeck shows no progress.
        command.env("TERM", "xterm-256color");
        for (key, value) in like.get_envs() {
            command.env(key, value.unwrap());
        }
        let pair = native_pty_system().openpty(PtySize { rows: 24, cols: 80, ..PtySize::default() }).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        Self { child, master: pair.master }
    }

    /// Reads until a text appears.
    fn wait_for(&mut self, text: &str) {
        let mut reader = self.master.try_clone_reader().unwrap();
        let mut seen = vec![];
        let mut block = [0; 4096];
        while !String::from_utf8_lossy(&seen).contains(text) {
            let read = reader.read(&mut block).unwrap_or(0);
            assert!(read > 0, "{text:?} never came: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&block[..read]);
        }
    }
}

#[test]
fn a_closed_window_ends_its_client_and_not_the_run() {
    let bench = bench(30, "slow 150");
    assert_eq!(bench.run(&["--batch", "--detach"]).code, 0);
    let mut window = Terminal::open(&bench, &["attach", "--plain"]);
    window.wait_for("of 30 videos");
    let before = done(&bench);
    drop(window.master);
    let started = Instant::now();
    while window.child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(300), "the client ends with its terminal");
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_for("the run continues", || done(&bench) > before + 1);
    // A second window shows the current state.
    let mut again = Terminal::open(&bench, &["attach", "--plain"]);
    again.wait_for("of 30 videos");
    again.wait_for("30 of 30 videos");
    assert_eq!(again.child.wait().unwrap().exit_code(), 0);
    assert_eq!(bench.files("features").len(), 30);
}

#[test]
fn a_client_that_is_stopped_stops_nothing() {
    let bench = bench(12, "slow 100");
    assert_eq!(bench.run(&["--batch", "--detach"]).code, 0);
    let client = bench.start(&["attach"]);
    signal(&client, "-TSTP");
    signal(&client, "-STOP");
    wait_for("the run continues to its end", || bench.files("features").len() == 12);
    signal(&client, "-CONT");
    let ran = Ran::of(client.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "it receives the end when it is resumed: {ran:?}");
}

#[test]
fn a_run_survives_its_window() {
    let bench = bench(12, "slow 100");
    let mut window = Terminal::open(&bench, &["--batch"]);
    window.wait_for("of 12 videos");
    wait_for("it has begun", || done(&bench) >= 1);
    drop(window.master);
    let started = Instant::now();
    let code = loop {
        if let Some(status) = window.child.try_wait().unwrap() {
            break status.exit_code();
        }
        assert!(started.elapsed() < Duration::from_secs(300));
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((code, bench.files("features").len()), (0, 12), "as under nohup");
    assert!(bench.export("result.pkl").exists());
}

#[test]
fn workers_end_with_a_killed_engine() {
    let bench = bench(4, "hang");
    for paused in [false, true] {
        assert_eq!(bench.run(&["--batch", "--detach", "--devices", "cpu*2"]).code, 0);
        wait_for("all hang", || status(&bench)["runs"][0]["snapshot"]["counts"]["running"].as_u64() >= Some(2));
        if paused {
            assert_eq!(bench.run(&["pause"]).code, 0);
        }
        let engine = status(&bench)["runs"][0]["pid"].as_u64().unwrap() as u32;
        let workers = Process::children(engine);
        assert_eq!(workers.len(), 2);
        kill("-9", engine);
        wait_for("all workers have ended", || !workers.iter().any(Process::lives));
        wait_for("the lock is free", || !status(&bench)["running"].as_bool().unwrap());
    }
    let ran = bench.run(&["status"]);
    assert!(ran.stdout.contains("No run is using"), "{ran:?}");
}

#[test]
fn videos_in_progress_when_an_engine_was_killed_are_retried_alone() {
    let bench = bench(6, "ok");
    bench.video("A/v_02.mp4", "hang");
    let started = |n: usize| {
        let mut runs: Vec<_> =
            fs::read_dir(bench.path("out/.reeldeck/runs")).unwrap().map(|e| e.unwrap().path()).collect();
        runs.sort();
        let text = fs::read_to_string(&runs[n]).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let started = lines.filter(|line| line["event"] == "video-assigned");
        started.map(|l| (l["video"].as_str().unwrap().to_owned(), l["alone"].as_bool().unwrap())).collect::<Vec<_>>()
    };
    let hang_and_kill = |done: u64| {
        assert_eq!(bench.run(&["--batch", "--detach"]).code, 0);
        wait_for("it hangs", || {
            let snapshot = &status(&bench)["runs"][0]["snapshot"];
            snapshot["counts"]["done"] == done && snapshot["devices"][0]["in_flight"][0]["video"] == "A/v_02.mp4"
        });
        kill("-9", status(&bench)["runs"][0]["pid"].as_u64().unwrap() as u32);
        wait_for("the lock is free", || !status(&bench)["running"].as_bool().unwrap());
    };
    hang_and_kill(2);
    let name = |i: usize| format!("A/v_0{i}.mp4");
    assert_eq!(started(0), [(name(0), false), (name(1), false), (name(2), false), (name(3), false)]);
    // Two were in progress: each is tried alone, the innocent too, and after all others.
    hang_and_kill(4);
    assert_eq!(started(1), [(name(4), false), (name(5), false), (name(2), true)]);
    bench.video("A/v_02.mp4", "ok");
    assert_eq!(bench.run(&["--batch"]).code, 0);
    assert_eq!(started(2), [(name(2), true), (name(3), true)], "the suspect that was not reached stays a suspect");
    assert_eq!(bench.files("features").len(), 6, "and no video has failed because of it");
}

#[test]
fn engine_and_workers_have_no_new_privileges_and_leave_no_core_dumps() {
    let bench = bench(1, "hang");
    assert_eq!(bench.run(&["--batch", "--detach"]).code, 0);
    wait_for("it hangs", || status(&bench)["runs"][0]["snapshot"]["counts"]["running"] == 1);
    let engine = status(&bench)["runs"][0]["pid"].as_u64().unwrap() as u32;
    let workers = Process::children(engine);
    assert_eq!(workers.len(), 1);
    for pid in workers.iter().map(|worker| worker.pid).chain([engine]) {
        let read = |file: &str| fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file)).unwrap();
        assert!(read("status").contains("NoNewPrivs:\t1"));
        let limits = read("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    }
    assert_eq!(bench.run(&["stop", "--now"]).code, 0);
    wait_for("it leaves", || !status(&bench)["running"].as_bool().unwrap());
}

#[test]
fn a_second_start_leaves_the_log_of_the_first_alone() {
    let bench = bench(1, "hang");
    assert_eq!(bench.run(&["--batch", "--detach"]).code, 0);
    let logs = || {
        let names = fs::read_dir(bench.path("out/.reeldeck/log")).unwrap().map(|file| file.unwrap().path());
        names.filter(|path| path.to_string_lossy().contains("/start-")).collect::<Vec<_>>()
    };
    let before = logs();
    let first = fs::read_to_string(&before[0]).unwrap();
    assert!(before.len() == 1 && first.contains("1 queued"), "{first}");
    let ran = bench.run(&["--batch", "--detach"]);
    assert_eq!(ran.code, 0, "it joins: {ran:?}");
    assert!(logs().len() == 2 && fs::read_to_string(&before[0]).unwrap().starts_with(&first));
    let hidden = fs::read_dir(bench.path("out/.reeldeck/log")).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(hidden.filter(|name| name.to_string_lossy().starts_with('.')).count(), 0, "no file is left");
    wait_for("both leave", || {
        bench.run(&["stop", "--now"]);
        !status(&bench)["running"].as_bool().unwrap()
    });
}
