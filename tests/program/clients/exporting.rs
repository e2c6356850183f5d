//! An engine answers its clients while an export is blocked.

use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;

use super::{counts, is_running, linger, snapshot};
use crate::support::hold::Hold;
use crate::support::{Bench, Ran, signal, wait_for};

/// The feature that an export cannot open until it is released.
const HELD: &str = "v_0.mp4.safetensors";

/// A run in the background whose export is blocked. One video was done before, one is done now, one has failed.
fn exporting(bench: &Bench) -> Hold {
    // Later readers find it, too.
    linger(bench, 600);
    assert_eq!(bench.run(&["extract"]).code, 0);
    bench.video("A/v_1.mp4", "until go");
    bench.video("B/v_x [y.mp4", "once fail corrupt");
    let hold = Hold::new(bench);
    assert_eq!(Ran::to_the_end(hold.prepare(&mut bench.command(&["--batch", "--detach"]))).code, 0);
    wait_for("a worker is at it", || counts(bench)["running"].as_u64() > Some(0));
    hold.hold(HELD);
    fs::write(bench.path("go"), "").unwrap();
    wait_for("it exports", || snapshot(bench)["exporting"] == true);
    hold
}

#[test]
fn clients_are_answered_during_an_export() {
    let bench = Bench::new(&[("A/v_0.mp4", "ok")]);
    let held = exporting(&bench);
    let now = snapshot(&bench);
    assert_eq!((&now["phase"], &now["ended"], &now["counts"]["done"]), (&json!("idle"), &Value::Null, &json!(2)));
    assert!(bench.run(&["status"]).stdout.contains(", exporting"));
    let pause = bench.run(&["pause"]);
    assert!(pause.code == 1 && pause.stderr.contains("nothing to pause"), "{pause:?}");
    let attached = bench.start(&["attach"]);
    // The failed video is retried at once, and the next export contains it.
    let retry = bench.run(&["retry", "B/*"]);
    assert!(retry.code == 0 && retry.stdout.contains("1 video queued again"), "{retry:?}");
    wait_for("it is done", || counts(&bench)["done"] == 3);
    assert_eq!((&snapshot(&bench)["exporting"], &snapshot(&bench)["ended"]), (&json!(true), &Value::Null));
    assert!(fs::read_dir(bench.path("out/exports")).into_iter().flatten().next().is_none(), "nothing is exported yet");
    held.release();
    let attached = Ran::of(attached.wait_with_output().unwrap());
    assert_eq!(attached.code, 0, "{attached:?}");
    assert_eq!(bench.run(&["stop"]).code, 0);
    wait_for("the engine exits", || !is_running(&bench));
    assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap().lines().count(), 3);
    assert_eq!(fs::read_to_string(bench.export("missing.txt")).unwrap(), "");
}

#[test]
fn stop_waits_for_an_export_and_stop_now_cancels_it() {
    let bench = Bench::new(&[("A/v_0.mp4", "ok")]);
    let held = exporting(&bench);
    let stop = bench.run(&["stop"]);
    assert_eq!((stop.code, stop.stdout.trim()), (0, "finishing the videos in progress"), "{stop:?}");
    assert_eq!(snapshot(&bench)["exporting"], true, "it is still exporting");
    held.release();
    wait_for("the engine exits", || !is_running(&bench));
    assert!(bench.export("result.pkl").exists());

    fs::remove_dir_all(bench.path("out")).unwrap();
    fs::remove_file(bench.path("go")).unwrap();
    for video in ["A/v_1.mp4", "B/v_x [y.mp4"] {
        fs::remove_file(bench.path("data").join(video)).unwrap();
    }
    let held = exporting(&bench);
    let stop = bench.run(&["stop", "--now"]);
    assert_eq!((stop.code, stop.stdout.trim()), (0, "stopping now"), "{stop:?}");
    wait_for("the engine leaves, whatever holds the export up", || !is_running(&bench));
    assert!(!bench.path("out/exports").join("result.pkl").exists());
    held.release();
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 3, "failed videos are not retried without a request: {ran:?}");
    assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap().lines().count(), 2);
}

#[test]
fn one_signal_lets_an_export_finish_and_a_second_cancels_it() {
    let bench = Bench::new(&[("A/v_0.mp4", "ok")]);
    assert_eq!(bench.run(&["extract"]).code, 0);
    bench.video("A/v_1.mp4", "until go");
    let held = Hold::new(&bench);
    let run = held.prepare(&mut bench.command(&["--batch"])).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let run = run.unwrap();
    wait_for("a worker is at it", || is_running(&bench) && counts(&bench)["running"] == 1);
    held.hold(HELD);
    fs::write(bench.path("go"), "").unwrap();
    wait_for("it exports", || snapshot(&bench)["exporting"] == true);
    signal(&run, "-INT");
    let log = || bench.engine_log();
    wait_for("it is heard", || log().contains("interrupt again to stop now"));
    assert_eq!(snapshot(&bench)["exporting"], true, "it is still exporting");
    signal(&run, "-INT");
    let ran = Ran::of(run.wait_with_output().unwrap());
    assert!(ran.code == 130 && ran.stderr.contains("interrupted; run the same command again"), "{ran:?}");
    held.release();
    assert_eq!(bench.run(&["--batch"]).code, 0);
    assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap().lines().count(), 2);
}
