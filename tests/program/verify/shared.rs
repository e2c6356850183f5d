//! `--against` references that are at fault: one file for two videos of the same file name, and NaN.

use std::fs;

use super::{findings, retry};
use crate::support::made::Set;

#[test]
fn a_file_of_two_videos_is_compared_with_neither() {
    let set = Set::of(&["A/v_1.mp4", "A/v_2.mp4", "B/v_1.mp4"]);
    set.run(&["export", "--format", "csv"]).expect(3, &["v_1"]);
    let theirs = set.exported("csv");
    let ran = set.run(&["verify", "--against", theirs.to_str().unwrap()]);
    ran.expect(
        3,
        &[
            "A/v_1.mp4: it cannot be compared: the reference has one file for this video and for B/v_1.mp4",
            "B/v_1.mp4: it cannot be compared: the reference has one file for this video and for A/v_1.mp4",
            "compared 1 feature ",
        ],
    );
    let kind = |video: &str| (video.to_owned(), "not-compared".to_owned());
    assert_eq!(findings(&set), [kind("A/v_1.mp4"), kind("B/v_1.mp4")]);
    assert!(!set.exported("verify/retry.txt").exists(), "they may be right");
    // A file in the folder of the class belongs to one video.
    for class in ["A", "B"] {
        fs::create_dir(theirs.join(class)).unwrap();
    }
    fs::copy(theirs.join("v_1.csv"), theirs.join("A/v_1.csv")).unwrap();
    fs::rename(theirs.join("v_1.csv"), theirs.join("B/v_1.csv")).unwrap();
    set.run(&["verify", "--against", theirs.to_str().unwrap()]).expect(3, &["compared 3 features"]);
    assert_eq!(retry(&set), ["B/v_1.mp4"]);
}

#[test]
fn a_reference_that_is_no_number_is_at_fault_and_not_the_feature() {
    let set = Set::of(&super::VIDEOS);
    set.run(&["export", "--format", "npy"]).expect(0, &[]);
    let file = set.exported("npy/v 3.npy");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&file, bytes).unwrap();
    let ran = set.run(&["verify", "--against", set.exported("npy").to_str().unwrap()]).expect(3, &["1 wrong"]);
    let says =
        "wrong, not-compared: B c/v 3.mkv: it cannot be compared: the reference contains NaN or infinities (1 value)";
    assert!(ran.err.contains(says), "{ran:?}");
    let retried = fs::read_to_string(set.exported("verify/retry.txt")).unwrap_or_default();
    assert_eq!(retried, "", "the feature may be right");
}
