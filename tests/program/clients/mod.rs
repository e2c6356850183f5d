//! Clients of an engine in the background: they find it by its lock, query it, control it, and never block it.

mod exporting;
mod silent;
mod starting;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::processes::Process;
use crate::support::{Bench, Ran, wait_for};
use reeldeck::internals::protocol::VERSION;
use reeldeck::internals::protocol::event::{Event, Line};
use reeldeck::internals::protocol::row::{Finding, RowState};
use serde_json::{Value, json};

/// Ten videos of 300 ms, and one that fails.
fn bench() -> Bench {
    let names: Vec<String> = (0..10).map(|i| format!("A/v_{i}.mp4")).collect();
    let mut videos: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "slow 300")).collect();
    videos.push(("B/v_x [y.mp4", "fail corrupt"));
    let bench = Bench::new(&videos);
    linger(&bench, 1);
    bench
}

fn linger(bench: &Bench, seconds: u64) {
    bench.configure(&format!("[engine]\nlinger_s = {seconds}\norder = \"list\"\n"));
}

fn holder(bench: &Bench) -> Value {
    serde_json::from_slice(&fs::read(bench.engine_file()).unwrap()).unwrap()
}

fn status(bench: &Bench) -> Value {
    let ran = bench.run(&["status", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn is_running(bench: &Bench) -> bool {
    status(bench)["running"].as_bool().unwrap()
}

fn snapshot(bench: &Bench) -> Value {
    status(bench)["runs"][0]["snapshot"].clone()
}

fn counts(bench: &Bench) -> Value {
    snapshot(bench)["counts"].clone()
}

/// Starts a run in the background.
fn start(bench: &Bench) {
    let ran = bench.run(&["--batch", "--detach"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("in the background") && ran.stderr.contains("11 queued"), "{ran:?}");
}

/// Stops the run and waits for the engine's exit.
fn end(bench: &Bench) {
    let _ = bench.run(&["stop", "--now"]);
    wait_for("the engine exits", || !is_running(bench));
}

/// A connection that sends arbitrary text.
struct Raw {
    reader: BufReader<UnixStream>,
}

impl Raw {
    fn connect(bench: &Bench) -> Self {
        let stream = UnixStream::connect(holder(bench)["socket"].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    fn greeted(bench: &Bench) -> Self {
        let mut raw = Self::connect(bench);
        assert_eq!(raw.ask(&json!({"type": "hello", "version": VERSION, "tool": "test"}))["type"], "welcome");
        raw
    }

    fn say(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        // A connection that is closed with unread data is reset.
        let read = self.reader.read_line(&mut line).unwrap_or(0);
        (read > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    fn ask(&mut self, question: &Value) -> Value {
        self.say(&format!("{question}\n"));
        self.hear().unwrap()
    }
}

#[test]
fn a_background_run_can_be_followed_and_controlled() {
    let bench = bench();
    start(&bench);
    wait_for("a video is done", || counts(&bench)["done"].as_u64().unwrap() >= 1);
    let paused = bench.run(&["pause"]);
    assert_eq!((paused.code, paused.stdout.trim()), (0, "paused"), "{paused:?}");
    let engine = holder(&bench)["pid"].as_u64().unwrap() as u32;
    wait_for("the worker stands still", || {
        let workers = Process::children(engine);
        !workers.is_empty() && workers.iter().all(Process::is_stopped)
    });
    assert_eq!(status(&bench)["runs"][0]["snapshot"]["phase"], "paused");
    assert!(bench.run(&["status"]).stdout.contains("paused"));
    let resumed = bench.run(&["resume"]);
    assert_eq!((resumed.code, resumed.stdout.trim()), (0, "resumed"));
    let again = bench.run(&["resume"]);
    assert!(again.code == 1 && again.stderr.contains("not paused"), "{again:?}");

    // The engine exits after a second without a follower.
    let mut follower = Raw::greeted(&bench);
    follower.say("{\"type\": \"subscribe\", \"id\": 1}\n");
    let attached = bench.run(&["attach"]);
    assert_eq!(attached.code, 3, "followers end with the run: {attached:?}");
    assert!(attached.stderr.contains("failed B/v_x [y.mp4"), "{attached:?}");
    assert_eq!(bench.files("features").len(), 10);
    assert!(bench.export("result.pkl").exists());

    // The engine still runs after the run: a failed video can be retried.
    bench.video("B/v_x [y.mp4", "ok now");
    let none = bench.run(&["retry", "v_1*"]);
    assert!(none.code == 1 && none.stderr.contains("no matching video has failed"), "{none:?}");
    let unknown = bench.run(&["retry", "nosuch"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("no video matches \"nosuch\""), "{unknown:?}");
    let invalid = bench.run(&["retry", "v_["]);
    assert!(invalid.code == 1 && invalid.stderr.contains("no video has the name \"v_[\", and it is an"), "{invalid:?}");
    let long = vec!["x".repeat(100_000); 3];
    let long = bench.run(&["retry", &long[0], &long[1], &long[2]]);
    assert!(long.code == 2 && long.stderr.contains("give fewer names or patterns at a time"), "{long:?}");
    let retried = bench.run(&["retry", "v_x [y"]);
    assert_eq!((retried.code, retried.stdout.trim()), (0, "1 video queued again"), "{retried:?}");
    wait_for("it is done", || bench.files("features").len() == 11);
    drop(follower);
    let socket = PathBuf::from(holder(&bench)["socket"].as_str().unwrap());
    wait_for("the engine exits", || !is_running(&bench));
    wait_for("it removes its socket", || !socket.exists());
    assert!(bench.run(&["status"]).stdout.contains("No run is using"));
    for command in [&["attach"][..], &["pause"], &["stop"], &["retry", "--failed"]] {
        let ran = bench.run(command);
        assert!(ran.code == 2 && ran.stderr.contains("no run is active in "), "{ran:?}");
    }
}

#[test]
fn stop_finishes_videos_in_flight_and_stop_now_does_not() {
    let bench = bench();
    start(&bench);
    wait_for("a video is done", || counts(&bench)["done"].as_u64().unwrap() >= 1);
    assert_eq!(bench.run(&["stop"]).stdout.trim(), "finishing the videos in progress");
    wait_for("the engine leaves when the run is over", || !is_running(&bench));
    let done = bench.files("features").len();
    assert!((2..10).contains(&done), "{done}");

    bench.video("A/v_9.mp4", "hang");
    start_again(&bench);
    wait_for("it hangs", || {
        status(&bench)["runs"][0]["snapshot"]["devices"][0]["in_flight"][0]["video"] == "A/v_9.mp4"
    });
    assert_eq!(bench.run(&["stop", "--now"]).stdout.trim(), "stopping now");
    end(&bench);
    assert_eq!(bench.files("failures").len(), 0, "an interrupted video has not failed");
}

fn start_again(bench: &Bench) {
    let ran = bench.run(&["--batch", "--detach"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn an_engine_that_cannot_start_reports_to_its_caller() {
    let bench = Bench::new(&[]);
    let ran = bench.run(&["--batch", "--detach"]);
    assert!(ran.code == 4 && ran.stderr.contains("no video found"), "{ran:?}");
}

#[test]
fn a_run_in_the_foreground_has_the_same_socket() {
    let bench = bench();
    let run = bench.start(&["--batch", "-q"]);
    wait_for("it listens", || bench.engine_file().exists() && is_running(&bench));
    wait_for("a video is done", || counts(&bench)["done"].as_u64().unwrap_or(0) >= 1);
    let mut attached = bench.start(&["attach", "--json"]);
    let mut heard = BufReader::new(attached.stdout.take().unwrap()).lines();
    heard.next().expect("it follows").unwrap();
    assert_eq!(bench.run(&["stop"]).code, 0);
    let ran = Ran::of(run.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    let last = heard.last().expect("the last event arrives before the connection ends").unwrap();
    assert_eq!(attached.wait().unwrap().code(), Some(130));
    let last: Line = serde_json::from_str(&last).unwrap();
    assert!(matches!(last.event, Event::RunEnded { exit: 130, .. }), "{last:?}");
}

#[test]
fn a_client_without_a_reader_exits_and_the_run_continues() {
    // Long enough for any machine: only a command ends it.
    let bench = Bench::new(&[("A/v.mp4", "slow 600000")]);
    linger(&bench, 1);
    let ran = bench.run(&["--batch", "--detach"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for arguments in [["attach", "--json"], ["attach", "--plain"]] {
        let mut attached = bench.start(&arguments);
        // As `head` does.
        drop((attached.stdout.take(), attached.stderr.take()));
        wait_for("it leaves", || attached.try_wait().unwrap().is_some());
        assert!(attached.wait().unwrap().success(), "{arguments:?}");
        assert!(is_running(&bench), "{arguments:?}");
    }
    end(&bench);
}

#[test]
fn an_engine_that_hangs_is_reported_at_the_deadline() {
    let bench = Bench::new(&[("A/v.mp4", "slow 600000")]);
    linger(&bench, 1);
    start_again(&bench);
    let pid = holder(&bench)["pid"].to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    signal("-STOP");
    let clients = [&["status"][..], &["stop"], &["attach"]].map(|arguments| bench.start(arguments));
    let [status, stop, attach] = clients.map(|client| Ran::of(client.wait_with_output().unwrap()));
    signal("-CONT");
    let hint = format!("end it with `kill {pid}`");
    assert!(status.stdout.contains("has not answered") && status.stdout.contains(&hint), "{status:?}");
    for ran in [stop, attach] {
        assert!(ran.code == 1 && ran.stderr.contains("has not answered") && ran.stderr.contains(&hint), "{ran:?}");
    }
    end(&bench);
}

#[test]
fn only_the_owner_can_connect_to_an_engine() {
    let bench = bench();
    start(&bench);
    let socket = PathBuf::from(holder(&bench)["socket"].as_str().unwrap());
    assert!(!socket.starts_with(bench.dir.path()), "never on the dataset's file system");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let folder = fs::metadata(socket.parent().unwrap()).unwrap();
    let own = fs::metadata(bench.path("out")).unwrap().uid();
    assert_eq!((folder.permissions().mode() & 0o777, folder.uid()), (0o700, own));

    let refused = Raw::connect(&bench).ask(&json!({"type": "hello", "version": 99, "tool": "later", "more": 1}));
    assert_eq!(refused["type"], "refused");
    assert!(
        refused["reason"].as_str().unwrap().contains(&format!("speaks protocol {VERSION}, the client speaks 99")),
        "{refused}"
    );
    for first in [json!({"type": "snapshot", "id": 1}).to_string(), "GET / HTTP/1.1".into(), "\u{0}\u{1}".into()] {
        let mut raw = Raw::connect(&bench);
        raw.say(&format!("{first}\n"));
        assert_eq!(raw.hear().unwrap()["type"], "refused", "{first}");
        assert!(raw.hear().is_none(), "and nothing else");
    }
    // The length of a line is bounded, and the connection stays.
    let mut endless = Raw::greeted(&bench);
    (0..64).for_each(|_| endless.say(&"x".repeat(1 << 16)));
    let answer = endless.hear().unwrap();
    assert!(answer["message"].as_str().unwrap().contains("a line is longer than 262144 bytes"), "{answer}");
    endless.say("\n");
    assert_eq!(endless.ask(&json!({"type": "snapshot", "id": 5}))["id"], 5);
    let mut long = Raw::connect(&bench);
    long.say(&"x".repeat((1 << 18) + 1));
    assert_eq!(long.hear().unwrap()["type"], "refused");
    let mut raw = Raw::greeted(&bench);
    for (question, says) in [
        (json!({"type": "query", "id": 7}), "missing field `len`"),
        (json!({"type": "command", "id": 7, "command": {"name": "rm"}}), "unknown variant `rm`"),
        (json!({"type": "hello", "version": VERSION, "tool": "x", "id": 7}), "not understood"),
    ] {
        let answer = raw.ask(&question);
        assert_eq!(answer["type"], "error", "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(says), "{answer}");
    }
    end(&bench);
}

#[test]
fn clients_query_windows_of_the_table() {
    let bench = bench();
    start(&bench);
    let mut raw = Raw::greeted(&bench);
    let rows = raw.ask(&json!({"type": "query", "id": 5, "len": 3, "offset": 9}));
    assert_eq!((&rows["id"], &rows["total"]), (&json!(5), &json!(11)));
    let names: Vec<&str> = rows["rows"].as_array().unwrap().iter().map(|r| r["video"].as_str().unwrap()).collect();
    assert_eq!(names, ["A/v_9.mp4", "B/v_x [y.mp4"]);
    wait_for("it has failed", || {
        let failed = raw
            .ask(&json!({"type": "query", "id": 6, "len": 5000, "filter": {"findings": ["corrupt"], "text": "TOLD"}}));
        failed["total"] == 1 && failed["rows"][0]["reason"].as_str().unwrap().contains("as it was told")
    });
    let classes = raw.ask(&json!({"type": "classes", "id": 8}));
    let (mut counts, mut findings) = ([0; RowState::ALL.len()], [0; Finding::ALL.len()]);
    (counts[RowState::Failed as usize], findings[Finding::Corrupt as usize]) = (1, 1);
    let class = json!({"class": "B", "counts": counts, "findings": findings, "problems": 1});
    assert_eq!(classes["classes"][1], class);
    end(&bench);
}

#[test]
fn a_slow_reader_must_resynchronise_and_delays_no_one() {
    let names: Vec<String> = (0..4000).map(|i| format!("A/v_{i:04}.mp4")).collect();
    let videos: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "nowrite")).collect();
    let bench = Bench::new(&videos);
    linger(&bench, 60);
    bench.video("A/v_0000.mp4", "slow 1000 nowrite");
    start_again(&bench);
    let mut sleepy = Raw::greeted(&bench);
    sleepy.say("{\"type\":\"subscribe\",\"id\":1}\n");
    wait_for("the run is over", || counts(&bench)["done"] == 4000);
    // The client reads only now, after thousands of events.
    let mut resync = false;
    let started = Instant::now();
    while let Some(message) = sleepy.hear() {
        resync |= message["type"] == "resync";
        if message["line"]["event"] == "run-ended" || message["snapshot"]["phase"] == "idle" {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(300));
    }
    assert!(resync, "it was told that it missed events");
    // The export misses the features, so that the engine extracts the videos again. A stopped engine stays for its followers.
    drop(sleepy);
    end(&bench);
}

#[test]
fn a_client_that_asks_and_never_reads_is_dropped_and_blocks_no_one() {
    let bench = Bench::new(&[("A/v.mp4", "slow 600000")]);
    linger(&bench, 1);
    start_again(&bench);
    let mut flood = Raw::greeted(&bench).reader.into_inner();
    flood.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    let question = "{\"type\":\"query\",\"id\":1,\"len\":10}\n".repeat(100);
    let error = loop {
        if let Err(error) = flood.write_all(question.as_bytes()) {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    assert!(is_running(&bench), "others are answered");
    let log = || bench.engine_log();
    wait_for("the log says why", || log().contains("a client (test) has not read its answers for 5 s"));
    end(&bench);
}

#[test]
fn leftovers_of_dead_engines_are_ignored() {
    let bench = bench();
    start(&bench);
    let holder = holder(&bench);
    let pid = holder["pid"].to_string();
    // In a copied output folder, the file names the engine of the original.
    fs::create_dir_all(bench.path("copy/.reeldeck/engines")).unwrap();
    let copied = bench.path("copy/.reeldeck/engines/one.json");
    fs::copy(bench.engine_file(), &copied).unwrap();
    let file = fs::File::open(&copied).unwrap();
    file.lock().unwrap();
    let ran = bench.run(&["pause", "--out", "copy"]);
    assert!(ran.code == 1 && ran.stderr.contains("another output folder") && ran.stderr.contains("copied"), "{ran:?}");
    // A run on another machine.
    let elsewhere = fs::read_to_string(&copied).unwrap().replace(holder["host"].as_str().unwrap(), "other");
    fs::write(&copied, elsewhere).unwrap();
    let ran = bench.run(&["status", "--out", "copy"]);
    assert!(ran.code == 0 && ran.stdout.contains("host other\n") && !ran.stdout.contains("problem"), "{ran:?}");
    drop(file);
    // A killed engine leaves its socket and its file. They do not count as a run.
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    wait_for("the lock is free", || !is_running(&bench));
    for (line, next) in [
        ("attach", "--batch --detach` starts one"),
        ("stop", "`reeldeck status` shows how the last one ended"),
        ("pause", "`reeldeck status` shows how the last one ended"),
        ("resume", "`reeldeck --batch` starts one, which continues"),
        ("retry --failed", "--batch --retry-failed"),
    ] {
        let ran = bench.run(&line.split(' ').collect::<Vec<_>>());
        assert!(ran.code == 2 && ran.stderr.contains("no run is active in ") && ran.stderr.contains(next), "{ran:?}");
    }
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(bench.files("features").len(), 10);
    let _ = fs::remove_file(holder["socket"].as_str().unwrap());
}
