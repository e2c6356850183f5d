//! An engine answers its clients while an export is blocked.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{counts, is_running, linger, snapshot};
use crate::support::{Bench, Ran, signal, wait_for};

/// A feature file that is a named pipe: an export blocks until its other end is opened.
struct Held {
    feature: PathBuf,
    whole: PathBuf,
    /// The same pipe under another name.
    end: PathBuf,
}

impl Held {
    fn hold(bench: &Bench, video: &str) -> Self {
        let held =
            Self { feature: bench.files_of(video), whole: bench.path("whole"), end: bench.path("the-other-end") };
        let pipe = bench.path("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::hard_link(&pipe, &held.end).unwrap();
        fs::copy(&held.feature, &held.whole).unwrap();
        let modified = fs::metadata(&held.feature).unwrap().modified().unwrap();
        File::options().write(true).open(&held.whole).unwrap().set_modified(modified).unwrap();
        fs::rename(pipe, &held.feature).unwrap();
        held
    }

    /// Releases a blocked reader; false if there is none.
    fn open(&self) -> bool {
        let options = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        rustix::fs::open(&self.end, options, rustix::fs::Mode::empty()).is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open();
    }
}

/// A run in the background whose export is blocked. One video was done before, one is done now, one has failed.
fn exporting(bench: &Bench) -> Held {
    // Later readers find it, too.
    linger(bench, 600);
    assert_eq!(bench.run(&["extract"]).code, 0);
    bench.video("A/v_1.mp4", "until go");
    bench.video("B/v_x.mp4", "once fail corrupt");
    assert_eq!(bench.run(&["--batch", "--detach"]).code, 0);
    wait_for("a worker is at it", || counts(bench)["running"].as_u64() > Some(0));
    let held = Held::hold(bench, "A/v_0.mp4");
    fs::write(bench.path("go"), "").unwrap();
    wait_for("it exports", || snapshot(bench)["exporting"] == true);
    held
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
    fs::rename(&held.whole, &held.feature).unwrap();
    wait_for("it continues", || held.open() || !is_running(&bench) || snapshot(&bench)["exporting"] == false);
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
    fs::rename(&held.whole, &held.feature).unwrap();
    wait_for("it continues", || held.open() || !is_running(&bench) || snapshot(&bench)["exporting"] == false);
    wait_for("the engine exits", || !is_running(&bench));
    assert!(bench.export("result.pkl").exists());

    fs::remove_dir_all(bench.path("out")).unwrap();
    fs::remove_file(bench.path("go")).unwrap();
    for video in ["A/v_1.mp4", "B/v_x.mp4"] {
        fs::remove_file(bench.path("data").join(video)).unwrap();
    }
    drop(held);
    fs::remove_file(bench.path("the-other-end")).unwrap();
    let held = exporting(&bench);
    let stop = bench.run(&["stop", "--now"]);
    assert_eq!((stop.code, stop.stdout.trim()), (0, "stopping now"), "{stop:?}");
    wait_for("the engine leaves, whatever holds the export up", || !is_running(&bench));
    assert!(!bench.path("out/exports").join("result.pkl").exists());
    fs::rename(&held.whole, &held.feature).unwrap();
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 3, "failed videos are not retried without a request: {ran:?}");
    assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap().lines().count(), 2);
}

#[test]
fn one_signal_lets_an_export_finish_and_a_second_cancels_it() {
    let bench = Bench::new(&[("A/v_0.mp4", "ok")]);
    assert_eq!(bench.run(&["extract"]).code, 0);
    bench.video("A/v_1.mp4", "until go");
    let run = bench.start(&["--batch"]);
    wait_for("a worker is at it", || is_running(&bench) && counts(&bench)["running"] == 1);
    let held = Held::hold(&bench, "A/v_0.mp4");
    fs::write(bench.path("go"), "").unwrap();
    wait_for("it exports", || snapshot(&bench)["exporting"] == true);
    signal(&run, "-INT");
    let log = || fs::read_to_string(bench.path("out/.reeldeck/log/0-of-1.log")).unwrap();
    wait_for("it is heard", || log().contains("interrupt again to stop now"));
    assert_eq!(snapshot(&bench)["exporting"], true, "it is still exporting");
    signal(&run, "-INT");
    let ran = Ran::of(run.wait_with_output().unwrap());
    assert!(ran.code == 130 && ran.stderr.contains("interrupted; run the same command again"), "{ran:?}");
    fs::rename(&held.whole, &held.feature).unwrap();
    assert_eq!(bench.run(&["--batch"]).code, 0);
    assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap().lines().count(), 2);
}
