//! `reeldeck status` after a run: what is done, what failed and why, where the results are, and the next step.

use std::fs;

use serde_json::Value;

use crate::support::{Bench, signal, wait_for};

fn last(bench: &Bench) -> Value {
    let ran = bench.run(&["status", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["running"], false);
    report["last_runs"][0].clone()
}

#[test]
fn status_without_a_run_shows_how_the_last_one_ended() {
    let bench = Bench::new(&[
        ("A/v_1.mp4", "ok"),
        ("A/v_2.mp4", "ok"),
        ("B/v_3.mp4", "fail corrupt"),
        ("B/v_4.mp4", "fail corrupt"),
        ("B/v_5.mp4", "fail internal"),
    ]);
    fs::write(bench.path("data/v_stray.mp4"), "ok").unwrap();
    let before = bench.run(&["status"]);
    assert!(before.stdout.starts_with("No run is using") && before.stdout.lines().count() == 1, "{before:?}");
    assert_eq!(bench.run(&["--batch"]).code, 3);
    let text = bench.run(&["status"]).stdout;
    for says in [
        "No run is using",
        "finished in ",
        "2 of 5 videos done, 3 failed; 2 done in this run",
        "1 file refused",
        "failed 2, such as B/v_3.mp4: it failed: as it was told",
        "failed 1: B/v_5.mp4: it failed: as it was told",
        "exported  ",
        "(2 videos, 3 without a feature)",
        "--retry-failed",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    let run = last(&bench);
    assert_eq!((&run["ending"], &run["exit"]), (&"finished".into(), &3.into()));
    assert_eq!((&run["counts"]["done"], &run["failures"][0]["videos"]), (&2.into(), &2.into()));
    assert!(run["clips"].as_u64().unwrap() > 0 && run["exports"][0]["path"].as_str().unwrap().contains("exports"));
    // The next run replaces it, and says what was done before.
    bench.video("B/v_3.mp4", "ok now");
    assert_eq!(bench.run(&["--batch"]).code, 3);
    assert!(bench.run(&["status"]).stdout.contains("3 of 5 videos done, 2 failed; 1 done in this run"));
    let ran = bench.run(&["--batch", "--retry-failed", "--no-export"]);
    assert!(ran.code == 2 || last(&bench)["counts"]["failed"] == 2, "{ran:?}");
}

#[test]
fn a_stopped_run_says_what_is_left() {
    let bench = Bench::new(&[("A/v_1.mp4", "slow 2000"), ("A/v_2.mp4", "slow 2000"), ("A/v_3.mp4", "ok")]);
    let run = bench.start_logged(&["--batch", "-v", "--devices", "cpu"]);
    wait_for("it has begun", || bench.log().contains("A/v_1"));
    signal(&run, "-INT");
    let ran = bench.finish(run);
    assert_eq!(ran.code, 130, "{ran:?}");
    let run = last(&bench);
    assert_eq!(run["ending"], "stopped", "{run}");
    assert!(run["counts"]["queued"].as_u64().unwrap() > 0, "{run}");
    let text = bench.run(&["status"]).stdout;
    assert!(text.contains(" queued") && text.contains("next: start the run again"), "{text}");
}
