//! Features that are damaged, unreadable or gone when something reads them: they are named, change the exit code, and are
//! extracted again. Also temporary files of commands that were killed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::checks::{healthy, store_check};
use crate::support::made::Set;
use crate::support::{Bench, RECIPE};
use reeldeck::internals::dataset::VideoFile;
use reeldeck_common::atomic;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use reeldeck_pickle::results::read_results;

const VIDEOS: [(&str, &str); 3] = [("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok"), ("B/v_3.mp4", "ok")];

/// A finished run over three videos, without its export.
fn finished() -> Bench {
    let bench = Bench::new(&VIDEOS);
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    fs::remove_dir_all(bench.path("out/exports")).unwrap();
    bench
}

/// Changes one bit in the numbers of a feature.
pub fn flip(feature: &Path) {
    let mut bytes = fs::read(feature).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(feature, bytes).unwrap();
}

fn exported(bench: &Bench) -> usize {
    read_results(&fs::read(bench.export("result.pkl")).unwrap()).unwrap().len()
}

#[test]
fn a_damaged_feature_is_named_and_extracted_again() {
    let bench = finished();
    let feature = bench.files_of("A/v_2.mp4");
    let whole = fs::read(&feature).unwrap();
    flip(&feature);
    // A run finds it when it exports, and extracts it again.
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for text in ["A/v_2.mp4: ", "does not match its checksum", "1 video with a feature is missing from the export"] {
        assert!(ran.stderr.contains(text), "{text}: {ran:?}");
    }
    assert!(ran.stdout.contains("3 done (1 now, 2 before)"), "{ran:?}");
    assert_eq!((fs::read(&feature).unwrap(), exported(&bench)), (whole.clone(), 3));
    flip(&feature);
    let ran = bench.run(&["export"]);
    assert!(ran.code == 3 && ran.stderr.contains("does not match its checksum"), "{ran:?}");
    assert_eq!(exported(&bench), 2);
    // The scan shows it.
    let ran = bench.run(&["scan"]);
    assert!(ran.code == 3 && ran.stderr.contains("A/v_2.mp4.safetensors: the next run"), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&bench.run(&["scan", "--json"]).stdout).unwrap();
    assert!(report["damaged"][0].as_str().unwrap().ends_with("A/v_2.mp4.safetensors"), "{report}");
    // The next run extracts it again, and nothing else.
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("3 done (1 now, 2 before)"), "{ran:?}");
    assert_eq!((fs::read(&feature).unwrap(), exported(&bench)), (whole, 3));
    assert_eq!(bench.run(&["scan"]).code, 0);
}

#[test]
fn verify_and_annotations_report_a_damaged_feature_and_the_next_run_extracts_it_again() {
    let manifest = r#"{"database": {"v_1": {"duration": 9.0, "subset": "training", "annotations": []}}}"#;
    for command in [&["verify"][..], &["--manifest", "m.json", "annotations"]] {
        let bench = finished();
        fs::write(bench.path("m.json"), manifest).unwrap();
        bench.configure("[manifest]\nprefix = \"\"\n");
        flip(&bench.files_of("A/v_1.mp4"));
        assert_eq!(bench.run(command).code, 3);
        let ran = bench.run(&["--batch"]);
        assert!(ran.code == 0 && ran.stdout.contains("3 done (1 now, 2 before)"), "{command:?}: {ran:?}");
    }
}

/// The frames come from the check of the video then, so nothing is an estimate.
#[test]
fn annotations_name_a_feature_that_is_not_usable_beside_a_healthy_check() {
    let bench = finished();
    let manifest = r#"{"database": {"v_1": {"duration": 10.0, "subset": "training", "annotations": []}}}"#;
    fs::write(bench.path("m.json"), manifest).unwrap();
    bench.configure("[manifest]\nprefix = \"\"\n");
    let name = VideoName::new("A/v_1.mp4").unwrap();
    let file = VideoFile { stamp: SourceStamp::read(&bench.path("data/A/v_1.mp4")).unwrap(), name };
    store_check(&bench.path("out/.reeldeck/probe-cache"), &file, healthy());
    flip(&bench.files_of("A/v_1.mp4"));
    let ran = bench.run(&["--manifest", "m.json", "annotations"]);
    for text in ["0 from features, 1 from probes", "not usable A/v_1.mp4: ", "does not match its checksum"] {
        assert!(ran.code == 3 && ran.stdout.contains(text), "{text}: {ran:?}");
    }
}

#[test]
fn the_feature_of_another_video_does_not_count_as_done() {
    let bench = finished();
    // The size and the time of a video stay when it is renamed. Here its feature is renamed too.
    fs::rename(bench.path("data/A/v_2.mp4"), bench.path("data/B/v_2.mp4")).unwrap();
    fs::rename(bench.files_of("A/v_2.mp4"), bench.files_of("B/v_2.mp4")).unwrap();
    let ran = bench.run(&["--batch"]);
    assert!(ran.code == 0 && ran.stdout.contains("3 done (1 now, 2 before)"), "{ran:?}");
    assert_eq!(exported(&bench), 3);
}

#[test]
fn a_feature_that_cannot_be_read_is_an_error_and_is_not_extracted_again_unasked() {
    let bench = finished();
    let feature = bench.files_of("A/v_2.mp4");
    // A link to itself cannot be read, and the error does not say that there is no file.
    fs::remove_file(&feature).unwrap();
    symlink(&feature, &feature).unwrap();
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("A/v_2.mp4: failed to read") && ran.stderr.contains("0 queued"), "{ran:?}");
    let ran = bench.run(&["export"]);
    assert!(ran.code == 3 && ran.stderr.contains("Too many levels of symbolic links"), "{ran:?}");
    fs::remove_file(&feature).unwrap();
    assert_eq!(bench.run(&["--batch"]).code, 0);
    assert_eq!(exported(&bench), 3);
}

#[test]
fn an_unreadable_list_of_damaged_features_stops_the_run() {
    let bench = finished();
    fs::create_dir(bench.path("out/.reeldeck/damaged")).unwrap();
    let ran = bench.run(&["--batch"]);
    assert!(ran.code == 1 && ran.stderr.contains("failed to look through"), "{ran:?}");
}

#[test]
fn a_live_export_that_fails_changes_the_exit_code() {
    let bench = Bench::new(&VIDEOS);
    bench.configure("[export]\nlive = [\"npy\"]\n");
    assert_eq!(bench.run(&["--batch"]).code, 0);
    let npy = bench.export("npy");
    fs::remove_file(npy.join("v_1.npy")).unwrap();
    fs::create_dir(npy.join("v_1.npy")).unwrap();
    fs::remove_file(bench.files_of("A/v_1.mp4")).unwrap();
    let ran = bench.run(&["--batch"]);
    // The export at the end cannot write it either.
    assert!(ran.code == 1 && ran.stderr.contains("failed to write to"), "{ran:?}");
    assert!(bench.export("result.pkl").exists());
}

#[test]
fn a_run_that_would_remove_outputs_of_features_is_refused() {
    let bench = Bench::new(&VIDEOS);
    assert_eq!(bench.run(&["extract"]).code, 0);
    let before = fs::read(bench.files_of("A/v_1.mp4")).unwrap();
    let recipe = |outputs: &str| fs::write(bench.path("tiny.toml"), RECIPE.replace("[\"logits\"]", outputs)).unwrap();
    recipe("[\"pooled\"]");
    for arguments in [&["extract"][..], &["extract", "--dry-run"]] {
        let ran = bench.run(arguments);
        assert!(ran.code == 2 && ran.stderr.contains("their logits would be lost; add \"logits\""), "{ran:?}");
    }
    assert_eq!(fs::read(bench.files_of("A/v_1.mp4")).unwrap(), before);
    // Nothing is lost with both outputs, or under another name.
    recipe("[\"pooled\", \"logits\"]");
    let ran = bench.run(&["extract", "--dry-run"]);
    assert!(ran.code == 0 && ran.stdout.contains(&format!("would extract {} videos", VIDEOS.len())), "{ran:?}");
    recipe("[\"pooled\"]");
    let named = fs::read_to_string(bench.path("tiny.toml")).unwrap().replace("name = \"tiny\"", "name = \"other\"");
    fs::write(bench.path("tiny.toml"), named).unwrap();
    assert_eq!(bench.run(&["extract", "--dry-run"]).code, 0);
}

#[test]
fn a_changed_video_is_not_extracted_again_where_that_removes_an_output() {
    let bench = Bench::new(&VIDEOS);
    assert_eq!(bench.run(&["extract"]).code, 0);
    let path = bench.files_of("A/v_1.mp4");
    bench.add_pooled("A/v_1.mp4");
    let before = fs::read(&path).unwrap();
    bench.video("A/v_1.mp4", "ok, and longer");
    assert_eq!(bench.run(&["extract"]).code, 3, "it stays stale");
    let is_refused = |arguments: &[&str]| {
        let ran = bench.run(arguments);
        let says = |text: &str| ran.stderr.contains(text);
        assert!(ran.code == 2 && says("1 feature in") && says("their pooled would be lost"), "{ran:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
    };
    is_refused(&["extract", "--redo-stale"]);
    fs::write(bench.path("retry.txt"), "A/v_1.mp4\n").unwrap();
    is_refused(&["retry", "--list", "retry.txt"]);
    // An extraction of the changed video failed, by a recipe that stores both.
    let recipe = |outputs: &str| fs::write(bench.path("tiny.toml"), RECIPE.replace("[\"logits\"]", outputs)).unwrap();
    recipe("[\"logits\", \"pooled\"]");
    bench.video("A/v_1.mp4", "fail corrupt");
    assert_eq!(bench.run(&["extract", "--redo-stale"]).code, 3);
    recipe("[\"logits\"]");
    is_refused(&["extract", "--retry-failed"]);
}

#[test]
fn a_recipe_without_logits_is_refused_before_anything_is_extracted() {
    let bench = Bench::new(&VIDEOS);
    fs::write(bench.path("tiny.toml"), RECIPE.replace("[\"logits\"]", "[\"pooled\"]")).unwrap();
    let ran = bench.run(&["--batch"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("result.pkl") && ran.stderr.contains("add \"logits\" to the outputs"), "{ran:?}");
    assert!(!bench.path("out").exists());
    // Without the export at its end, nothing is wrong with it.
    assert_eq!(bench.run(&["--batch", "--dry-run", "--limit", "1"]).code, 0);
}

#[test]
fn temporary_files_of_a_killed_command_are_removed_by_the_next_one() {
    let set = Set::of(&["A/v_1.mp4"]);
    let manifest = r#"{"database": {"1": {"duration": 9.0, "subset": "training", "annotations": []}}}"#;
    fs::write(set.at("m.json"), manifest).unwrap();
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let name = format!(".{host}-{0}-{0}-7-0123456789abcdef.reeldeck-tmp", ended.id());
    assert!(atomic::is_temporary(&name));
    for (folder, command) in [
        (set.exported(""), &["export"][..]),
        (set.exported("csv"), &["export", "--format", "csv"]),
        (set.exported("verify"), &["verify"]),
        (set.at("out/annotations"), &["--manifest", "m.json", "annotations"]),
        (set.at("out/missing"), &["--manifest", "m.json", "missing"]),
        (set.at("out"), &["list"]),
    ] {
        fs::create_dir_all(&folder).unwrap();
        let left = folder.join(&name);
        fs::write(&left, "half").unwrap();
        let ran = set.run(command);
        assert!(!left.exists(), "{command:?}: {ran:?}");
    }
}

#[test]
fn features_of_a_class_folder_that_was_moved_away_are_named() {
    let bench = finished();
    fs::rename(bench.path("data/B"), bench.path("away")).unwrap();
    // The fake worker's numbers do not pass the verification.
    for (command, code) in [(&["--batch"][..], 0), (&["export"], 0), (&["verify"], 3)] {
        let ran = bench.run(command);
        let says = "1 feature is of a video that is not in the dataset folder; no export contains it:\n  B/v_3.mp4\n";
        assert!(ran.code == code && ran.stderr.contains(says), "{ran:?}");
    }
    assert_eq!(exported(&bench), 2);
}

#[test]
fn an_unreadable_class_folder_does_not_shorten_the_list() {
    let bench = finished();
    let list = fs::read_to_string(bench.path("out/hacs_data.txt")).unwrap();
    assert_eq!(list.lines().count(), 3);
    // A link to itself in place of a folder cannot be read by any user.
    fs::rename(bench.path("data/B"), bench.path("away")).unwrap();
    symlink(bench.path("data/B"), bench.path("data/B")).unwrap();
    for (command, code) in [(&["list"][..], 1), (&["--batch"], 3)] {
        let ran = bench.run(command);
        assert!(ran.code == code && ran.stderr.contains("refused B: cannot be read"), "{ran:?}");
        assert_eq!(fs::read_to_string(bench.path("out/hacs_data.txt")).unwrap(), list);
    }
}

#[test]
fn a_run_names_the_videos_of_the_manifest_that_are_missing() {
    let bench = Bench::new(&VIDEOS);
    let entry = |id| format!(r#""{id}": {{"duration": 9.0, "subset": "training", "annotations": []}}"#);
    let manifest = format!("{{\"database\": {{{}}}}}", ["v_1", "v_2", "gone", "v_3"].map(entry).join(", "));
    fs::write(bench.path("m.json"), manifest).unwrap();
    bench.configure("[manifest]\nprefix = \"\"\n");
    let says = "1 video of the manifest is not in the dataset folder";
    for arguments in [&["--batch", "--manifest", "m.json", "--dry-run"][..], &["--batch", "--manifest", "m.json"]] {
        let ran = bench.run(arguments);
        assert!(ran.code == 3 && ran.stderr.contains(says) && ran.stderr.contains("\n  gone\n"), "{ran:?}");
    }
    assert_eq!(exported(&bench), 3);
    bench.video("B/gone.mp4", "ok");
    assert_eq!(bench.run(&["--batch", "--manifest", "m.json"]).code, 0);
    let ran = bench.run(&["--batch", "--manifest", "none.json"]);
    assert!(ran.code == 2 && ran.stderr.contains("none.json"), "{ran:?}");
}

#[test]
fn a_file_that_is_no_checkpoint_is_refused_before_anything_is_extracted() {
    let bench = Bench::new(&VIDEOS);
    fs::write(bench.path("w.pth"), "PK is how a zip begins, and this is none").unwrap();
    for arguments in [&["extract", "--dry-run"][..], &["--batch"]] {
        let ran = bench.run(&[arguments, &["--checkpoint", "w.pth"]].concat());
        assert!(ran.code == 2 && ran.stderr.contains("w.pth cannot be used"), "{ran:?}");
        assert!(!ran.stderr.contains("cpu") && !bench.path("out").exists(), "{ran:?}");
    }
}
