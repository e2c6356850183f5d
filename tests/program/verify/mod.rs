//! `reeldeck verify`: it finds, names and lists every fault, and tolerates files that are not its own.

mod again;
mod shared;

use std::fs;

use crate::support::made::Set;
use reeldeck_common::feature::{Feature, FrameCounts, Matrix};
use reeldeck_common::video::VideoName;

const VIDEOS: [&str; 4] = ["A/v_-1.mp4", "A/v_mp4x.mp4", "B c/v 3.mkv", "B c/v_é.webm"];

fn logits(feature: &mut Feature) -> &mut Matrix {
    feature.tensors.get_mut("logits").unwrap()
}

/// Video and kind of each finding, from the file of all findings.
fn findings(set: &Set) -> Vec<(String, String)> {
    let text = String::from_utf8(set.bytes("verify/findings.tsv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("video\tkind\ttext"));
    lines.map(|line| line.split('\t').map(str::to_owned)).map(|mut f| (f.next().unwrap(), f.next().unwrap())).collect()
}

fn retry(set: &Set) -> Vec<String> {
    String::from_utf8(set.bytes("verify/retry.txt")).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn healthy_features_pass() {
    let set = Set::of(&VIDEOS);
    let ran = set.run(&["verify"]).expect(0, &["checked 4 features of tiny-", "0 wrong", "(seeded: "]);
    assert!(!ran.err.contains("wrong") && !ran.err.contains("note"), "{ran:?}");
    assert_eq!(findings(&set), []);
    assert_eq!(set.names("verify"), ["complete.json", "findings.tsv"]);
}

#[test]
fn every_fault_is_reported_and_listed_for_retry() {
    let set = Set::of(&VIDEOS);
    type Fault = (&'static str, &'static str, fn(&mut Feature));
    let faults: [Fault; 7] = [
        ("C/constant.mp4", "constant", |f| logits(f).data[5..10].fill(0.25)),
        ("C/lacking.mp4", "shape", |f| drop(f.tensors.remove("pooled"))),
        ("C/nan.mp4", "not-finite", |f| logits(f).data[7] = f32::NAN),
        ("C/narrow.mp4", "shape", |f| {
            let matrix = logits(f);
            (matrix.shape, matrix.data) = ([4, 4], (0..16).map(|i| i as f32).collect());
        }),
        ("C/frozen.mp4", "repeated", |f| {
            for matrix in f.tensors.values_mut() {
                let columns = matrix.shape[1];
                matrix.data.copy_within(0..columns, columns);
                matrix.data.copy_within(0..columns, 2 * columns);
            }
        }),
        // Shorter than a clip: all clips have the same frames.
        ("C/short.mp4", "repeated", |f| f.provenance.frames = FrameCounts { expected: 30, output: 30, concealed: 0 }),
        ("C/recipe.mp4", "foreign", |f| f.provenance.recipe.sampling.interval = 4),
    ];
    for (video, _, change) in faults {
        set.video(video);
        set.feature(video, change);
    }
    for video in ["D/cut.mp4", "D/flipped.mp4", "D/stale.mp4", "D/swapped.mp4"] {
        set.video(video);
        set.feature(video, |_| {});
    }
    let path = |video: &str| set.layout.feature(&VideoName::new(video).unwrap());
    let whole = fs::read(path("D/cut.mp4")).unwrap();
    fs::write(path("D/cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    let mut bytes = fs::read(path("D/flipped.mp4")).unwrap();
    let last = bytes.len() - 9;
    bytes[last] ^= 4;
    fs::write(path("D/flipped.mp4"), bytes).unwrap();
    set.video("D/stale.mp4");
    fs::copy(path(VIDEOS[0]), path("D/swapped.mp4")).unwrap();

    let ran = set.run(&["verify"]).expect(
        3,
        &[
            "wrong, not-finite: C/nan.mp4: 1 of its logits are NaN or infinite, the first in clip 1",
            "wrong, shape: C/lacking.mp4: its feature has no pooled of the right shape",
            "wrong, damaged: D/flipped.mp4",
            "its content does not match its checksum",
            "wrong, stale: D/stale.mp4: the video has changed since",
            "wrong, foreign: D/swapped.mp4: its feature is of A/v_-1.mp4",
            "and both are of the same frames",
            "checked 15 features",
            "11 wrong",
        ],
    );
    assert!(!VIDEOS.iter().any(|video| ran.err.contains(&format!("wrong, damaged: {video}"))), "{ran:?}");
    let mut expected: Vec<(String, String)> = faults.iter().map(|(v, k, _)| (v.to_string(), k.to_string())).collect();
    for (name, kind) in [("cut", "damaged"), ("flipped", "damaged"), ("stale", "stale"), ("swapped", "foreign")] {
        expected.push((format!("D/{name}.mp4"), kind.into()));
    }
    let mut found = findings(&set);
    found.retain(|(_, kind)| kind != "note");
    found.dedup();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let mut videos: Vec<String> = expected.into_iter().map(|(video, _)| video).collect();
    videos.dedup();
    assert_eq!(retry(&set), videos);

    // After the repair, nothing is left to retry.
    for video in &videos {
        set.feature(video, |_| {});
    }
    set.run(&["verify"]).expect(0, &["0 wrong"]);
    assert!(!set.exported("verify/retry.txt").exists());
}

#[test]
fn a_feature_that_cannot_be_read_is_not_removed() {
    let set = Set::of(&VIDEOS);
    let path = set.layout.feature(&VideoName::new(VIDEOS[0]).unwrap());
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    // A link to itself cannot be opened by any user.
    std::os::unix::fs::symlink(&path, &path).unwrap();
    set.run(&["verify"]).expect(3, &["1 wrong", "unreadable"]);
    assert!(!set.exported("verify/retry.txt").exists());
    let list = set.layout.out().join("list.txt");
    fs::write(&list, VIDEOS[0]).unwrap();
    set.run(&["retry", "--list", list.to_str().unwrap()]).expect(1, &["may be whole", "nothing was removed"]);
    assert!(path.symlink_metadata().is_ok());
}

#[test]
fn retry_with_a_list_queues_videos_for_the_next_run() {
    let set = Set::of(&VIDEOS);
    let path = |video: &str| set.layout.feature(&VideoName::new(video).unwrap());
    set.feature(VIDEOS[0], |f| logits(f).data[7] = f32::NAN);
    let list = set.exported("verify/retry.txt");
    let list = list.to_str().unwrap();
    set.run(&["retry", "--list", list]).expect(2, &["name the retry.txt that verify wrote"]);
    set.run(&["verify"]).expect(3, &["1 wrong", "pass it to `reeldeck retry --list`"]);
    set.run(&["retry", "--list", list, "--dry-run"]).expect(0, &["1 video would be extracted"]);
    assert!(path(VIDEOS[0]).exists());
    set.run(&["retry", "--list", list]).expect(0, &["1 video will be extracted", "1 again, 0 that failed, 0 that"]);
    assert!(!path(VIDEOS[0]).exists() && VIDEOS[1..].iter().all(|video| path(video).exists()));
    set.run(&["retry", "--list", list]).expect(0, &["0 again, 0 that failed, 1 that have no feature yet"]);
    set.run(&["verify"]).expect(3, &["checked 3 features", "0 wrong"]);
    // With line ends of another system. Nothing is removed if a line is not a video.
    let edited = format!("\u{feff}{}\r\n\r\n{}\r\n", VIDEOS[1], VIDEOS[1]);
    fs::write(set.layout.out().join("edited.txt"), format!("{edited}../../x\n")).unwrap();
    let list = set.layout.out().join("edited.txt");
    let list = list.to_str().unwrap();
    set.run(&["retry", "--list", list]).expect(2, &["edited.txt, line 4"]);
    assert!(path(VIDEOS[1]).exists());
    fs::write(list, edited).unwrap();
    set.run(&["retry", "--list", list]).expect(0, &["1 video will be extracted"]);
    assert!(!path(VIDEOS[1]).exists());
}

#[test]
fn retry_keeps_the_feature_of_a_missing_video() {
    let set = Set::of(&VIDEOS);
    let path = |video: &str| set.layout.feature(&VideoName::new(video).unwrap());
    fs::remove_file(set.at("data").join(VIDEOS[0])).unwrap();
    fs::write(set.at("list.txt"), format!("{}\n{}\n", VIDEOS[0], VIDEOS[1])).unwrap();
    let list = set.at("list.txt");
    let list = list.to_str().unwrap();
    let err = set.run(&["retry", "--list", list]).expect(3, &["1 video will be extracted", "1 again"]).err;
    assert!(err.ends_with("its features and failure files are kept:\n  A/v_-1.mp4\n"), "{err}");
    assert!(path(VIDEOS[0]).exists() && !path(VIDEOS[1]).exists());
    // A list in another format names no video.
    fs::write(list, format!("{} -1\n", VIDEOS[2])).unwrap();
    set.run(&["retry", "--list", list]).expect(2, &["is a video of", "write each path from that folder on"]);
    assert!(path(VIDEOS[2]).exists());
}

#[test]
fn features_of_an_older_recipe_are_not_exported_and_verify_reports_them() {
    let set = Set::of(&VIDEOS);
    let other = crate::support::made::recipe().replace("interval = 8", "interval = 4");
    fs::write(set.at("tiny.toml"), other).unwrap();
    set.run(&["export"]).expect(2, &["the recipe tiny has changed since", set.layout.set()]);
    assert!(!set.layout.exports().exists());
    fs::write(set.at("list.txt"), VIDEOS[0]).unwrap();
    set.run(&["retry", "--list", set.at("list.txt").to_str().unwrap()]).expect(2, &["the recipe tiny has changed"]);
    set.run(&["verify"]).expect(3, &["wrong, foreign: A/v_-1.mp4: the recipe tiny has changed since", "4 wrong"]);
    // If there is a set of the current recipe, the other set is not considered.
    fs::write(set.at("tiny.toml"), crate::support::made::recipe()).unwrap();
    let foreign = set.layout.features().with_file_name("tiny-00000000");
    fs::create_dir_all(foreign.join("A")).unwrap();
    let mut feature = set.made(VIDEOS[0]);
    feature.provenance.set = "tiny-00000000".into();
    feature.write(&foreign.join("A/v_-1.mp4.safetensors"), &set.owner).unwrap();
    set.run(&["export"]).expect(0, &["exported 4 videos", set.layout.set(), "seeded weights"]);
}

#[test]
fn notes_are_not_faults() {
    let set = Set::of(&VIDEOS);
    set.feature(VIDEOS[1], |feature| {
        let matrix = logits(feature);
        matrix.data.copy_within(0..5, 5);
    });
    let numbers = set.made(VIDEOS[2]).tensors;
    set.feature(VIDEOS[3], |feature| feature.tensors = numbers);
    fs::remove_file(set.at("data").join(VIDEOS[0])).unwrap();
    fs::write(set.layout.features().join("A/notes.txt"), "mine").unwrap();
    set.run(&["verify"]).expect(
        0,
        &[
            "note: A/v_mp4x.mp4: 1 clip with the logits of the clip before, although their frames differ",
            "note: B c/v_é.webm: same features as B c/v 3.mkv",
            "1 feature is of a video that is not in the dataset folder",
            "1 file in the feature folder is not a feature",
        ],
    );
    set.video("A/new.mp4");
    set.run(&["verify"]).expect(3, &["1 video of the dataset has no feature", "0 wrong"]);
    assert!(!set.exported("verify/retry.txt").exists());
}

#[test]
fn verify_without_features_and_dry_runs_write_nothing() {
    let set = Set::new();
    set.video("A/v.mp4");
    set.run(&["verify"]).expect(4, &["no features in"]);
    set.feature("A/v.mp4", |feature| logits(feature).data[0] = f32::NAN);
    set.run(&["verify", "--dry-run"]).expect(3, &["A/v.mp4: 1 of its logits"]);
    assert!(!set.layout.exports().exists());
}

#[test]
fn verify_against_our_exports_is_bit_exact_and_names_differences() {
    let set = Set::of(&VIDEOS);
    set.run(&["export", "--format", "pkl,csv,npy,npz"]).expect(0, &[]);
    set.run(&["export", "--format", "npy", "--layout", "ct"]).expect(0, &[]);
    set.run(&["export", "--format", "csv", "--compact", "--output", "pooled"]).expect(0, &[]);
    let features = set.layout.features().to_str().unwrap().to_owned();
    let exports = ["result.pkl", "csv", "npy", "npz", "npy-ct", "csv-pooled-compact"];
    let exports = exports.map(|name| set.exported(name).to_str().unwrap().to_owned());
    for other in exports.iter().chain([&features]) {
        set.run(&["verify", "--against", other])
            .expect(0, &["compared 4 features", "4 within 2.0e-4, 4 bit-identical; max 0.00e0"]);
    }

    // Only differences above the tolerance are errors.
    set.feature(VIDEOS[1], |feature| logits(feature).data[12] += 1e-4);
    set.feature(VIDEOS[2], |feature| {
        logits(feature).data[6] += 0.5;
        logits(feature).data[17] -= 0.25;
    });
    let says = "B c/v 3.mkv: max 5.00e-1, mean 3.75e-2, relative L2";
    for other in &exports[..5] {
        let ran = set
            .run(&["verify", "--against", other])
            .expect(3, &[says, "worst clips 1 (5.0e-1) 3 (2.5e-1)", "3 within"]);
        assert!(ran.err.contains("wrong, against: B c/v 3.mkv: it differs from the reference"), "{ran:?}");
        assert_eq!(retry(&set), ["B c/v 3.mkv"]);
        let table = String::from_utf8(set.bytes("verify/against.tsv")).unwrap();
        assert_eq!(table.lines().count(), 5, "{table}");
        assert!(table.contains("B c/v 3.mkv\t5e-1\t"), "{table}");
    }
    set.run(&["verify", "--against", &exports[0], "--tolerance", "0.5"])
        .expect(0, &["4 within 5.0e-1, 2 bit-identical"]);
    set.run(&["verify"]).expect(0, &[]);
    assert!(!set.exported("verify/against.tsv").exists(), "an older comparison is not taken for this one's");
    // A file that is not there is counted, and one that cannot be read is an error.
    let file = set.exported("npy/v 3.npy");
    fs::remove_file(&file).unwrap();
    let args = ["verify", "--against", &exports[2], "--tolerance", "0.5"];
    set.run(&args).expect(0, &["compared 3 features", "1 feature has nothing to compare with there"]);
    fs::create_dir(&file).unwrap();
    let ran = set.run(&args).expect(3, &["compared 3 features"]);
    assert!(ran.err.contains("wrong, not-compared: B c/v 3.mkv") && ran.err.contains("v 3.npy"), "{ran:?}");
}

/// A matrix as numpy pickles an array, without the end of the pickle.
fn pickled(matrix: &Matrix) -> Vec<u8> {
    let [rows, columns] = matrix.shape;
    let head = format!(
        "cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I{rows}\nI{columns}\ntcnumpy\ndtype\n(\
         S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
    );
    let bytes: Vec<u8> = matrix.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    [head.as_bytes(), b"B", &(bytes.len() as u32).to_le_bytes(), &bytes, b"tb"].concat()
}

#[test]
fn arrays_by_name_and_by_id_are_compared() {
    let set = Set::of(&VIDEOS);
    let path = set.at("features.pkl");
    let write = |names: &[&str], change: &dyn Fn(&mut Matrix)| {
        let mut bytes = b"\x80\x03}(".to_vec();
        for (name, video) in names.iter().zip(VIDEOS) {
            let mut matrix = set.logits(video);
            change(&mut matrix);
            bytes.push(b'X');
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend(name.bytes());
            bytes.extend(pickled(&matrix));
        }
        bytes.extend(b"u.");
        fs::write(&path, bytes).unwrap();
    };
    let args = ["verify", "--against", path.to_str().unwrap()];
    for names in [["A/v_-1.mp4", "v_mp4x.mp4", "v 3", "é"], VIDEOS] {
        write(&names, &|_| {});
        set.run(&args).expect(0, &["compared 4 features", "4 bit-identical"]);
    }
    write(&VIDEOS, &|matrix| {
        matrix.shape[0] -= 1;
        matrix.data.truncate(matrix.shape[0] * matrix.shape[1]);
    });
    set.run(&args).expect(3, &["theirs has 3 rows, ours 4: a different sampling"]);
    // A list of arrays needs the list of videos.
    let mut bytes = b"\x80\x03](".to_vec();
    VIDEOS.iter().for_each(|video| bytes.extend(pickled(&set.logits(video))));
    bytes.extend(b"e.");
    fs::write(&path, bytes).unwrap();
    set.run(&args).expect(2, &["the list of videos in the order of the results", "--list"]);
    let list: String = VIDEOS.iter().map(|video| format!("{video} -1\n")).collect();
    fs::write(set.at("hacs_data.txt"), list).unwrap();
    set.run(&args).expect(0, &["compared 4 features"]);
}

#[test]
fn a_list_maps_results_to_videos() {
    let set = Set::of(&VIDEOS);
    set.run(&["export"]).expect(0, &[]);
    let (results, list) = (set.at("result.pkl"), set.at("list.txt"));
    fs::copy(set.exported("result.pkl"), &results).unwrap();
    let results = results.to_str().unwrap();
    set.run(&["verify", "--against", results]).expect(2, &["the list of videos in the order of the results", "--list"]);
    // The other folder has videos that ours lacks, and lacks some of ours.
    let lines = ["Z/other.mp4 3", "A/v_-1.mp4 3", "B c/v 3.mkv 3", "Z/more.mp4 3"];
    fs::write(&list, lines.join("\n")).unwrap();
    let args = ["verify", "--against", results, "--list", list.to_str().unwrap()];
    set.run(&args).expect(3, &["compared 2 features"]);
    assert_eq!(retry(&set), ["A/v_-1.mp4"], "the result in its place is that of another video");
    fs::write(&list, lines[..3].join("\n")).unwrap();
    set.run(&args).expect(2, &["has 4 results", "has 3 videos"]);
    fs::write(&list, "no label\n").unwrap();
    set.run(&args).expect(2, &["list.txt", "line 1"]);
}

#[test]
fn programs_that_others_can_replace_are_not_run() {
    let set = Set::of(&VIDEOS);
    set.run(&["export", "--format", "pkl,npy"]).expect(0, &[]);
    let good = set.bytes("result.pkl");
    let list = set.exported("hacs_data.txt").to_str().unwrap().to_owned();
    let strange = |name: &str, bytes: &[u8]| {
        let path = set.at(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let hostile = format!("cos\nsystem\n(S'touch {}'\ntR.", set.at("pwned").display());
    let mut calls = b"\x80\x02](".to_vec();
    for _ in 0..4 {
        calls.extend(hostile.trim_end_matches('.').bytes());
    }
    calls.extend(b"e.");
    for (name, bytes, says) in [
        ("hostile.pkl", hostile.as_bytes(), "holds neither a list nor a dict by video"),
        ("calls.pkl", &calls, "it is neither a dict nor an array"),
        ("cut.pkl", &good[..good.len() / 2], "failed to read results from"),
        ("text.pkl", b"hello\n", "failed to read results from"),
        ("empty.pkl", b"", "failed to read results from"),
        ("huge.pkl", b"\x80\x02X\xff\xff\xff\x7fa.", "failed to read results from"),
    ] {
        let path = strange(name, bytes);
        set.run(&["verify", "--against", &path, "--list", &list]).expect(2, &[says]);
        assert!(!set.exported("verify").exists(), "{name}: nothing is written");
    }
    assert!(!set.at("pwned").exists());
    set.run(&["verify", "--against", "no/such.pkl"]).expect(2, &["failed to look at no/such.pkl"]);

    // An invalid file in the folder affects only its own comparison.
    let folder = set.at("theirs");
    fs::create_dir(&folder).unwrap();
    fs::copy(set.exported("npy/v_-1.npy"), folder.join("v_-1.npy")).unwrap();
    fs::write(folder.join("v 3.npy"), b"\x93NUMPY\x02\0\xff\xff\xff\xff").unwrap();
    fs::write(folder.join("v_csvx.csv"), "f0\n1\nx\n").unwrap();
    fs::create_dir(folder.join("B c")).unwrap();
    fs::write(folder.join("B c/v_é.csv"), "f0,f1\n1,2\n").unwrap();
    set.run(&["verify", "--against", folder.to_str().unwrap()]).expect(
        3,
        &[
            "B c/v 3.mkv: it cannot be compared: ",
            "its header claims 4294967295 bytes",
            "A/v_mp4x.mp4: it cannot be compared: ",
            "line 3 has something that is not a number",
            "its shape is 1 × 2, and ours 4 × 5",
            "compared 1 feature ",
        ],
    );
    let empty = set.at("empty");
    fs::create_dir(&empty).unwrap();
    set.run(&["verify", "--against", empty.to_str().unwrap()]).expect(2, &["nothing was compared"]);
}
