//! What the end of a run owes: the list, exports without gaps, an exit code that tells of a gap, and a next step that works.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use serde_json::Value;

use super::damage::flip;
use crate::support::{Bench, Ran, remove_in_use, wait_for};
use reeldeck::internals::client::{Client, runs};
use reeldeck::internals::protocol::Command;

/// Videos are extracted in the order of their names.
const IN_ORDER: &str = "[engine]\norder = \"list\"\n";

/// The summary of the last run.
fn last(bench: &Bench) -> Value {
    let report: Value = serde_json::from_str(&bench.run(&["status", "--json"]).stdout).unwrap();
    report["last_runs"][0].clone()
}

#[test]
fn an_unreadable_folder_takes_no_video_out_of_an_export() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("B/v_2.mp4", "ok")]);
    bench.configure("[export]\nlive = [\"npy\", \"csv\"]\n");
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for result in ["result.pkl", "npy", "csv"] {
        let line = format!("exported 2 videos to {}\n", bench.export(result).display());
        assert_eq!(ran.stdout.matches(&line).count(), 1, "{ran:?}");
    }
    let files = ["result.pkl", "hacs_data.txt", "npy/v_2.npy", "csv/v_2.csv", "csv/dataset.json"];
    let bytes = || files.map(|name| fs::read(bench.export(name)).unwrap());
    let before = (bytes(), fs::read(bench.path("out/hacs_data.txt")).unwrap());
    // A link to itself cannot be read, and the error does not say that there is nothing.
    fs::rename(bench.path("data/B"), bench.path("B")).unwrap();
    symlink(bench.path("data/B"), bench.path("data/B")).unwrap();
    let manifest = r#"{"database": {"v_2": {"duration": 9.0, "subset": "training", "annotations": []}}}"#;
    fs::write(bench.path("m.json"), manifest).unwrap();
    for arguments in [&["--batch"][..], &["--batch", "--manifest", "m.json"]] {
        let ran = bench.run(arguments);
        assert_eq!(ran.code, 3, "{ran:?}");
        let why =
            "nothing was exported, because videos may be missing: B: cannot be read (Too many levels of symbolic links";
        assert!(ran.stderr.contains(why), "{ran:?}");
        assert!(!ran.stderr.contains("not in the dataset folder"), "{ran:?}");
        assert!(before == (bytes(), fs::read(bench.path("out/hacs_data.txt")).unwrap()), "the results have changed");
        assert!(last(&bench)["next_step"].as_str().unwrap().contains("make all of the dataset folder readable"));
    }
    // Links to videos on a disk that is not mounted.
    for (link, target) in [("data/B", "nowhere"), ("data/B/v_2.mp4", "../nowhere.mp4")] {
        fs::remove_file(bench.path("data/B")).unwrap();
        if link != "data/B" {
            fs::create_dir(bench.path("data/B")).unwrap();
        }
        symlink(target, bench.path(link)).unwrap();
        let ran = bench.run(&["--batch"]);
        assert!(ran.code == 3 && ran.stderr.contains("a link to something that does not exist"), "{ran:?}");
        assert!(bench.run(&["export"]).stderr.contains("cannot tell which videos are missing: B"));
        assert!(before == (bytes(), fs::read(bench.path("out/hacs_data.txt")).unwrap()), "{link}");
    }
    fs::remove_dir_all(bench.path("data/B")).unwrap();
    // Without features, a broken link hides nothing.
    symlink("nowhere", bench.path("data/C")).unwrap();
    fs::rename(bench.path("B"), bench.path("data/B")).unwrap();
    let ran = bench.run(&["--batch"]);
    assert!(ran.code == 3 && ran.stdout.contains("2 done (0 now, 2 before)"), "{ran:?}");
    assert!(ran.stdout.contains("exported 2 videos"), "{ran:?}");
}

#[test]
fn a_list_that_is_removed_during_a_run_is_written_again() {
    for removed in ["out/hacs_data.txt", "out"] {
        let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "until go"), ("B/v_3.mp4", "until go")]);
        bench.configure(IN_ORDER);
        let run = bench.start_logged(&["--batch", "--devices", "cpu"]);
        wait_for("a video is done", || bench.files("features").len() == 1);
        let list = fs::read(bench.path("out/hacs_data.txt")).unwrap();
        let is_all = removed == "out";
        if is_all {
            remove_in_use(&bench.path(removed))
        } else {
            fs::remove_file(bench.path(removed)).unwrap()
        }
        fs::write(bench.path("go"), "").unwrap();
        if is_all {
            wait_for("it is missed", || bench.log().contains("is gone"));
            fs::create_dir(bench.path(removed)).unwrap();
        }
        let ran = bench.finish(run);
        assert_eq!(ran.code, 0, "{removed}: {ran:?}");
        assert!(fs::read(bench.path("out/hacs_data.txt")).unwrap() == list, "{removed}");
        assert_eq!(bench.files("features").len(), 3, "{removed}");
    }
}

#[test]
fn the_next_step_after_an_export_without_changed_videos_extracts_them() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "until go")]);
    bench.configure(IN_ORDER);
    let run = bench.start_logged(&["--batch", "--devices", "cpu"]);
    wait_for("a video is done", || bench.files("features").len() == 1);
    bench.video("A/v_1.mp4", "ok, another one");
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.finish(run);
    assert_eq!(ran.code, 3, "{ran:?}");
    let says = "1 video with a feature is missing from the export; extract the changed videos again with --redo-stale";
    assert!(ran.stderr.contains(says), "{ran:?}");
    assert!(last(&bench)["next_step"].as_str().unwrap().contains("--redo-stale"));
    let ran = bench.run(&["--batch", "--redo-stale"]);
    assert!(ran.code == 0 && ran.stderr.contains("1 queued"), "{ran:?}");
}

#[test]
fn a_disk_that_damages_features_causes_no_endless_run() {
    for (script, code, exported) in [("once rot", 0, 2), ("rot", 3, 1)] {
        let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", script)]);
        let ran = bench.run(&["--batch", "--devices", "cpu"]);
        assert_eq!(ran.code, code, "{script}: {ran:?}");
        let again = "missing from the export; extracting damaged and missing features again";
        assert_eq!(ran.stderr.matches(again).count(), 1, "{script}: {ran:?}");
        let is_repeated = ran.stderr.contains("missing from the export; check the disk of the output folder");
        assert_eq!(is_repeated, code == 3, "{script}: {ran:?}");
        let list = fs::read_to_string(bench.export("hacs_data.txt")).unwrap();
        assert_eq!(list.lines().count(), exported, "{script}");
    }
}

#[test]
fn two_engines_extract_a_damaged_feature_again_and_export_it() {
    let names: Vec<String> = (0..6).map(|i| format!("A/v_{i}.mp4")).collect();
    let bench = Bench::new(&names.iter().map(|name| (name.as_str(), "until go")).collect::<Vec<_>>());
    bench.video("A/a.mp4", "ok");
    bench.configure(IN_ORDER);
    let engine = || bench.start(&["--batch", "--devices", "cpu"]);
    let first = engine();
    wait_for("a video is done", || bench.files("features").len() == 1);
    let second = engine();
    wait_for("both have begun", || fs::read_dir(bench.path("out/.reeldeck/runs")).map_or(0, Iterator::count) == 2);
    flip(&bench.files_of("A/a.mp4"));
    fs::write(bench.path("go"), "").unwrap();
    let ran = [first, second].map(|engine| Ran::of(engine.wait_with_output().unwrap()));
    assert!(ran.iter().all(|ran| ran.code == 0 && ran.stdout.contains("7 done")), "{ran:?}");
    assert!(ran.iter().any(|ran| ran.stderr.contains("A/a.mp4: ")), "{ran:?}");
    assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap().lines().count(), 7);
    assert_eq!(fs::read_to_string(bench.export("missing.txt")).unwrap(), "");
}

#[test]
fn a_run_that_a_client_starts_ends_like_any_other() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "until go")]);
    bench.configure("[engine]\nlinger_s = 600\norder = \"list\"\n");
    let mut command = bench.command(&["engine", "--wait", "--devices", "cpu"]);
    let mut engine = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = || -> Value { serde_json::from_str(&bench.run(&["status", "--json"]).stdout).unwrap() };
    wait_for("it waits", || status()["runs"][0]["snapshot"]["phase"] == "waiting");
    let holder = runs(&bench.path("out")).unwrap().into_iter().next().unwrap();
    let mut client = Client::connect(&bench.path("out"), &holder).unwrap();
    client.command(Command::Start).unwrap();
    let attached = bench.start(&["attach"]);
    wait_for("a video is done", || bench.files("features").len() == 1);
    bench.video("A/v_1.mp4", "ok, another one");
    fs::write(bench.path("go"), "").unwrap();
    let attached = Ran::of(attached.wait_with_output().unwrap());
    assert_eq!(attached.code, 3, "{attached:?}");
    let status = status();
    let last = &status["runs"][0]["snapshot"]["last_run"];
    assert_eq!((&last["exit"], &last["exports"][0]["videos"]), (&3.into(), &1.into()), "{last}");
    assert!(last["next_step"].as_str().unwrap().contains("--redo-stale"), "{last}");
    drop(client);
    assert_eq!(bench.run(&["stop"]).code, 0);
    engine.wait().unwrap();
}

#[test]
fn two_engines_on_a_disk_that_damages_a_feature_end_and_name_the_video() {
    let bench = Bench::new(&[("A/v_1.mp4", "until go"), ("A/v_2.mp4", "until go rot"), ("A/v_3.mp4", "until go")]);
    let engine = || bench.start(&["--batch", "--devices", "cpu"]);
    let first = engine();
    wait_for("the first has begun", || bench.path("out/.reeldeck/runs").exists());
    let second = engine();
    wait_for("both have begun", || fs::read_dir(bench.path("out/.reeldeck/runs")).map_or(0, Iterator::count) == 2);
    fs::write(bench.path("go"), "").unwrap();
    let ran = [first, second].map(|engine| Ran::of(engine.wait_with_output().unwrap()));
    assert!(ran.iter().all(|ran| ran.code == 3), "{ran:?}");
    assert!(ran.iter().any(|ran| ran.stderr.contains("A/v_2.mp4: ")), "{ran:?}");
    assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap().lines().count(), 2);
    assert!(fs::read_to_string(bench.export("missing.txt")).unwrap().contains("A/v_2.mp4"));
}

#[test]
fn a_video_that_changes_while_it_is_extracted_again_gets_the_feature_of_its_last_version() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok")]);
    assert_eq!(bench.run(&["--batch"]).code, 0);
    bench.video("A/v_1.mp4", "until go");
    let run = bench.start_logged(&["--batch", "--redo-stale", "--devices", "cpu"]);
    let counts = || -> Value {
        let status: Value = serde_json::from_str(&bench.run(&["status", "--json"]).stdout).unwrap();
        status["runs"][0]["snapshot"]["counts"].clone()
    };
    wait_for("it has begun", || counts()["running"] == 1);
    bench.video("A/v_1.mp4", "ok, the last version");
    fs::write(bench.path("go"), "").unwrap();
    let ran = bench.finish(run);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(bench.run(&["--batch"]).code, 0);
    let again = bench.run(&["--batch", "--redo-stale"]);
    assert!(again.code == 0 && again.stderr.contains("0 queued"), "{again:?}");
}

#[test]
fn a_changed_video_whose_extraction_fails_has_failed_until_it_is_retried() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok")]);
    assert_eq!(bench.run(&["--batch"]).code, 0);
    bench.video("A/v_1.mp4", "fail corrupt");
    for arguments in [&["--batch", "--redo-stale"][..], &["--batch"]] {
        let ran = bench.run(arguments);
        assert!(ran.code == 3 && ran.stdout.contains("1 failed"), "{ran:?}");
        let missing = fs::read_to_string(bench.export("missing.txt")).unwrap();
        assert!(missing.contains("A/v_1.mp4") && missing.contains("failed: it failed: as it was told"), "{missing}");
    }
    let verified = bench.run(&["verify"]);
    assert!(verified.stderr.contains("has changed since; extracting it again failed: it failed"), "{verified:?}");
    let ran = bench.run(&["--batch", "--retry-failed"]);
    assert!(ran.code == 3 && ran.stderr.contains("1 queued"), "{ran:?}");
    let manifest = r#"{"database": {"1": {"duration": 9.0, "subset": "training", "annotations": []},
        "2": {"duration": 9.0, "subset": "training", "annotations": []}}}"#;
    fs::write(bench.path("m.json"), manifest).unwrap();
    let missing = bench.run(&["missing", "--manifest", "m.json"]);
    assert!(missing.code == 3 && missing.stdout.contains("1 of 2 videos missing or corrupt"), "{missing:?}");
    assert!(missing.stdout.contains("note: 1 video has not been checked"), "{missing:?}");
}

#[test]
fn an_excluded_video_is_not_owed() {
    let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok"), ("A/v_3.mp4", "ok")]);
    assert_eq!(bench.run(&["--batch"]).code, 0);
    // One without a feature, and one of which there is another version.
    fs::remove_file(bench.files_of("A/v_1.mp4")).unwrap();
    bench.video("A/v_2.mp4", "ok, another one");
    fs::write(bench.path("out/.reeldeck/excluded"), "A/v_1.mp4\nA/v_2.mp4\n").unwrap();
    let verified = bench.run(&["verify"]);
    assert!(!verified.stderr.contains("stale") && !verified.stdout.contains("has no feature"), "{verified:?}");
    for arguments in [&["--batch", "--redo-stale"][..], &["export"]] {
        let ran = bench.run(arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.stderr.contains("--redo-stale"), "{ran:?}");
    }
    let missing = fs::read_to_string(bench.export("missing.txt")).unwrap();
    assert!(missing.contains("A/v_1.mp4") && missing.matches("excluded").count() == 2, "{missing}");
}

#[test]
fn two_engines_count_files_that_change_during_the_run_alike() {
    let names: Vec<String> = (0..16).map(|i| format!("A/v_{i:02}.mp4")).collect();
    let bench = Bench::new(&names.iter().map(|name| (name.as_str(), "until go")).collect::<Vec<_>>());
    let engine = || bench.start(&["--batch", "--devices", "cpu"]);
    let first = engine();
    wait_for("the first has begun", || bench.path("out/.reeldeck/runs").exists());
    let second = engine();
    wait_for("both have begun", || fs::read_dir(bench.path("out/.reeldeck/runs")).map_or(0, Iterator::count) == 2);
    for name in &names {
        bench.video(name, "until go again");
    }
    fs::write(bench.path("go"), "").unwrap();
    let ran = [first, second].map(|engine| Ran::of(engine.wait_with_output().unwrap()));
    let next = bench.run(&["--batch"]);
    let stale = |ran: &Ran| {
        let line = ran.stdout.lines().last().unwrap_or_default().to_owned();
        line.split(", ").find(|part| part.contains(" stale")).map(str::to_owned)
    };
    for ran in &ran {
        assert_eq!((stale(ran), ran.code), (stale(&next), next.code), "{ran:?}\n{next:?}");
    }
}
