//! Several engines on one output folder: they share the videos, take over those of a killed one, and export once.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;

use serde_json::{Value, json};

use crate::support::{Bench, Ran, remove_in_use, wait_for};

fn bench(videos: usize, script: &str) -> Bench {
    let names: Vec<String> = (0..videos).map(|i| format!("A/v_{i:03}.mp4")).collect();
    Bench::new(&names.iter().map(|name| (name.as_str(), script)).collect::<Vec<_>>())
}

fn engine(bench: &Bench) -> Child {
    bench.start(&["--batch", "--devices", "cpu"])
}

/// How often each video was begun, by all engines together.
fn begun(bench: &Bench) -> BTreeMap<String, usize> {
    let mut begun = BTreeMap::new();
    for entry in fs::read_dir(bench.path("out/.reeldeck/runs")).unwrap() {
        // A starting engine removes the oldest ones.
        let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        for line in text.lines().filter(|line| line.contains("video-started")) {
            let video = line.split("\"video\":\"").nth(1).unwrap().split('"').next().unwrap();
            *begun.entry(video.to_owned()).or_default() += 1;
        }
    }
    begun
}

fn engines(bench: &Bench) -> usize {
    let folder = fs::read_dir(bench.path("out/.reeldeck/runs"));
    folder.map_or(0, Iterator::count)
}

fn assert_nothing_is_left(bench: &Bench) {
    assert!(!bench.path("out/.reeldeck/claims").exists(), "claims are left");
    assert_eq!(fs::read_dir(bench.path("out/.reeldeck/engines")).map_or(0, Iterator::count), 0);
    let features = bench.files("features");
    assert!(features.iter().all(|name| !name.contains("reeldeck-tmp")), "{features:?}");
}

/// Two engines that share the videos.
fn two_engines(bench: &Bench) -> [Child; 2] {
    let first = engine(bench);
    wait_for("the first has begun", || bench.path("out/.reeldeck/runs").exists());
    let second = engine(bench);
    wait_for("both have begun", || engines(bench) == 2);
    [first, second]
}

#[test]
fn engines_share_the_videos_and_export_once() {
    let bench = bench(60, "slow 100");
    bench.video("B/v_x.mp4", "fail corrupt");
    let first = engine(&bench);
    wait_for("the first has begun", || bench.path("out/.reeldeck/runs").exists());
    let more = [engine(&bench), engine(&bench)];
    wait_for("all have begun", || engines(&bench) == 3);
    let ran: Vec<Ran> = [first].into_iter().chain(more).map(|run| Ran::of(run.wait_with_output().unwrap())).collect();
    assert!(ran.iter().all(|ran| ran.code == 3), "{ran:?}");
    assert!(ran.iter().all(|ran| ran.stdout.contains("60 done (60 now, 0 before), 1 failed")), "{ran:?}");
    assert_eq!((bench.files("features").len(), bench.files("failures").len()), (60, 1));
    let begun = begun(&bench);
    assert_eq!((begun.len(), begun.values().sum::<usize>()), (61, 61), "once each: {begun:?}");
    let exported = ran.iter().filter(|ran| !ran.stderr.contains("another engine has exported")).count();
    assert_eq!(exported, 1, "{ran:?}");
    assert!(bench.export("result.pkl").exists());
    assert_nothing_is_left(&bench);
    let again = bench.run(&["--batch"]);
    assert!(again.stdout.contains("60 done (0 now, 60 before), 1 failed"), "{again:?}");
}

#[test]
fn an_engine_with_more_videos_exports_them_again() {
    let bench = bench(2, "until go ok");
    bench.configure("[export]\nlive = [\"csv\"]\n");
    let first = engine(&bench);
    wait_for("the first has begun", || bench.path("out/.reeldeck/runs").exists());
    bench.video("B/v_new.mp4", "until later ok");
    let second = engine(&bench);
    wait_for("the second works", || begun(&bench).contains_key("B/v_new.mp4"));
    fs::write(bench.path("go"), "").unwrap();
    let ran = Ran::of(first.wait_with_output().unwrap());
    assert!(ran.code == 0 && ran.stdout.contains("2 done"), "{ran:?}");
    let list = || fs::read_to_string(bench.export("hacs_data.txt")).unwrap();
    assert_eq!(list().lines().count(), 2);
    fs::write(bench.path("later"), "").unwrap();
    let ran = Ran::of(second.wait_with_output().unwrap());
    assert!(ran.code == 0 && ran.stdout.contains("3 done") && ran.stderr.contains("has exported fewer"), "{ran:?}");
    assert!(list().contains("B/v_new.mp4"), "{}", list());
    // Each engine writes its own videos during the run, and the end completes the export.
    let entries = fs::read_dir(bench.export("csv")).unwrap().map(|entry| entry.unwrap().file_name());
    let csv: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    assert_eq!(csv.iter().filter(|name| name.ends_with(".csv")).count(), 3, "{csv:?}");
    assert!(csv.iter().any(|name| name == "dataset.json"), "{csv:?}");
    assert_nothing_is_left(&bench);
}

#[test]
fn the_videos_of_a_killed_engine_are_taken_over() {
    let bench = bench(24, "slow 150");
    let mut first = engine(&bench);
    wait_for("the first has begun", || bench.path("out/.reeldeck/runs").exists());
    let second = engine(&bench);
    wait_for("both have begun", || engines(&bench) == 2);
    first.kill().unwrap();
    first.wait().unwrap();
    let ran = Ran::of(second.wait_with_output().unwrap());
    assert!(ran.code == 0 && ran.stdout.contains("24 done"), "{ran:?}");
    assert_eq!(bench.files("features").len(), 24);
    assert!(bench.export("result.pkl").exists());
    assert_nothing_is_left(&bench);
}

#[test]
fn a_stopped_engine_leaves_its_videos_to_the_others() {
    let bench = bench(24, "slow 150");
    let [first, second] = two_engines(&bench);
    crate::support::signal(&first, "-INT");
    let stopped = Ran::of(first.wait_with_output().unwrap());
    assert_eq!(stopped.code, 130, "{stopped:?}");
    let ran = Ran::of(second.wait_with_output().unwrap());
    assert!(ran.code == 0 && ran.stdout.contains("24 done"), "{ran:?}");
    let begun = begun(&bench);
    assert_eq!((begun.len(), begun.values().sum::<usize>()), (24, 24), "once each: {begun:?}");
    assert_nothing_is_left(&bench);
}

#[test]
fn a_command_right_after_a_kill_reaches_the_engine_that_is_left() {
    let bench = bench(4, "until go");
    let [mut first, mut second] = two_engines(&bench);
    wait_for("both answer", || bench.run(&["status"]).stdout.matches("process ").count() == 2);
    first.kill().unwrap();
    let paused = bench.run(&["pause"]);
    assert!(paused.code == 0 && paused.stdout.contains("paused"), "{paused:?}");
    first.wait().unwrap();
    assert_eq!(bench.run(&["resume"]).code, 0);
    fs::write(bench.path("go"), "").unwrap();
    assert!(second.wait().unwrap().success());
    assert_nothing_is_left(&bench);
}

/// Kills engines and workers at random while three engines share a folder, and compares what comes of it with a run in peace.
fn kills(kills: usize) {
    let videos = 60 + 3 * kills;
    let (bench, peace) = (bench(videos, "slow 30"), bench(videos, "slow 1"));
    assert_eq!(peace.run(&["--batch"]).code, 0);
    let quiet = || {
        let mut command = bench.command(&["--batch", "-q", "--devices", "cpu"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut engines: Vec<Child> = (0..3).map(|_| quiet()).collect();
    let mut seed = 1_u64;
    for _ in 0..kills {
        let before = started(&bench);
        wait_for("a video begins", || started(&bench) != before || bench.files("features").len() == videos);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let engine = &mut engines[(seed >> 33) as usize % 3];
        if (seed >> 40).is_multiple_of(4) {
            let _ = std::process::Command::new("pkill").args(["-9", "-P", &engine.id().to_string()]).status();
        } else {
            engine.kill().unwrap();
            engine.wait().unwrap();
            *engine = quiet();
        }
    }
    for engine in &mut engines {
        engine.wait().unwrap();
    }
    // A video whose worker was killed twice has failed.
    let last = bench.run(&["--batch", "--retry-failed"]);
    assert!(last.code == 0 && last.stdout.contains(&format!("{videos} done")), "{last:?}");
    assert_eq!(bench.files("features"), peace.files("features"));
    let result = |bench: &Bench| fs::read(bench.export("result.pkl")).unwrap();
    assert!(result(&bench) == result(&peace), "the exports differ");
    assert_nothing_is_left(&bench);
}

/// The number of videos that were begun.
fn started(bench: &Bench) -> usize {
    if bench.path("out/.reeldeck/runs").exists() { begun(bench).values().sum() } else { 0 }
}

#[test]
fn killed_engines_and_workers_lose_nothing() {
    kills(8);
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_kills_lose_nothing() {
    kills(100);
}

#[test]
fn runs_whose_private_folders_are_removed_end_with_each_result_once() {
    std::thread::scope(|scope| {
        for engines in [1, 2] {
            for removed in ["", "claims", "engines", "runs"] {
                scope.spawn(move || remove_while_engines_run(removed, engines));
            }
        }
    });
}

/// Removes a folder below the private folder while engines hold some of the videos.
fn remove_while_engines_run(removed: &str, engines: usize) {
    let bench = bench(200, "until go");
    let mut first = engine(&bench);
    wait_for("the first has claimed videos", || claims(&bench) > 0);
    let mut all = vec![];
    if engines == 2 {
        all.push(engine(&bench));
        wait_for("both have begun", || self::engines(&bench) == 2);
    }
    remove_in_use(&bench.path("out/.reeldeck").join(removed));
    fs::write(bench.path("go"), "").unwrap();
    let case = format!("{engines} engines, .reeldeck/{removed}");
    let mut codes = vec![];
    wait_for(&case, || {
        codes = [&mut first].into_iter().chain(&mut all).map(|run| run.try_wait().unwrap()).collect();
        codes.iter().all(Option::is_some)
    });
    let ran: Vec<Ran> = [first].into_iter().chain(all).map(|run| Ran::of(run.wait_with_output().unwrap())).collect();
    assert!(ran.iter().all(|ran| ran.code == 0 && ran.stdout.contains("200 done")), "{case}: {ran:?}");
    assert_eq!((bench.files("features").len(), bench.files("failures").len()), (200, 0), "{case}");
    let begun = begun(&bench);
    assert!(begun.values().all(|times| *times == 1), "{case}: {begun:?}");
    let exported = ran.iter().filter(|ran| !ran.stderr.contains("another engine has exported")).count();
    assert_eq!(exported, 1, "{case}: {ran:?}");
    assert!(bench.export("result.pkl").exists(), "{case}");
    assert_nothing_is_left(&bench);
}

/// The number of buckets that are claimed.
fn claims(bench: &Bench) -> usize {
    let sets = fs::read_dir(bench.path("out/.reeldeck/claims")).into_iter().flatten().flatten();
    let names = sets.flat_map(|set| fs::read_dir(set.path()).into_iter().flatten().flatten());
    names.filter(|entry| entry.file_name().len() == 3).count()
}

#[test]
fn an_order_reaches_all_engines() {
    let bench = bench(400, "slow 200");
    let [first, second] = two_engines(&bench);
    // The engine that gets the order may not have seen the other one yet.
    assert_eq!(bench.run(&["stop"]).code, 0);
    for engine in [first, second] {
        let ran = Ran::of(engine.wait_with_output().unwrap());
        assert_eq!(ran.code, 130, "{ran:?}");
    }
    assert!(bench.files("features").len() < 400);
    assert_nothing_is_left(&bench);
    assert!(!bench.path("out/.reeldeck/orders").exists(), "orders are left");
}

#[test]
fn an_engine_joins_a_paused_run_paused_and_passes_orders_on_when_it_is_not() {
    let bench = bench(40, "until go");
    let first = engine(&bench);
    wait_for("the first has begun", || bench.path("out/.reeldeck/runs").exists());
    assert_eq!(bench.run(&["pause"]).code, 0);
    let second = engine(&bench);
    let mut socket = None;
    wait_for("the second has begun", || {
        let files = fs::read_dir(bench.path("out/.reeldeck/engines")).unwrap().flatten();
        let engines = files.filter_map(|file| serde_json::from_slice(&fs::read(file.path()).ok()?).ok());
        let second = engines.filter(|engine: &Value| engine["pid"] == second.id()).last();
        socket = second.and_then(|engine| Some(engine["socket"].as_str()?.to_owned()));
        socket.is_some() && self::engines(&bench) == 2
    });
    let mut stream = BufReader::new(UnixStream::connect(socket.unwrap()).unwrap());
    let mut ask = |question: Value| {
        stream.get_mut().write_all(format!("{question}\n").as_bytes()).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line
    };
    ask(json!({"type": "hello", "version": reeldeck::internals::protocol::VERSION, "tool": "test"}));
    wait_for("both are paused", || {
        let status: Value = serde_json::from_str(&bench.run(&["status", "--json"]).stdout).unwrap();
        let runs = status["runs"].as_array().unwrap();
        runs.iter().filter(|run| run["snapshot"]["phase"] == "paused").count() == 2
    });
    let answer = ask(json!({"type": "command", "id": 1, "command": {"name": "resume"}}));
    assert!(answer.contains("resumed"), "{answer}");
    let answer = ask(json!({"type": "command", "id": 2, "command": {"name": "resume"}}));
    assert!(answer.contains("this engine is not paused; passed on to 1 engine"), "{answer}");
    fs::write(bench.path("go"), "").unwrap();
    for engine in [first, second] {
        let ran = Ran::of(engine.wait_with_output().unwrap());
        assert!(ran.code == 0 && ran.stdout.contains("40 done"), "{ran:?}");
    }
    assert_nothing_is_left(&bench);
}

#[test]
fn pipes_in_place_of_claims_are_named_and_the_run_continues_without_them() {
    let bench = bench(120, "slow 20");
    let run = bench.start_logged(&["--batch", "--devices", "cpu"]);
    let sets = || fs::read_dir(bench.path("out/.reeldeck/claims")).into_iter().flatten().flatten();
    wait_for("it claims videos", || sets().any(|set| fs::read_dir(set.path()).unwrap().count() > 2));
    let set = sets().next().unwrap().path();
    let names: Vec<_> = (0..4096).map(|bucket| set.join(format!("{bucket:03x}"))).collect();
    let made = std::process::Command::new("mkfifo").args(&names).stderr(std::process::Stdio::null()).status();
    // Those of claimed buckets exist.
    assert!(made.is_ok());
    wait_for("it warns", || bench.log().contains("no more videos can be claimed"));
    assert!(bench.log().contains(&set.display().to_string()), "{}", bench.log());
    for name in names.iter().filter(|name| fs::metadata(name).is_ok_and(|metadata| !metadata.is_file())) {
        fs::remove_file(name).unwrap();
    }
    let ran = bench.finish(run);
    assert_eq!((ran.code, bench.files("features").len()), (0, 120), "{ran:?}");
    assert_nothing_is_left(&bench);
}

#[test]
fn an_engine_with_other_copies_of_the_videos_ends_and_loses_nothing() {
    let bench = bench(40, "slow 100");
    let first = engine(&bench);
    wait_for("the first has begun", || bench.path("out/.reeldeck/runs").exists());
    // Copies without the times of the originals.
    let data = bench.path("data");
    let copied = std::process::Command::new("cp").arg("-r").args([&data, &bench.path("copies")]).status().unwrap();
    assert!(copied.success());
    for redo in [None, Some("--redo-stale")] {
        let copies = bench.path("copies").display().to_string();
        let arguments: Vec<&str> = ["--batch", "--devices", "cpu", "--root", &copies].into_iter().chain(redo).collect();
        let second = bench.run(&arguments);
        assert!(second.code == 1 && second.stderr.contains("use the same dataset folder, or copies"), "{second:?}");
    }
    let ran = Ran::of(first.wait_with_output().unwrap());
    assert!(ran.code == 0 && ran.stdout.contains("40 done"), "{ran:?}");
    assert_eq!((bench.files("features").len(), bench.files("failures").len()), (40, 0));
    assert_nothing_is_left(&bench);
}
