//! `reeldeck-probe still`: which picture it chooses, and its errors.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use reeldeck_common::limits::Limits;
use reeldeck_video::full_decode;
use reeldeck_video::synth::{self, Synth};
use tempfile::TempDir;

fn probe(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reeldeck-probe")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn still(path: &Path, width: usize, height: usize) -> (usize, usize, Vec<u8>) {
    let output = probe(&["still", "--", path.to_str().unwrap(), &width.to_string(), &height.to_string()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut parts = output.stdout.splitn(4, |byte| *byte == b'\n');
    let mut line = || parts.next().unwrap();
    assert_eq!(line(), b"P6");
    let size: Vec<usize> = std::str::from_utf8(line()).unwrap().split(' ').map(|side| side.parse().unwrap()).collect();
    assert_eq!(line(), b"255");
    let pixels = line().to_vec();
    assert_eq!(pixels.len(), size[0] * size[1] * 3);
    (size[0], size[1], pixels)
}

fn make(folder: &TempDir, name: &str, synth: &Synth) -> PathBuf {
    let path = folder.path().join(name);
    synth::write(&path, synth).unwrap();
    path
}

/// All pictures of a video as displayed.
fn all(path: &Path) -> Vec<(usize, usize, Vec<u8>)> {
    let mut all = vec![];
    full_decode::for_each_frame(path, &Limits::default(), &mut |picture| {
        all.push((picture.width, picture.height, picture.rgb.to_vec()));
        Ok(())
    })
    .unwrap();
    all
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn the_picture_is_the_one_at_a_third_in_its_own_size_where_that_fits() {
    let folder = TempDir::new().unwrap();
    let base = Synth { width: 64, height: 48, frames: 91, ..Synth::default() };
    for (name, synth) in [
        ("a.mp4", Synth { options: options(&[("g", "12"), ("bf", "2")]), ..base.clone() }),
        ("one_key.mp4", Synth { options: options(&[("g", "1000")]), ..base.clone() }),
        ("a.mkv", Synth { encoder: "ffv1".into(), ..base.clone() }),
        ("turned.mp4", Synth { rotate: 90, ..base.clone() }),
    ] {
        let path = make(&folder, name, &synth);
        let (all, shown) = (all(&path), still(&path, 4096, 4096));
        let found =
            all.iter().position(|picture| *picture == shown).unwrap_or_else(|| panic!("{name}: no such picture"));
        assert!((29..=32).contains(&found), "{name}: {found}");
        if name == "turned.mp4" {
            assert_eq!((shown.0, shown.1), (48, 64));
        }
    }
}

#[test]
fn the_picture_fits_its_box() {
    let folder = TempDir::new().unwrap();
    let path = make(&folder, "-v.mp4", &Synth { width: 160, height: 90, frames: 5, ..Synth::default() });
    for (width, height, fits) in [(80, 80, (80, 45)), (320, 9, (16, 9)), (1, 1, (1, 1)), (160, 90, (160, 90))] {
        let (w, h, _) = still(&path, width, height);
        assert_eq!((w, h), fits);
    }
}

#[test]
fn files_that_are_cut_or_know_no_time_give_what_they_have() {
    let folder = TempDir::new().unwrap();
    let synth = Synth { frames: 120, options: options(&[("g", "30")]), ..Synth::default() };
    let raw = make(&folder, "a.h264", &synth);
    assert_eq!(still(&raw, 64, 48).0, 64);
    // The index comes first and is small, so a quarter of the file does not reach the picture at a third of the video.
    let early = Synth { container: options(&[("movflags", "faststart")]), ..synth };
    let path = make(&folder, "cut.mp4", &early);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 4]).unwrap();
    assert_eq!(still(&path, 64, 48).0, 64);
}

#[test]
fn what_gives_no_picture_is_named_with_the_reason() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (path, says) in [
        (write("empty.mp4", b""), "the file is empty"),
        (write("text.mp4", b"<html>not found</html>"), "not a video file"),
        (folder.path().join("none.mp4").to_str().unwrap().to_owned(), "No such file"),
    ] {
        let output = probe(&["still", &path, "80", "60"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        assert!(said.contains(&path) && said.contains(says), "{said}");
    }
    let wrong = probe(&["still", "a.mp4", "0", "60"]);
    assert_eq!(wrong.status.code(), Some(2));
}
