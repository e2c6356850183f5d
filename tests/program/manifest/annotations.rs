//! `reeldeck annotations`: MMAction2's files byte by byte, and exact frame counts where MMAction2 estimates.

use std::fs;

use serde_json::{Value, json};

use super::bench::{Bench, VIDEOS, fixture};
use crate::support::checks::store_check;
use reeldeck::internals::dataset::VideoFile;
use reeldeck_common::probe::Verdict;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

/// The written files for training, validation and testing.
pub fn annotations(bench: &Bench) -> [String; 3] {
    ["train", "val", "test"].map(|name| bench.text(&format!("out/annotations/hacs_anno_{name}.json")))
}

#[test]
fn annotations_are_the_originals_to_the_byte() {
    let bench = Bench::new(&VIDEOS);
    bench.extracted("Dodgeball/v_--0edUL8zmA.mp4", 2764);
    bench.extracted("Archery/v_-Zq9_k2LmNo.mp4", 5650);
    bench.hacs(&["annotations"]).expect(
        3,
        &[
            "wrote 8 videos",
            "hacs_anno_train.json 3, hacs_anno_val.json 3, hacs_anno_test.json 2",
            "frames: 2 from features, 0 from probes",
            "estimated as duration x 30: 6 (4 without a file, 2 not extracted or not usable)",
        ],
    );
    for (ours, name) in annotations(&bench).iter().zip(["train", "val", "test"]) {
        let golden = String::from_utf8(fixture(&format!("hacs_anno_{name}.json"))).unwrap();
        assert_eq!(*ours, golden, "{name}");
    }
    let estimated = bench.text("out/annotations/estimated.txt");
    assert_eq!(estimated.lines().next(), Some("v__a-B3xYz012\tno feature yet"));
    assert!(estimated.lines().any(|line| line == "v_v_tR5pWq8sA\tnot on disk"), "{estimated}");
    assert_eq!(estimated.lines().count(), 6);
}

#[test]
fn annotations_use_real_frame_counts_and_ignore_stale_features() {
    let bench = Bench::new(&VIDEOS);
    bench.extracted("Dodgeball/v_--0edUL8zmA.mp4", 2764);
    bench.extracted("Horseback_riding/v__a-B3xYz012.mp4", 777);
    // Of two copies, the second one was extracted.
    bench.extracted("Playing_squash/v_-Zq9_k2LmNo.mp4", 5651);
    bench.extracted("Anywhere/v_T3sT_v1deo-.webm", 1349);
    bench.hacs(&["annotations"]).expect(3, &["frames: 4 from features"]);
    let frames = |bench: &Bench, at: usize, key: &str| {
        let json: Value = serde_json::from_str(&annotations(bench)[at]).unwrap();
        assert_eq!(json[key]["feature_frame"], json[key]["duration_frame"]);
        json[key]["feature_frame"].as_u64().unwrap()
    };
    assert_eq!(frames(&bench, 0, "v__a-B3xYz012"), 777);
    assert_eq!(frames(&bench, 0, "v_-Zq9_k2LmNo"), 5651);
    assert_eq!(frames(&bench, 2, "v_T3sT_v1deo-"), 1349);
    bench.put("Horseback_riding/v__a-B3xYz012.mp4", "another file");
    bench.hacs(&["annotations"]).expect(3, &["frames: 3 from features"]);
    assert_eq!(frames(&bench, 0, "v__a-B3xYz012"), 901);
    assert!(bench.text("out/annotations/estimated.txt").contains("has changed since its feature was made"));
    // A truncated feature does not count, and is reported.
    let set = fs::read_dir(bench.at("out/features")).unwrap().next().unwrap().unwrap().path();
    fs::write(set.join("Dodgeball/v_--0edUL8zmA.mp4.safetensors"), "cut").unwrap();
    bench.hacs(&["annotations"]).expect(3, &["frames: 2 from features"]);
    assert!(bench.text("out/annotations/estimated.txt").contains("is damaged: "));
}

#[test]
fn annotations_of_a_complete_dataset_exit_with_0() {
    let bench = Bench::new(&["Archery/v_a.mp4"]);
    let manifest = json!({"database": {"a": {"duration": 2.5, "subset": "validation", "annotations": []}}});
    fs::write(bench.at("m.json"), manifest.to_string()).unwrap();
    bench.extracted("Archery/v_a.mp4", 77);
    let ran = bench.run(&["--manifest", "m.json", "annotations"]).expect(0, &["frames: 1 from features"]);
    assert!(!ran.out.contains("estimated"), "{}", ran.out);
    let [train, val, test] = annotations(&bench);
    assert_eq!((train.as_str(), test.as_str()), ("{}", "{}"));
    let expected =
        "{\"v_a\": {\"duration_second\": 2.5, \"annotations\": [], \"feature_frame\": 77, \"duration_frame\": 77}}";
    assert_eq!(val, expected);
    assert_eq!(bench.text("out/annotations/estimated.txt"), "");
}

#[test]
fn videos_of_another_duration_than_the_manifests_are_named_as_by_a_scan() {
    let bench = Bench::new(&["Archery/v_a.mp4", "Archery/v_b.mp4"]);
    let entry = |seconds: f64| json!({"duration": seconds, "subset": "validation", "annotations": []});
    fs::write(bench.at("m.json"), json!({"database": {"a": entry(2.5), "b": entry(60.0)}}).to_string()).unwrap();
    bench.extracted("Archery/v_a.mp4", 77);
    bench.extracted("Archery/v_b.mp4", 299);
    bench.run(&["--manifest", "m.json", "annotations"]).expect(
        3,
        &[
            "frames: 2 from features",
            "wrong duration Archery/v_b.mp4: is 10.0 s long; the manifest says 60.0 s",
            "next: ",
        ],
    );
}

#[test]
fn of_several_files_the_one_without_a_problem_is_used() {
    let bench = Bench::new(&["Archery/v_a.mkv", "Archery/v_a.mp4"]);
    let manifest = json!({"database": {"a": {"duration": 2.5, "subset": "validation", "annotations": []}}});
    fs::write(bench.at("m.json"), manifest.to_string()).unwrap();
    bench.extracted("Archery/v_a.mkv", 70);
    bench.extracted("Archery/v_a.mp4", 77);
    let frames = || serde_json::from_str::<Value>(&annotations(&bench)[1]).unwrap()["v_a"]["feature_frame"].clone();
    let says = "note: one video has several files; used Archery/v_a.mkv, not Archery/v_a.mp4";
    bench.run(&["--manifest", "m.json", "annotations"]).expect(0, &[says]);
    assert_eq!(frames(), 70);
    let name = VideoName::new("Archery/v_a.mkv").unwrap();
    let stamp = SourceStamp::read(&bench.at("data/Archery/v_a.mkv")).unwrap();
    let cut = Verdict::Corrupt { reason: "it is cut".into() };
    store_check(&bench.at("out/.reeldeck/probe-cache"), &VideoFile { name, stamp }, cut);
    let says = "note: one video has several files; used Archery/v_a.mp4, not Archery/v_a.mkv";
    bench.run(&["--manifest", "m.json", "annotations"]).expect(0, &[says]);
    assert_eq!(frames(), 77);
}
