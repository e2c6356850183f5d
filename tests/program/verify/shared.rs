//! `--against` a folder that has one file for two videos of the same file name.

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
