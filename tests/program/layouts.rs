//! Datasets in every layout, through all commands.

use std::fs;

use crate::support::{Bench, Ran};

fn both(ran: &Ran) -> String {
    format!("{}{}", ran.stdout, ran.stderr)
}

#[track_caller]
fn expect(ran: &Ran, code: i32, says: &[&str]) {
    let all = both(ran);
    assert_eq!(ran.code, code, "{all}");
    for text in says {
        assert!(all.contains(text), "{text:?} is missing in:\n{all}");
    }
}

#[test]
fn every_layout_works_through_all_commands() {
    for (videos, place) in [
        (["v_a.mp4", "v_b.mkv", "v_c.mp4"], "3 videos directly in the folder"),
        (["train/Archery/v_a.mp4", "train/Sailing/v_b.mkv", "val/Archery/v_c.mp4"], "3 videos in 2 classes"),
        (["test/v_c.mp4", "validation/v_a.mp4", "validation/v_b.mkv"], "3 videos without class folders"),
    ] {
        let bench = Bench::new(&videos.map(|video| (video, "ok")));
        let manifest = r#"{"database": {
            "a": {"duration": 5, "subset": "training", "annotations": [{"label": "Archery", "segment": [1, 2]}]},
            "b": {"duration": 5, "subset": "validation", "annotations": [{"label": "Sailing", "segment": [1, 2]}]},
            "gone": {"duration": 5, "subset": "validation", "annotations": [{"label": "Sailing", "segment": [1, 2]}]}}}"#;
        fs::write(bench.path("m.json"), manifest).unwrap();
        expect(&bench.run(&["scan"]), 0, &[place, "0 refused"]);
        expect(&bench.run(&["--manifest", "m.json", "scan"]), 3, &["missing gone (Sailing, validation)", "unlisted "]);
        let missing = bench.run(&["--manifest", "m.json", "missing"]);
        expect(&missing, 3, &["1 of 3 videos"]);
        assert_eq!(fs::read_to_string(bench.path("out/missing/request.txt")).unwrap(), "gone,Sailing\n");

        expect(&bench.run(&["--batch"]), 0, &["3 done (3 now, 0 before)"]);
        for video in videos {
            assert!(bench.files_of(video).is_file(), "{video}");
        }
        let list: String = videos.iter().map(|video| format!("{video} -1\n")).collect();
        assert_eq!(fs::read_to_string(bench.path("out/hacs_data.txt")).unwrap(), list);
        assert_eq!(fs::read_to_string(bench.export("hacs_data.txt")).unwrap(), list);
        // Nothing is done twice, and a failure is found again.
        expect(&bench.run(&["--batch"]), 0, &["3 done (0 now, 3 before)"]);
        bench.video(videos[0], "fail corrupt");
        expect(&bench.run(&["--batch", "--redo-stale"]), 3, &["2 done", "1 failed"]);
        assert_eq!(bench.failure(videos[0])["video"], videos[0]);
        expect(&bench.run(&["--batch"]), 3, &["2 done (0 now, 2 before), 1 failed"]);
        bench.video(videos[0], "ok now");
        expect(&bench.run(&["--batch", "--redo-stale"]), 0, &["3 done (1 now, 2 before)"]);

        expect(&bench.run(&["export", "--format", "npy,pkl"]), 0, &[]);
        // The clips of the fake worker differ, although they are of the same frames; that is the only finding.
        expect(&bench.run(&["verify"]), 3, &["checked 3 features", "wrong, repeated: "]);
        let exported = bench.export("npy");
        assert!(exported.join("v_a.npy").is_file() && exported.join("v_b.npy").is_file());
        for other in [exported, bench.export("result.pkl")] {
            let says = ["compared 3 features", "3 bit-identical"];
            expect(&bench.run(&["verify", "--against", other.to_str().unwrap()]), 3, &says);
        }
        expect(&bench.run(&["--manifest", "m.json", "annotations"]), 3, &["frames: 2 from features"]);
    }
}

#[test]
fn two_videos_with_one_file_name_are_both_named_and_both_extracted() {
    let bench = Bench::new(&[("train/A/v_1.mp4", "ok"), ("val/A/v_1.mp4", "other")]);
    expect(&bench.run(&["--batch"]), 0, &["\"v_1\" (train/A/v_1.mp4, val/A/v_1.mp4)", "2 done"]);
    let ran = bench.run(&["export", "--format", "npy"]);
    expect(&ran, 3, &["val/A/v_1.mp4: train/A/v_1.mp4 has the same file name and another feature"]);
}

#[test]
fn an_unclear_layout_names_the_setting() {
    let bench = Bench::new(&[("hacs/A/v_1.mp4", "ok"), ("more/deep/B/v_2.mp4", "ok")]);
    let says = ["not clear which folders are classes", "set `[scan] layout = \"any\"`"];
    expect(&bench.run(&["scan"]), 4, &says);
    expect(&bench.run(&["--batch"]), 4, &says);
    assert!(!bench.path("out").exists());
    bench.configure("[scan]\nlayout = \"any\"\n");
    expect(&bench.run(&["--batch"]), 0, &["2 videos in 2 classes; 0 refused", "2 done"]);
    bench.configure("[scan]\nlayout = \"deep\"\n");
    expect(&bench.run(&["scan"]), 2, &["unknown variant `deep`"]);
}

#[test]
fn incomplete_downloads_are_reported_and_not_extracted() {
    let bench =
        Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.f137.mp4", "ok"), ("A/v_3.mp4", "ok"), ("A/v_3.mp4.aria2", "")]);
    let says = [
        "incomplete A/v_2.f137.mp4\n",
        "incomplete A/v_3.mp4\n",
        "3 incomplete downloads",
        "let the downloader finish",
    ];
    expect(&bench.run(&["scan"]), 0, &says);
    expect(&bench.run(&["--batch"]), 0, &["incomplete A/v_3.mp4\n", "1 done"]);
    let json: serde_json::Value = serde_json::from_str(&bench.run(&["scan", "--json"]).stdout).unwrap();
    assert_eq!(json["incomplete"], serde_json::json!(["A/v_2.f137.mp4", "A/v_3.mp4", "A/v_3.mp4.aria2"]));
    assert_eq!(json["layout"], "classes");
}

#[test]
fn impossible_segments_are_named_and_counted() {
    let bench = Bench::new(&[("A/v_a.mp4", "ok")]);
    let manifest = r#"{"database": {"a": {"duration": 3, "subset": "training", "annotations": [
        {"label": "A", "segment": [2.0, 1.0]}, {"label": "A", "segment": [1.0, 9.5]}, {"label": "A", "segment": [1, 1]},
        {"label": "A", "segment": [0.0, 1.0]}, {"label": "A", "segment": [0.0, 1.0]}]}}}"#;
    fs::write(bench.path("m.json"), manifest).unwrap();
    let says = [
        "segment a (A): [2.0, 1.0] ends before it begins",
        "segment a (A): [1.0, 9.5] extends beyond the video, which is 3.0 s",
        "4 segments of 1 video are invalid: 1 empty, 1 inverted, 1 outside of the video, 1 overlapping",
    ];
    expect(&bench.run(&["--manifest", "m.json", "scan"]), 0, &says);
    expect(&bench.run(&["--manifest", "m.json", "annotations"]), 3, &says);
    let ran = bench.run(&["--manifest", "m.json", "scan", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        json["odd_segments"]["counts"],
        serde_json::json!({"empty": 1, "inverted": 1, "outside": 1, "overlapping": 1})
    );
    assert_eq!(json["odd_segments"]["first"][0]["segment"], serde_json::json!([2.0, 1.0]));
}
