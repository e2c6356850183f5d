//! Tests of the scan.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;

use super::*;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        put(dir.path(), file);
    }
    dir
}

fn put(root: &Path, file: impl AsRef<Path>) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"12345").unwrap();
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.videos.iter().map(|v| v.name.as_str()).collect()
}

fn rules(layout: FolderLayout) -> ScanRules {
    ScanRules { extensions: vec!["mp4".into(), "mkv".into()], layout }
}

fn look(root: &Path) -> Scan {
    scan(root, &rules(FolderLayout::Auto)).unwrap()
}

fn refusals(scan: &Scan) -> Vec<(&str, String)> {
    scan.refused.iter().map(|r| (r.shown.as_str(), r.reason.to_string())).collect()
}

#[test]
fn videos_are_sorted_and_other_files_ignored() {
    let dir = folder(&[
        "B/v_1.MP4",
        "A b/it's \"x\".mkv",
        "A/v_2.mp4",
        "A/.v_3.mp4",
        "A/v_4.mp4.part",
        "A/v_5.mp4.ytdl",
        "A/v_6.tmp",
        "A/notes.txt",
        "A/mp4",
        ".trash/v_7.mp4",
        "read.me",
    ]);
    fs::create_dir(dir.path().join("Empty")).unwrap();
    fs::write(dir.path().join("B/v_0.mp4"), b"").unwrap();
    let scan = look(dir.path());
    assert_eq!(names(&scan), ["A b/it's \"x\".mkv", "A/v_2.mp4", "B/v_0.mp4", "B/v_1.MP4"]);
    assert_eq!((scan.refused.len(), scan.ignored, scan.classes()), (0, 5, 3));
    assert_eq!(scan.incomplete, ["A/v_4.mp4.part", "A/v_5.mp4.ytdl", "A/v_6.tmp"]);
    let metadata = fs::metadata(dir.path().join("B/v_1.MP4")).unwrap();
    assert_eq!(scan.videos[3].stamp, SourceStamp::of(&metadata));
    assert_eq!((scan.videos[2].stamp.size, scan.videos[3].stamp.size), (0, 5));
}

#[test]
fn each_layout_is_found_and_the_others_are_refused() {
    for (files, layout, classes) in [
        (&["v_1.mp4", "v_2.mkv"][..], FolderLayout::Flat, 0),
        (&["A/v_1.mp4", "B/v_1.mp4"], FolderLayout::Classes, 2),
        (&["test/v_3.mp4", "train/A/v_1.mp4", "val/A/v_2.mp4"], FolderLayout::Split, 1),
    ] {
        let dir = folder(files);
        let found = look(dir.path());
        assert_eq!((names(&found).as_slice(), found.layout, found.classes()), (files, Some(layout), classes));
        assert!(found.refused.is_empty(), "{:?}", found.refused);
        // One video in another place is refused, and the reason names the setting.
        put(dir.path(), "a/b/c/v_9.mp4");
        let strayed = look(dir.path());
        assert_eq!((strayed.videos.len(), strayed.layout), (files.len(), Some(layout)));
        assert!(refusals(&strayed)[0].1.contains("set `[scan] layout = \"any\"`"), "{:?}", strayed.refused);
        let any = scan(dir.path(), &rules(FolderLayout::Any)).unwrap();
        assert_eq!((any.videos.len(), any.refused.len()), (files.len() + 1, 0));
        // A layout that is set holds for all videos.
        let deepest = scan(dir.path(), &rules(FolderLayout::Split)).unwrap();
        assert_eq!(deepest.videos.len(), if layout == FolderLayout::Split { 3 } else { 0 });
    }
    let unclear = look(folder(&["hacs/A/v_1.mp4"]).path());
    assert_eq!((unclear.layout, names(&unclear).len()), (None, 0));
    assert!(refusals(&unclear)[0].1.contains("not clear which folders are classes"), "{:?}", unclear.refused);
}

#[test]
fn incomplete_downloads_are_named_and_not_listed() {
    let dir = folder(&[
        "A/v_1.mp4",
        "A/v_2.f137.mp4",
        "A/v_2.f140.m4a.part",
        "A/v_3.temp.mp4",
        "A/v_4.mp4",
        "A/v_4.mp4.aria2",
        "A/v_5.mp4",
        "A/v_5.mp4.ytdl",
        "A/v_6.mp4.part-Frag3",
        "A/v_7.mp4.download/v_7.mp4",
        "A/v_8.mp4.crdownload",
    ]);
    let found = look(dir.path());
    assert_eq!((names(&found), found.refused.len(), found.ignored), (vec!["A/v_1.mp4"], 0, 0));
    assert_eq!(
        found.incomplete,
        [
            "A/v_2.f137.mp4",
            "A/v_2.f140.m4a.part",
            "A/v_3.temp.mp4",
            "A/v_4.mp4",
            "A/v_4.mp4.aria2",
            "A/v_5.mp4",
            "A/v_5.mp4.ytdl",
            "A/v_6.mp4.part-Frag3",
            "A/v_7.mp4.download",
            "A/v_8.mp4.crdownload",
        ]
    );
    // The watch sees the same videos.
    let in_folder = scan_folder(dir.path(), "A", &rules(FolderLayout::Classes)).unwrap();
    assert_eq!(in_folder, found.videos);
    fs::remove_file(dir.path().join("A/v_4.mp4.aria2")).unwrap();
    assert_eq!(names(&look(dir.path())), ["A/v_1.mp4", "A/v_4.mp4"]);
}

#[test]
fn links_are_followed_and_broken_or_cyclic_ones_refused() {
    let store = folder(&["C/v_1.mp4", "v_2.mp4"]);
    let dir = folder(&["A/v_3.mp4"]);
    let at = |name: &str| dir.path().join(name);
    symlink(store.path().join("C"), at("C")).unwrap();
    symlink(store.path().join("v_2.mp4"), at("A/v_2.mp4")).unwrap();
    symlink("../A", at("A/again")).unwrap();
    symlink("..", at("A/.hidden")).unwrap();
    symlink("lost+found", at("lost+found")).unwrap();
    symlink(".", at("all")).unwrap();
    symlink("nowhere", at("Gone")).unwrap();
    symlink("nowhere", at("A/gone.mp4")).unwrap();
    symlink("nowhere", at("A/gone.txt")).unwrap();
    symlink("self.mp4", at("A/self.mp4")).unwrap();
    let by_link = tempfile::tempdir().unwrap();
    symlink(dir.path(), by_link.path().join("data")).unwrap();
    for root in [dir.path().to_owned(), by_link.path().join("data"), by_link.path().join("./data/")] {
        let scan = look(&root);
        assert_eq!(names(&scan), ["A/v_2.mp4", "A/v_3.mp4", "C/v_1.mp4"]);
        let shown: Vec<_> = scan.refused.iter().map(|r| r.shown.as_str()).collect();
        assert_eq!(shown, ["A/again", "A/gone.mp4", "A/self.mp4", "Gone", "all"]);
        assert!(matches!(scan.refused[0].reason, Refusal::Cycle));
        assert!(matches!(scan.refused[1].reason, Refusal::Dangling));
        assert!(matches!(scan.refused[2].reason, Refusal::Dangling), "a link to itself hides no video");
        assert!(matches!(scan.refused[3].reason, Refusal::Dangling));
        assert!(matches!(scan.refused[4].reason, Refusal::Cycle));
        assert_eq!(scan.ignored, 3);
    }
}

#[test]
fn a_class_with_two_names_counts_as_two_classes() {
    let dir = folder(&["A/v.mp4"]);
    symlink("A", dir.path().join("B.mp4")).unwrap();
    assert_eq!(names(&look(dir.path())), ["A/v.mp4", "B.mp4/v.mp4"]);
}

#[test]
fn refused_files_have_a_reason() {
    let long = format!("A/{}.mp4", "n".repeat(MAX_NAME_LEN - 3));
    let fits = format!("A/{}.mp4", "n".repeat(MAX_NAME_LEN - 4));
    let dir = folder(&[
        "v_1.mp4",
        "A/v_0.mp4",
        "A/sub/v_2.mp4",
        "A/dir.mp4/x",
        // `v.mp4` has files of these names in the output folder.
        "v.mp4.safetensors/v_3.mp4",
        "v.mp4.json/v_3.mp4",
        "A/a\nb.mp4",
        "\u{1b}[2J/v.mp4",
        &long,
        &fits,
    ]);
    put(dir.path(), Path::new("A").join(OsString::from_vec(b"\xff.mp4".to_vec())));
    put(dir.path(), Path::new("A").join(OsString::from_vec(b"\xff.txt".to_vec())));
    let pipe = dir.path().join("A/pipe.mp4");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("A/s.mkv")).unwrap();
    let scan = look(dir.path());
    assert_eq!(names(&scan), [fits.as_str(), "A/v_0.mp4"]);
    let mut expected = vec![
        ("A/\\xff.mp4", "not UTF-8"),
        ("A/a\\nb.mp4", "control character"),
        ("A/dir.mp4", "a folder, not a file"),
        ("A/pipe.mp4", "a named pipe, not a file"),
        ("A/s.mkv", "a socket, not a file"),
        ("A/sub/v_2.mp4", "deeper than Class/file"),
        ("\\u{1b}[2J/v.mp4", "control character"),
        ("v.mp4.safetensors/v_3.mp4", "a folder whose name ends in .safetensors"),
        ("v.mp4.json/v_3.mp4", "a folder whose name ends in .json"),
        ("v_1.mp4", "not in a class folder"),
        (long.as_str(), "longer than 243 bytes"),
    ];
    expected.sort();
    let found = refusals(&scan);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((shown, reason), (name, says)) in found.iter().zip(expected) {
        assert!(*shown == name && reason.contains(says), "{shown}: {reason}");
    }
}

#[test]
fn folders_that_link_to_each_other_do_not_cause_an_endless_walk() {
    // Ten folders with links to all of them give 10^9 paths unless visited folders are remembered.
    let dir = folder(&["A/v.mp4"]);
    for from in 0..10 {
        fs::create_dir_all(dir.path().join(format!("A/{from}"))).unwrap();
        for to in 0..10 {
            symlink(format!("../{to}"), dir.path().join(format!("A/{from}/l{to}"))).unwrap();
        }
    }
    assert_eq!(names(&look(dir.path())), ["A/v.mp4"]);
}

#[test]
fn videos_with_the_same_name_are_found() {
    let dir = folder(&["A/v_1.mp4", "B/v_1.mp4", "B/v_2.mp4", "B/v_2.mkv", "C/v_3.mp4"]);
    let scan = look(dir.path());
    let duplicate_stems: Vec<_> = scan.duplicate_stems().iter().map(|(stem, names)| (*stem, names.len())).collect();
    assert_eq!(duplicate_stems, [("v_1", 2), ("v_2", 2)]);
}

#[test]
fn a_root_that_is_not_a_folder_is_an_error() {
    let dir = folder(&["file"]);
    assert!(matches!(scan(&dir.path().join("file"), &rules(FolderLayout::Auto)), Err(ScanError::NotAFolder { .. })));
    assert!(matches!(scan(&dir.path().join("none"), &rules(FolderLayout::Auto)), Err(ScanError::Read { .. })));
}

#[test]
fn a_replaced_video_gets_a_new_stamp() {
    let dir = folder(&["A/v_1.mp4", "A/v_2.mp4", "A/v_3.mp4"]);
    let before = look(dir.path()).videos;
    fs::write(dir.path().join("A/v_2.mp4"), "longer than before").unwrap();
    fs::remove_file(dir.path().join("A/v_3.mp4")).unwrap();
    let now = as_they_are(dir.path(), before.clone());
    assert_eq!((&now[0], now[1].stamp.size, &now[2]), (&before[0], 18, &before[2]));
    assert_ne!(before[1].stamp, now[1].stamp);
}
