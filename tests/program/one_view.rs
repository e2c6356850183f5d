//! One run of engines on several hosts: every machine sees all of them and gives orders to all of them.

use std::fs;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{Bench, Ran, wait_for};

fn start_on(bench: &Bench, host: &str, arguments: &[&str]) -> Child {
    bench.command_on(host, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn status(bench: &Bench) -> Value {
    serde_json::from_str(&bench.run(&["status", "--json"]).stdout).unwrap()
}

/// What the file of the only engine on this host says.
fn report(bench: &Bench, host: &str) -> Value {
    let status = status(bench);
    let runs = status["runs"].as_array().unwrap().iter();
    runs.filter(|run| run["host"] == host).map(|run| run["report"].clone()).next().unwrap_or_default()
}

/// Videos that wait for the file `go`.
fn waiting(videos: usize) -> Bench {
    let names: Vec<String> = (0..videos).map(|i| format!("A/v_{i:03}.mp4")).collect();
    Bench::new(&names.iter().map(|name| (name.as_str(), "until go ok")).collect::<Vec<_>>())
}

#[test]
fn status_shows_the_engines_of_all_hosts() {
    let bench = waiting(30);
    let elsewhere = start_on(&bench, "node7", &["--batch", "--devices", "cpu*2"]);
    wait_for("its heartbeat says what it does", || report(&bench, "node7")["counts"]["running"].as_u64() > Some(0));
    let here = bench.start(&["--batch", "--devices", "cpu"]);
    wait_for("both work", || {
        let status = status(&bench);
        status["sets"][0]["engines"] == 2 && status["sets"][0]["counts"]["running"].as_u64() >= Some(5)
    });
    let found = status(&bench);
    assert_eq!(
        (&found["schema"], &found["sets"][0]["hosts"], &found["sets"][0]["phase"]),
        (&2.into(), &2.into(), &"running".into())
    );
    let [first, second] = found["runs"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!((&first["host"], &first["snapshot"], &first["problem"]), (&"node7".into(), &Value::Null, &Value::Null));
    assert_eq!(first["report"]["devices"].as_array().unwrap().len(), 2);
    assert_eq!(second["snapshot"]["devices"].as_array().unwrap().len(), 1);
    let text = bench.run(&["status"]).stdout;
    let mut lines = text.lines();
    assert!(lines.next().unwrap().contains("(2 engines on 2 hosts)"), "{text}");
    assert_eq!(lines.next(), Some("host node7"));
    assert!(text.contains(&format!("  process {}, since", second["pid"])) && text.contains("v_0"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("    cpu      ready    A/v_")).count(), 3, "{text}");
    // Followers of one engine see the run as a whole.
    let attached = bench.start(&["attach"]);
    fs::write(bench.path("go"), "").unwrap();
    for engine in [elsewhere, here] {
        let ran = Ran::of(engine.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(Ran::of(attached.wait_with_output().unwrap()).code, 0);
    assert_eq!(bench.files("features").len(), 30);
    // The last run is that of both engines, whichever has written its summary last.
    let last = status(&bench)["last_runs"][0].clone();
    let parts: Vec<u64> =
        last["engines"].as_array().unwrap().iter().map(|engine| engine["clips"].as_u64().unwrap()).collect();
    assert!(parts.len() == 2 && parts.iter().all(|clips| *clips > 0), "{last}");
    assert_eq!((&last["clips"], &last["counts"]["done"]), (&parts.iter().sum::<u64>().into(), &30.into()), "{last}");
    assert_eq!((&last["exports"][0]["videos"], &last["counts"]["resumed"]), (&30.into(), &0.into()), "{last}");
    assert!(bench.run(&["status"]).stdout.contains("Last run of 2 engines: "));
}

#[test]
fn a_run_elsewhere_is_followed_and_retried() {
    let bench = waiting(4);
    bench.video("B/v_x [y.mp4", "fail corrupt");
    let elsewhere = start_on(&bench, "node7", &["--batch", "--devices", "cpu*2"]);
    wait_for("a video has failed", || report(&bench, "node7")["counts"]["failed"] == 1);
    let attached = bench.start(&["attach", "--json"]);
    bench.video("B/v_x [y.mp4", "ok now");
    let invalid = bench.run(&["retry", "[x"]);
    assert!(invalid.code == 2 && invalid.stderr.contains("invalid pattern"), "{invalid:?}");
    let retried = bench.run(&["retry", "v_x [y.mp4"]);
    assert!(retried.code == 0 && retried.stdout.contains("engines on other hosts"), "{retried:?}");
    // Its workers are busy until `go`.
    wait_for("it waits for a worker", || report(&bench, "node7")["counts"]["failed"] == 0);
    fs::write(bench.path("go"), "").unwrap();
    let ran = Ran::of(elsewhere.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let attached = Ran::of(attached.wait_with_output().unwrap());
    assert!(attached.code == 0 && attached.stderr.contains("following 1 engine"), "{attached:?}");
    let events: Vec<Value> = attached.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["event"], "progress", "{attached:?}");
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["exit"], &last["counts"]["done"]), (&"run-ended".into(), &0.into(), &5.into()));
}

/// The numbers of the engine with this process id.
fn run_of(bench: &Bench, pid: u32) -> Value {
    let found = status(bench);
    let run = found["runs"].as_array().unwrap().iter().find(|run| run["pid"] == pid);
    run.map_or(Value::Null, |run| run["snapshot"].clone())
}

/// The number of features. A worker that was killed may have left a temporary file.
fn features(bench: &Bench) -> u64 {
    bench.files("features").iter().filter(|name| name.ends_with(".safetensors")).count() as u64
}

#[test]
fn an_engine_that_waits_learns_what_a_killed_engine_has_done() {
    let bench = Bench::new(&[]);
    for i in 0..300 {
        bench.video(&format!("A/v_{i:03}.mp4"), "slow 100");
    }
    bench.configure("[engine]\nlinger_s = 600\n");
    let mut waits = bench.start(&["engine", "--wait", "--devices", "cpu"]);
    let counts = || run_of(&bench, waits.id())["counts"].clone();
    wait_for("it is ready", || counts()["queued"] == 300);
    let mut killed = bench.start(&["--batch", "--devices", "cpu"]);
    wait_for("it sees some results", || counts()["done"].as_u64() >= Some(5));
    crate::support::signal(&killed, "-KILL");
    killed.wait().unwrap();
    wait_for("it knows all results", || counts()["done"].as_u64() == Some(features(&bench)));
    crate::support::signal(&waits, "-TERM");
    waits.wait().unwrap();
}

#[test]
fn an_engine_that_waits_follows_the_others_and_passes_orders_on() {
    let bench = Bench::new(&[]);
    for i in 0..300 {
        bench.video(&format!("A/v_{i:03}.mp4"), "slow 100");
    }
    bench.video("B/v_x [y.mp4", "fail corrupt");
    bench.configure("[engine]\nlinger_s = 600\n");
    let mut looks = bench.start(&["engine", "--wait", "--devices", "cpu"]);
    let pid = looks.id();
    let snapshot = || run_of(&bench, pid);
    wait_for("it is ready", || snapshot()["phase"] == "waiting" && snapshot()["counts"]["queued"] == 301);
    let elsewhere = start_on(&bench, "node7", &["--batch", "--devices", "cpu"]);
    wait_for("it sees what the other one has done", || {
        let counts = snapshot()["counts"].clone();
        counts["done"].as_u64() >= Some(10) && counts["failed"] == 1
    });
    assert_eq!(snapshot()["phase"], "waiting");
    let marks: Vec<_> = fs::read_dir(bench.path("out/.reeldeck/claims"))
        .unwrap()
        .flat_map(|set| {
            fs::read_dir(set.unwrap().path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    let part = |name: &&String| name.starts_with("run.") || name.starts_with("idle.");
    assert_eq!(marks.iter().filter(part).count(), 1, "an engine that only looks takes no part: {marks:?}");
    let stopped = bench.run(&["stop", "--now"]);
    assert!(stopped.code == 0 && stopped.stdout.contains("passed on to 1 engine"), "{stopped:?}");
    let ran = Ran::of(elsewhere.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    assert_eq!(snapshot()["phase"], "waiting");
    wait_for("it knows all results", || snapshot()["counts"]["done"].as_u64() == Some(features(&bench)));
    crate::support::signal(&looks, "-TERM");
    looks.wait().unwrap();
}
