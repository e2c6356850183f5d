//! `scan`, `missing` and `annotations` with a manifest.

mod annotations;
mod bench;
mod hostile;

use std::fs;
use std::path::Path;

use annotations::annotations;
use bench::{Bench, HACS, VIDEOS, fixture};
use serde_json::{Value, json};

#[test]
fn scan_reports_missing_videos() {
    let bench = Bench::new(&VIDEOS);
    bench.put("Archery/v_stranger.mp4", "x");
    bench.put("Tai_chi/v_kLm4NoP5qRs.mp4", "");
    let ran = bench.hacs(&["scan"]).expect(
        3,
        &[
            "7 videos in 6 classes",
            "has 8 videos in 6 classes",
            "missing v_tR5pWq8sA (Archery, validation): in the manifest, not on disk",
            "missing 0O_qMHxBfXg (validation): ",
            "corrupt Tai_chi/v_kLm4NoP5qRs.mp4: the file is empty",
            "duplicate -Zq9_k2LmNo: appears twice, in different classes: Archery/v_-Zq9_k2LmNo.mp4, Playing_squash/v_-Zq9_k2LmNo.mp4",
            "unlisted Archery/v_stranger.mp4",
            "  next: keep one; ",
        ],
    );
    let columns = |name: &str| -> Vec<String> {
        let line = ran.out.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(columns("split "), ["listed", "missing", "corrupt", "duplicate", "unlisted", "unchecked"]);
    assert_eq!(columns("all"), ["8", "3", "1", "1", "1", "3"]);
    assert_eq!(columns("training"), ["3", "1", "2"]);
    assert_eq!(columns("validation"), ["3", "2", "1"]);
    assert_eq!(columns("Horseback riding"), ["1", "1"]);
    let quiet = bench.hacs(&["-q", "scan"]).expect(3, &["missing v_tR5pWq8sA"]);
    assert!(!quiet.out.contains("  listed") && !quiet.out.contains("7 videos"), "{}", quiet.out);
    // A scan writes nothing.
    assert!(!bench.at("out").exists());
    // Without a manifest nothing is missing; the empty file is still invalid.
    let ran = bench.run(&["scan"]).expect(3, &["corrupt Tai_chi/v_kLm4NoP5qRs.mp4"]);
    assert!(!ran.out.contains("\nmissing ") && !ran.out.contains("\nduplicate "), "{}", ran.out);
}

#[test]
fn scan_reports_the_same_as_json() {
    let bench = Bench::new(&VIDEOS);
    bench.put("v_flat.mp4", "x");
    bench.put("v_part.mp4.part", "x");
    let ran = bench.hacs(&["scan", "--json"]).expect(3, &[]);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    let documented = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/MANIFEST.md")).unwrap();
    let video = &json["videos"][0];
    let deep = [video, &video["files"][0], &json["all"], &json["splits"][0], &json["classes"][0], &json["refused"][0]];
    for key in keys.iter().chain(deep.iter().flat_map(|object| object.as_object().unwrap().keys())) {
        assert!(documented.contains(&format!("`{key}`")), "{key} is not described in docs/MANIFEST.md");
    }
    assert_eq!(json["schema"], 1);
    assert_eq!(json["all"]["listed"], 8);
    assert_eq!(json["all"]["states"]["missing"], 4);
    assert_eq!(json["refused"][0]["path"], "v_flat.mp4");
    assert_eq!(video["id"], "--0edUL8zmA");
    assert_eq!((&video["split"], &video["duration_s"]), (&json!("training"), &json!(92.166667)));
    assert_eq!(video["state"], json!({"is": "unchecked"}));
    assert_eq!(json["videos"].as_array().unwrap().len(), 8);
    assert_eq!(ran.err, "");
    let ran = bench.run(&["scan", "--json"]).expect(3, &[]);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&json["manifest"], json["videos"].as_array().unwrap().len()), (&Value::Null, 5));
}

#[test]
fn missing_writes_a_list_for_each_reader() {
    let bench = Bench::new(&VIDEOS);
    bench.put("Tai_chi/v_kLm4NoP5qRs.mp4", "");
    bench.hacs(&["missing", "--dry-run"]).expect(3, &["4 of 8 videos", "would write"]);
    assert!(!bench.at("out").exists());
    bench.hacs(&["missing"]).expect(3, &["4 of 8 videos", "2 lines", "2 videos without a class", "4 URLs"]);
    assert_eq!(bench.text("out/missing/request.txt"), "v_tR5pWq8sA,Archery\nkLm4NoP5qRs,Doing_crunches\n");
    assert_eq!(bench.text("out/missing/missing_files.txt"), "v_tR5pWq8sA\nkLm4NoP5qRs\n0O_qMHxBfXg\n__-__-__-__");
    let first = bench.text("out/missing/download.txt");
    assert_eq!(first.lines().next(), Some("https://www.youtube.com/watch?v=v_tR5pWq8sA"));
    assert_eq!(first.lines().count(), 4);
    // The request list is a manifest of the missing videos.
    let ran = bench.run(&["--manifest", "out/missing/request.txt", "scan", "--json"]).expect(3, &[]);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&json["all"]["listed"], &json["all"]["states"]["missing"]), (&json!(2), &json!(1)));

    for video in
        ["Archery/v_v_tR5pWq8sA.mp4", "Tai_chi/v_kLm4NoP5qRs.mp4", "T/v_0O_qMHxBfXg.mp4", "T/v___-__-__-__.mp4"]
    {
        bench.put(video, "x");
    }
    bench.hacs(&["missing"]).expect(0, &["0 of 8 videos"]);
    for list in ["request.txt", "missing_files.txt", "download.txt"] {
        assert_eq!(bench.text(&format!("out/missing/{list}")), "");
    }
}

#[test]
fn a_bad_manifest_is_named_and_changes_nothing() {
    let bench = Bench::new(&VIDEOS);
    bench.hacs(&["annotations"]).expect(3, &[]);
    bench.hacs(&["missing"]).expect(3, &[]);
    let whole = String::from_utf8(fixture(HACS)).unwrap();
    let before = (annotations(&bench), bench.text("out/missing/request.txt"));
    let cut = &whole[..whole.len() / 2];
    let hostile = whole.replace("\"_a-B3xYz012\"", "\"../../x\"");
    let steering = whole.replace("\"_a-B3xYz012\"", "\"a\\u001b[2Jb\"");
    let raw = whole.replace("_a-B3xYz012\": {", "a\u{1b}[2Jb\": {");
    let twice = whole.replace("v_tR5pWq8sA\": {", "--0edUL8zmA\": {");
    let end = format!("line {}", cut.matches('\n').count() + 1);
    for (text, says) in [
        (cut, &[end.as_str(), "the file is truncated"][..]),
        (&hostile, &["line 3, column 9", "the id \"../../x\" cannot be used", "slash"]),
        (&steering, &["line 3, column 13", "control character"]),
        (&raw, &["line 3, column 3", "control character"]),
        (&twice, &["line 5, column 13", "occurs twice, first at line 2, column 13"]),
        ("", &["line 1, column 1", "the file is truncated"]),
        ("<html>", &["web page"]),
        ("{\"database\": 7}", &["line 1, column 15", "an object with the videos by id"]),
    ] {
        fs::write(bench.at("bad.json"), text).unwrap();
        for command in ["scan", "missing", "annotations"] {
            let ran = bench.run(&["--manifest", "bad.json", command]).expect(2, &["bad.json", "error: the manifest "]);
            let ran = ran.expect(2, says);
            assert_eq!(ran.out, "");
        }
    }
    assert_eq!((annotations(&bench), bench.text("out/missing/request.txt")), before);
    // No half-written file is left.
    let left: Vec<_> = fs::read_dir(bench.at("out/annotations")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "{left:?}");
}

#[test]
fn commands_that_need_a_manifest_say_so() {
    let bench = Bench::new(&VIDEOS);
    bench.run(&["missing"]).expect(2, &["name one with --manifest"]);
    bench.run(&["annotations"]).expect(2, &["name one with --manifest"]);
    bench.run(&["--manifest", "nowhere.json", "scan"]).expect(2, &["failed to open the manifest", "nowhere.json"]);
    bench.run(&["--manifest", "data", "scan"]).expect(2, &["is not a file"]);
    fs::write(bench.at("list.txt"), "--0edUL8zmA\n").unwrap();
    bench.run(&["--manifest", "list.txt", "annotations"]).expect(2, &["is a plain list", "annotation file"]);
    assert!(!bench.at("out").exists());
    bench.hacs(&["missing", "--out", "data/out"]).expect(2, &["never written to"]);
}

#[test]
fn lists_are_manifests_too_and_the_configuration_names_them() {
    let bench = Bench::new(&["A_b/x1.mp4", "A_b/x2.mkv", "C/x3.mp4"]);
    fs::write(bench.at("list.txt"), "\u{feff}1,A b\r\nA_b/x2.mp4 -1\r\n\r\n4\r\n").unwrap();
    let config = "[manifest]\npath = \"list.txt\"\nprefix = \"x\"\n";
    fs::write(bench.at("config.toml"), config).unwrap();
    bench.run(&["scan"]).expect(3, &["missing 4: in the manifest", "unlisted C/x3.mp4"]);
    bench
        .run(&["missing"])
        .expect(3, &["1 of 3 videos", "leaves out 1 video without a class", "download.txt leaves out 1"]);
    assert_eq!(bench.text("out/missing/missing_files.txt"), "4");
    for (text, says) in [
        ("1\n1\n", "line 2, column 1: the id \"1\" occurs twice, first at line 1, column 1"),
        ("1\n../../x\n", "line 2, column 1: the video's name is not a path such as Class/file"),
        ("1\n2 3\n", "line 2, column 1: the file's name does not begin with \"x\""),
        ("1\nA/v_2.mp4\n", "does not begin with \"x\""),
        ("1\n\u{1b}[2J\n", "control character"),
        ("\n\n", "it names no video"),
    ] {
        fs::write(bench.at("list.txt"), text).unwrap();
        bench.run(&["scan"]).expect(2, &["list.txt", says]);
    }
}
