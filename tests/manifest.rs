//! What should be there against what is: `scan`, `missing` and `annotations` with a manifest, run as users run them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use reeldeck_contract::atomic::Owner;
use reeldeck_contract::feature::{CheckpointId, Feature, FrameCounts, Matrix, Provenance};
use reeldeck_contract::layout::Layout;
use reeldeck_contract::recipe::{Precision, Recipe};
use reeldeck_contract::source::SourceStamp;
use reeldeck_contract::video::VideoName;
use serde_json::{Value, json};
use tempfile::TempDir;

const HACS: &str = "HACS_segments_v1.1.1.json";

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hacs").join(name)).unwrap()
}

/// A folder to work in, with a dataset folder in it, and everything run with it as the current folder.
struct Bench(TempDir);

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Bench {
    /// The official manifest's fixture, and these videos.
    fn new(videos: &[&str]) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir(bench.at("data")).unwrap();
        fs::write(bench.at(HACS), fixture(HACS)).unwrap();
        for video in videos {
            bench.put(video, "x");
        }
        bench
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, video: &str, content: &str) {
        let path = self.at("data").join(video);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A feature of a video with so many frames, as a worker would have left it.
    fn extracted(&self, video: &str, frames: u64) {
        let name = VideoName::new(video).unwrap();
        let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let set = recipe.set_name("0123456789abcdef");
        let source = SourceStamp::read(&name.under(&self.at("data"))).unwrap();
        let feature = Feature {
            provenance: Provenance {
                format: Provenance::FORMAT,
                tool: "test".into(),
                set: set.clone(),
                recipe,
                checkpoint: CheckpointId { name: "a.pth".into(), digest: "0123456789abcdef".into(), meaningless: true },
                video: name.clone(),
                source,
                frames: FrameCounts { expected: frames + 1, output: frames, concealed: 1 },
                fps: [30, 1],
                size: [340, 256],
                precision: Precision::Fp32,
                device: "cpu".into(),
                libtorch: "0".into(),
                nvdec: false,
            },
            tensors: [("logits".into(), Matrix { shape: [1, 2], data: vec![0.0, 1.0] })].into(),
        };
        let layout = Layout::new(&self.at("out"), &set);
        layout.prepare().unwrap();
        feature.write(&layout.feature(&name), &Owner::this_process()).unwrap();
    }

    fn run(&self, args: &[&str]) -> Ran {
        finish(Command::new(env!("CARGO_BIN_EXE_reeldeck")).args(args).current_dir(self.0.path()))
    }

    /// With the official manifest.
    fn hacs(&self, args: &[&str]) -> Ran {
        self.run(&[&["--manifest", HACS], args].concat())
    }

    #[track_caller]
    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }
}

fn finish(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("what is printed is text");
    let ran = Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    for printed in [&ran.out, &ran.err] {
        assert!(!printed.contains(|c: char| c.is_control() && c != '\n'), "this steers the terminal: {printed:?}");
    }
    ran
}

impl Ran {
    #[track_caller]
    fn expect(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for text in says {
            let said = self.out.contains(text) || self.err.contains(text);
            assert!(said, "{text:?} is missing in:\n{}\n{}", self.out, self.err);
        }
        self
    }
}

const VIDEOS: [&str; 5] = [
    "Dodgeball/v_--0edUL8zmA.mp4",
    "Horseback_riding/v__a-B3xYz012.mp4",
    "Archery/v_-Zq9_k2LmNo.mp4",
    "Playing_squash/v_-Zq9_k2LmNo.mp4",
    "Anywhere/v_T3sT_v1deo-.webm",
];

#[test]
fn scan_says_what_should_be_there_and_is_not() {
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
            "duplicate -Zq9_k2LmNo: there 2 times in several classes: Archery/v_-Zq9_k2LmNo.mp4, Playing_squash/v_-Zq9_k2LmNo.mp4",
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
    // Nothing is written by a scan.
    assert!(!bench.at("out").exists());
    // Without a manifest nothing is missing; the empty file is still no video.
    let ran = bench.run(&["scan"]).expect(3, &["corrupt Tai_chi/v_kLm4NoP5qRs.mp4"]);
    assert!(!ran.out.contains("\nmissing ") && !ran.out.contains("\nduplicate "), "{}", ran.out);
}

#[test]
fn scan_tells_programs_the_same() {
    let bench = Bench::new(&VIDEOS);
    bench.put("v_flat.mp4", "x");
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
    bench.hacs(&["missing"]).expect(3, &["4 of 8 videos", "2 lines", "2 without a class", "4 addresses"]);
    assert_eq!(bench.text("out/missing/request.txt"), "v_tR5pWq8sA,Archery\nkLm4NoP5qRs,Doing_crunches\n");
    assert_eq!(bench.text("out/missing/missing_files.txt"), "v_tR5pWq8sA\nkLm4NoP5qRs\n0O_qMHxBfXg\n__-__-__-__");
    let first = bench.text("out/missing/download.txt");
    assert_eq!(first.lines().next(), Some("https://www.youtube.com/watch?v=v_tR5pWq8sA"));
    assert_eq!(first.lines().count(), 4);
    // Our own request list is a manifest of what is still missing.
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

fn annotations(bench: &Bench) -> [String; 3] {
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
fn frame_counts_are_true_where_the_original_guesses_and_stale_features_are_not_believed() {
    let bench = Bench::new(&VIDEOS);
    bench.extracted("Dodgeball/v_--0edUL8zmA.mp4", 2764);
    bench.extracted("Horseback_riding/v__a-B3xYz012.mp4", 777);
    // The second of two copies is the one that was extracted.
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
    // A feature that was cut by accident is no feature, and says so.
    let set = fs::read_dir(bench.at("out/features")).unwrap().next().unwrap().unwrap().path();
    fs::write(set.join("Dodgeball/v_--0edUL8zmA.mp4.safetensors"), "cut").unwrap();
    bench.hacs(&["annotations"]).expect(3, &["frames: 2 from features"]);
    assert!(bench.text("out/annotations/estimated.txt").contains("is not a usable feature file"));
}

#[test]
fn annotations_of_a_whole_dataset_end_well() {
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
        (cut, &[end.as_str(), "it was cut"][..]),
        (&hostile, &["line 3, column 9", "the id \"../../x\" cannot be taken", "slash"]),
        (&steering, &["line 3, column 13", "control character"]),
        (&raw, &["line 3, column 3", "control character"]),
        (&twice, &["line 5, column 13", "stands twice, first at line 2, column 13"]),
        ("", &["line 1, column 1", "it was cut"]),
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
    // No half-written file is left behind either.
    let left: Vec<_> = fs::read_dir(bench.at("out/annotations")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
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
    bench.run(&["missing"]).expect(3, &["1 of 3 videos", "1 without a class", "1 are not in download.txt"]);
    assert_eq!(bench.text("out/missing/missing_files.txt"), "4");
    for (text, says) in [
        ("1\n1\n", "line 2, column 1: the id \"1\" stands twice, first at line 1, column 1"),
        ("1\n../../x\n", "line 2, column 1: the video's name is not of the form Class/file"),
        ("1\n2 3\n", "line 2, column 2: "),
        ("1\nA/v_2.mp4\n", "does not begin with \"x\""),
        ("1\n\u{1b}[2J\n", "control character"),
        ("\n\n", "it names no video"),
    ] {
        fs::write(bench.at("list.txt"), text).unwrap();
        bench.run(&["scan"]).expect(2, &["list.txt", says]);
    }
}

/// The program with so little address space that nothing of a large file can be kept.
fn run_small(bench: &Bench, manifest: &str) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 100000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_reeldeck")]);
    finish(command.args(["--manifest", manifest, "scan"]).current_dir(bench.0.path()))
}

#[test]
fn large_and_hostile_files_take_no_memory() {
    let bench = Bench::new(&VIDEOS);
    let video = "\"a\": {\"duration\": 1, \"subset\": \"training\", \"annotations\": [";
    let write = |begin: &str, repeated: &str, end: &str| {
        let mut file = BufWriter::new(fs::File::create(bench.at("big")).unwrap());
        file.write_all(begin.as_bytes()).unwrap();
        let piece = repeated.repeat((1 << 20) / repeated.len());
        (0..130).for_each(|_| file.write_all(piece.as_bytes()).unwrap());
        file.write_all(end.as_bytes()).unwrap();
    };
    for (begin, repeated, says) in [
        ("{\"database\": {\"", "x", "64 KiB"),
        ("{\"database\": {\"a\": {\"duration\": 1", "1", "64 KiB"),
        ("{\"x\": ", "[", "64 deep"),
        (&format!("{{\"database\": {{{video}"), "{\"label\":\"a\",\"segment\":[1,2]},", "4 MiB"),
        ("", "x", "4096 bytes"),
        ("", " ", "4096 bytes"),
    ] {
        write(begin, repeated, "");
        run_small(&bench, "big").expect(2, &["big", says, "line 1, column "]);
    }
    // Much that nobody asked for is passed over.
    write("{\"x\": [", "[1, \"a\"], ", &format!("1], \"database\": {{{video}]}}}}}}"));
    run_small(&bench, "big").expect(3, &["has 1 videos"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever happens to a manifest: the program ends in order, and a bad one leaves what was there.
    #[test]
    fn the_program_survives_any_manifest(cut in 0..2000usize, at in 0..2000usize, byte: u8) {
        let bench = Bench::new(&VIDEOS);
        bench.hacs(&["missing"]).expect(3, &[]);
        let before = bench.text("out/missing/missing_files.txt");
        let mut bytes = fixture(HACS);
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut.min(bytes.len()) / 40);
        fs::write(bench.at("changed.json"), bytes).unwrap();
        let ran = bench.run(&["--manifest", "changed.json", "missing"]);
        match ran.code {
            Some(2) => {
                prop_assert!(ran.err.contains("line ") && ran.err.contains("column "), "{}", ran.err);
                prop_assert_eq!(bench.text("out/missing/missing_files.txt"), before);
            }
            code => prop_assert!(code == Some(3), "{:?} {}", code, ran.err),
        }
    }
}
