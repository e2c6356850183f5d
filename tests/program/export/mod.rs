//! `reeldeck export`: every format, repeated exports, exports after damage and after kills.

mod damage;
mod end;
mod strided;
mod turns;

use std::fs;

use crate::support::hdf5;
use crate::support::made::Set;
use proptest::prelude::*;
use reeldeck::internals::export::hdf5::Writer;
use reeldeck::internals::export::{npy, npz};
use reeldeck_common::feature::{Feature, Matrix};
use reeldeck_pickle::results::read_results;

const VIDEOS: [&str; 4] = ["A/v_-1.mp4", "A/v_mp4x.mp4", "B c/v 3.mkv", "B c/v_é.webm"];
const IDS: [&str; 4] = ["v_-1", "v_mp4x", "v 3", "v_é"];
const ALL: &str = "pkl,csv,npy,npz,h5";

fn bits(matrix: &Matrix) -> (usize, usize, Vec<u32>) {
    (matrix.shape[0], matrix.shape[1], matrix.data.iter().map(|v| v.to_bits()).collect())
}

fn transposed(matrix: &Matrix) -> Matrix {
    let [rows, columns] = matrix.shape;
    let data = (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| matrix.data[r * columns + c]);
    Matrix { shape: [columns, rows], data: data.collect() }
}

/// A CSV file as NumPy reads it: the fields of the header, and numbers that were parsed as float64.
fn csv(text: &str) -> (Vec<String>, Matrix) {
    let mut lines = text.lines();
    let header: Vec<String> = lines.next().unwrap().split(',').map(str::to_owned).collect();
    let rows: Vec<Vec<f32>> =
        lines.map(|line| line.split(',').map(|v| v.trim().parse::<f64>().unwrap() as f32).collect()).collect();
    let shape = [rows.len(), rows[0].len()];
    (header, Matrix { shape, data: rows.concat() })
}

#[test]
fn every_format_holds_the_same_numbers_under_the_names_that_trainers_use() {
    let set = Set::of(&VIDEOS);
    set.run(&["export", "--format", ALL]).expect(0, &["exported 4 videos", "result.pkl", "/csv (4 written", "h5"]);

    let list = String::from_utf8(set.bytes("hacs_data.txt")).unwrap();
    assert_eq!(list, VIDEOS.map(|video| format!("{video} -1\n")).concat());
    let results = read_results(&set.bytes("result.pkl")).unwrap();
    let h5 = set.bytes("h5/features.hdf5");
    assert_eq!(hdf5::read(&h5).len(), 4);
    for ((video, id), result) in VIDEOS.iter().zip(IDS).zip(results) {
        let logits = set.logits(video);
        assert_eq!((result.shape, result.scores), (vec![4, 5], logits.data.clone()));
        let text = String::from_utf8(set.bytes(&format!("csv/{id}.csv"))).unwrap();
        let (header, numbers) = csv(&text);
        assert_eq!((header.join(","), bits(&numbers)), ("f0,f1,f2,f3,f4".into(), bits(&logits)));
        // As Python prints a list of floats.
        let first: Vec<String> = logits.data[..5].iter().map(|v| format!("{:?}", f64::from(*v))).collect();
        assert_eq!(text.lines().nth(1).unwrap(), first.join(", "));
        assert_eq!(bits(&npy::read(&set.bytes(&format!("npy/{id}.npy"))).unwrap()), bits(&logits));
        assert_eq!(bits(&npz::read(&set.bytes(&format!("npz/{id}.npz"))).unwrap()), bits(&logits));
        assert_eq!(hdf5::dataset(&h5, id), logits);
    }
    let csvs: Vec<String> = set.names("csv").into_iter().filter(|name| name.ends_with(".csv")).collect();
    assert_eq!(csvs, ["v 3.csv", "v_-1.csv", "v_mp4x.csv", "v_é.csv"]);
}

#[test]
fn the_manifest_of_an_export_has_its_provenance() {
    let set = Set::of(&VIDEOS[..2]);
    set.video("A/v_none.mp4");
    set.run(&["export", "--format", ALL]).expect(3, &["A/v_none.mp4: not extracted"]);
    for (folder, format) in [("", "pkl"), ("csv/", "csv"), ("npy/", "npy"), ("npz/", "npz"), ("h5/", "h5")] {
        let json = set.json(&format!("{folder}dataset.json"));
        assert_eq!(json["set"], set.layout.set());
        assert_eq!(json["recipe"]["name"], "tiny");
        assert_eq!(json["checkpoint"]["digest"], "seeded-1");
        assert_eq!(json["files"]["format"], format);
        assert_eq!(json["files"]["shape"], serde_json::json!([4, 5]));
        assert_eq!(json["clips"], serde_json::json!({ "count": 4, "length": 8, "interval": 8, "span": 57 }));
        let videos = json["videos"].as_array().unwrap();
        assert_eq!(videos.len(), 2);
        let video = &videos[1];
        assert_eq!((&video["id"], &video["video"]), (&"v_mp4x".into(), &"A/v_mp4x.mp4".into()));
        assert_eq!((video["frames"].as_u64(), video["frames_expected"].as_u64()), (Some(298), Some(300)));
        assert_eq!(video["fps_exact"], serde_json::json!([30000, 1001]));
        assert!((video["fps"].as_f64().unwrap() - 29.97).abs() < 0.001);
        assert!((video["duration_s"].as_f64().unwrap() - 298.0 * 1001.0 / 30000.0).abs() < 1e-9);
        // 298 frames leave 241 for the start of the last of four clips.
        assert!((video["clip_stride"].as_f64().unwrap() - 241.0 / 3.0).abs() < 1e-9);
        let place = match format {
            "pkl" => video["index"] == 1,
            "h5" => video["dataset"] == "v_mp4x",
            _ => video["file"] == format!("v_mp4x.{format}"),
        };
        assert!(place, "{video}");
        assert_eq!(json["missing"], serde_json::json!([{ "video": "A/v_none.mp4", "why": "not extracted" }]));
    }
    assert_eq!(set.bytes("missing.txt"), b"A/v_none.mp4\tnot extracted\n");
    let snippet = String::from_utf8(set.bytes("npy/opentad.py")).unwrap();
    assert!(snippet.contains(&format!("{}/", set.exported("npy").display())), "{snippet}");
    for name in ["csv/mmaction2_tcanet.py", "csv/mmaction2_bmn.py", "npy/actionformer.yaml", "h5/actionformer.yaml"] {
        let text = String::from_utf8(set.bytes(name)).unwrap();
        assert!(text.contains(set.layout.set()) && !text.contains("{T}") && !text.contains("{D}"), "{text}");
    }
}

#[test]
fn options_set_format_and_folder() {
    let set = Set::of(&VIDEOS);
    let args = ["export", "--format", "csv,npy,npz,h5", "--compact", "--layout", "ct", "--output", "pooled"];
    set.run(&args).expect(0, &["csv-pooled-compact", "npy-pooled-ct", "npz-pooled-ct", "h5-pooled-ct"]);
    let pooled = set.made(VIDEOS[0]).tensors.remove("pooled").unwrap();
    let text = String::from_utf8(set.bytes("csv-pooled-compact/v_-1.csv")).unwrap();
    let (header, numbers) = csv(&text);
    assert_eq!((header.len(), bits(&numbers)), (32, bits(&pooled)));
    assert!(!text.contains([' ', '+']) && !text.contains("0."), "{text}");
    let turned = bits(&transposed(&pooled));
    assert_eq!(bits(&npy::read(&set.bytes("npy-pooled-ct/v_-1.npy")).unwrap()), turned);
    assert_eq!(bits(&npz::read(&set.bytes("npz-pooled-ct/v_-1.npz")).unwrap()), turned);
    let dataset = hdf5::dataset(&set.bytes("h5-pooled-ct/features.hdf5"), "v_-1");
    assert_eq!((dataset.shape, bits(&dataset)), ([32, 4], turned));
    assert_eq!(set.json("npy-pooled-ct/dataset.json")["files"]["axes"], "ct");
    assert!(!set.exported("npy-pooled-ct/opentad.py").exists(), "OpenTAD reads clips × channels");
    set.run(&["export", "--format", "csv"]).expect(0, &["/csv (4 written"]);
    assert!(text.len() < set.made(VIDEOS[0]).tensors["pooled"].data.len() * 12);
}

/// Three levels of the hierarchy of names.
#[test]
fn an_hdf5_file_holds_fifty_thousand_datasets() {
    let mut file = std::io::Cursor::new(vec![]);
    let mut writer = Writer::new(&mut file).unwrap();
    for number in 0..50_000u16 {
        writer.add(&format!("v_{number}"), [1, 2], &[f32::from(number), -1.0]).unwrap();
    }
    writer.finish().unwrap();
    let datasets = hdf5::read(file.get_ref());
    assert!(datasets.is_sorted_by(|a, b| a.0 < b.0) && datasets.len() == 50_000);
    for (name, matrix) in datasets {
        let number: f32 = name[2..].parse().unwrap();
        assert_eq!(matrix, Matrix { shape: [1, 2], data: vec![number, -1.0] });
    }
    let mut empty = std::io::Cursor::new(vec![]);
    Writer::new(&mut empty).unwrap().finish().unwrap();
    assert!(hdf5::read(empty.get_ref()).is_empty());
}

#[test]
fn contradictory_options_are_refused_before_anything_is_written() {
    let set = Set::of(&VIDEOS);
    for (args, says) in [
        (&["--format", "npy", "--compact"][..], "--compact applies only to csv"),
        (&["--format", "pkl,csv", "--layout", "ct"], "--layout applies only to npy, npz and h5"),
        (&["--output", "pooled"], "result.pkl contains only logits"),
        (&["--format", "mat"], "possible values: pkl, csv, npy, npz, h5"),
    ] {
        set.run(&[&["export"], args].concat()).expect(2, &[says]);
    }
    fs::write(set.at("tiny.toml"), crate::support::made::recipe().replace(", \"pooled\"", "")).unwrap();
    set.run(&["export", "--format", "npy", "--output", "pooled"]).expect(2, &["does not store pooled"]);
    assert!(!set.layout.exports().exists());
}

#[test]
fn an_incremental_export_rewrites_only_changes() {
    let set = Set::of(&VIDEOS);
    set.run(&["export", "--format", ALL]).expect(0, &["/csv (4 written"]);
    let stamp = |file: &str| fs::metadata(set.exported(file)).unwrap().modified().unwrap();
    let files = ["result.pkl", "h5/features.hdf5", "csv/v_-1.csv", "npy/v_-1.npy", "npz/v_é.npz"];
    let before = files.map(stamp);
    let again = set.run(&["export", "--format", ALL]).expect(0, &[]);
    assert_eq!(again.out.matches("(0 written, 0 B").count(), 5, "{}", again.out);
    assert_eq!(files.map(stamp), before);

    // A feature was damaged after the export: it is detected, although the exported file is still correct.
    let path = set.layout.features().join("B c/v_é.webm.safetensors");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() - 200] ^= 1;
    fs::write(&path, damaged).unwrap();
    set.run(&["export", "--format", "pkl,npy"])
        .expect(3, &["exported 3 videos", "match its checksum", "1 old one removed"]);
    fs::write(&path, whole).unwrap();
    set.run(&["export", "--format", ALL]).expect(0, &["result.pkl (4 written", "/npy (1 written"]);

    // One feature was changed, one exported file truncated, one replaced, one removed.
    set.feature("A/v_mp4x.mp4", |feature| feature.tensors.get_mut("logits").unwrap().data[7] = 99.0);
    fs::File::options().write(true).open(set.exported("csv/v_-1.csv")).unwrap().set_len(10).unwrap();
    fs::write(set.exported("csv/v 3.csv"), "f0\n1\n").unwrap();
    fs::remove_file(set.exported("npy/v_é.npy")).unwrap();
    let ran =
        set.run(&["export", "--format", ALL]).expect(0, &["/csv (3 written", "/npy (2 written", "/npz (1 written"]);
    assert!(ran.out.contains("result.pkl (4 written") && ran.out.contains("features.hdf5 (4 written"), "{}", ran.out);
    assert_eq!(npy::read(&set.bytes("npy/v_mp4x.npy")).unwrap().data[7], 99.0);
    assert_eq!(read_results(&set.bytes("result.pkl")).unwrap()[1].scores[7], 99.0);
    for (video, id) in [(VIDEOS[0], "v_-1"), (VIDEOS[2], "v 3")] {
        let text = String::from_utf8(set.bytes(&format!("csv/{id}.csv"))).unwrap();
        assert_eq!(bits(&csv(&text).1), bits(&set.logits(video)));
    }

    // The files of a removed video are removed; files of others are kept.
    fs::remove_file(set.at("data/A/v_-1.mp4")).unwrap();
    fs::write(set.exported("npy/notes.npy"), "mine").unwrap();
    set.run(&["export", "--format", "npy"]).expect(0, &["exported 3 videos", "0 written", "1 old one removed"]);
    assert!(!set.exported("npy/v_-1.npy").exists() && set.exported("npy/notes.npy").exists());
}

#[test]
fn only_unusable_features_are_left_out_and_named() {
    let set = Set::of(&VIDEOS);
    for video in
        ["C/cut.mp4", "C/flipped.mp4", "C/foreign.mp4", "C/narrow.mp4", "C/stale.mp4", "C/swapped.mp4", "C/failed.mp4"]
    {
        set.video(video);
        set.feature(video, |_| {});
    }
    let path = |name: &str| set.layout.features().join(format!("C/{name}.mp4.safetensors"));
    let size = fs::metadata(path("cut")).unwrap().len();
    fs::File::options().write(true).open(path("cut")).unwrap().set_len(size / 2).unwrap();
    let mut bytes = fs::read(path("flipped")).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(path("flipped"), bytes).unwrap();
    fs::write(path("foreign"), "\u{1b}[2J not a feature").unwrap();
    set.feature("C/narrow.mp4", |feature| {
        feature.tensors.insert("logits".into(), Matrix { shape: [4, 4], data: vec![0.0; 16] });
    });
    set.video("C/stale.mp4");
    fs::copy(set.layout.features().join("A/v_-1.mp4.safetensors"), path("swapped")).unwrap();
    fs::remove_file(path("failed")).unwrap();
    fs::create_dir_all(set.layout.failures().join("C")).unwrap();
    fs::write(set.layout.failures().join("C/failed.mp4.json"), "{}").unwrap();

    let ran = set.run(&["-v", "export", "--format", ALL]).expect(
        3,
        &[
            "C/cut.mp4: ",
            "C/flipped.mp4: ",
            "its content does not match its checksum",
            "C/foreign.mp4: ",
            "C/narrow.mp4: its feature has no logits of the right shape",
            "C/stale.mp4: stale: the video has changed since",
            "C/swapped.mp4: its feature is of A/v_-1.mp4",
            "C/failed.mp4: failed",
            "7 videos were left out",
        ],
    );
    assert_eq!(ran.out.matches("exported 4 videos").count(), 5, "{}", ran.out);
    assert_eq!(set.names("npy").iter().filter(|name| name.ends_with(".npy")).count(), 4);
    assert_eq!(set.json("h5/dataset.json")["missing"].as_array().unwrap().len(), 7);
    assert_eq!(String::from_utf8(set.bytes("hacs_data.txt")).unwrap().lines().count(), 4);
}

#[test]
fn without_any_feature_nothing_is_written_and_an_old_export_stays() {
    let set = Set::of(&["A/v_1.mp4"]);
    set.run(&["export", "--format", ALL]).expect(0, &[]);
    let before = set.bytes("result.pkl");
    set.video("A/v_1.mp4");
    set.run(&["export", "--format", ALL]).expect(4, &["A/v_1.mp4: stale"]);
    assert_eq!(set.bytes("result.pkl"), before);
    assert!(set.exported("npy/v_1.npy").exists());
}

#[test]
fn a_damaged_feature_is_not_taken_for_one_that_differs() {
    let set = Set::of(&["A/v_1.mp4", "A/v_2.mp4", "B/v_1.mp4"]);
    let path = set.layout.feature(&reeldeck_common::video::VideoName::new("A/v_1.mp4").unwrap());
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let says = "B/v_1.mp4: A/v_1.mp4 has the same file name, and the two cannot be compared (";
    let ran = set.run(&["export", "--format", "csv"]).expect(3, &[says, "does not match its checksum"]);
    assert!(!ran.err.contains("another feature"), "{ran:?}");
}

#[test]
fn videos_of_one_name_share_an_export_if_their_features_are_equal() {
    let set = Set::of(&["A/v_1.mp4", "B/v_1.mp4", "B/v_2.mp4", "C/v_2.webm"]);
    let numbers = set.made("A/v_1.mp4").tensors;
    set.feature("B/v_1.mp4", |feature| feature.tensors = numbers);
    set.run(&["export", "--format", "csv,h5"]).expect(
        3,
        &[
            "exported 3 videos",
            "C/v_2.webm: B/v_2.mp4 has the same file name and another feature",
            "1 video was left out",
        ],
    );
    for folder in ["csv", "h5"] {
        let json = set.json(&format!("{folder}/dataset.json"));
        assert_eq!(json["same"], serde_json::json!([{ "video": "B/v_1.mp4", "same_as": "A/v_1.mp4" }]));
        assert_eq!(json["videos"].as_array().unwrap().len(), 2);
    }
    // Names do not matter for access by position.
    set.run(&["export"]).expect(0, &["exported 4 videos"]);
}

#[test]
fn a_dry_run_reports_the_work_and_writes_nothing() {
    let set = Set::of(&VIDEOS);
    set.run(&["export", "--format", "csv,npy", "--dry-run"])
        .expect(0, &["would export 4 videos as csv", "4 to write, 0 there", "left in"]);
    assert!(!set.layout.exports().exists());
}

#[test]
fn an_unwritable_export_names_the_path_and_the_next_step() {
    let set = Set::of(&VIDEOS);
    fs::create_dir_all(set.layout.exports()).unwrap();
    fs::write(set.exported("csv"), "in the way").unwrap();
    set.run(&["export", "--format", "csv"]).expect(1, &["failed to write to", "/csv; check space and permissions"]);
    assert_eq!(set.bytes("csv"), b"in the way");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Every format preserves all floats, also those that no network computes.
    #[test]
    fn any_numbers_survive_every_format(numbers in proptest::collection::vec(any::<u32>(), 20)) {
        let set = Set::new();
        set.video("A/v_1.mp4");
        let data: Vec<f32> = numbers.iter().map(|b| f32::from_bits(*b)).map(|v| if v.is_nan() { f32::NAN } else { v }).collect();
        let matrix = Matrix { shape: [4, 5], data };
        let path = set.feature("A/v_1.mp4", |feature| drop(feature.tensors.insert("logits".into(), matrix.clone())));
        prop_assert_eq!(bits(&Feature::read(&path).unwrap().tensors["logits"]), bits(&matrix));
        set.run(&["export", "--format", ALL]).expect(0, &[]);
        set.run(&["export", "--format", "csv", "--compact"]).expect(0, &[]);
        for folder in ["csv", "csv-compact"] {
            let text = String::from_utf8(set.bytes(&format!("{folder}/v_1.csv"))).unwrap();
            prop_assert_eq!(bits(&csv(&text).1), bits(&matrix));
        }
        prop_assert_eq!(bits(&npy::read(&set.bytes("npy/v_1.npy")).unwrap()), bits(&matrix));
        prop_assert_eq!(bits(&npz::read(&set.bytes("npz/v_1.npz")).unwrap()), bits(&matrix));
        let result = read_results(&set.bytes("result.pkl")).unwrap().remove(0);
        prop_assert_eq!(bits(&Matrix { shape: [4, 5], data: result.scores }), bits(&matrix));
        prop_assert_eq!(bits(&hdf5::dataset(&set.bytes("h5/features.hdf5"), "v_1")), bits(&matrix));
    }
}
