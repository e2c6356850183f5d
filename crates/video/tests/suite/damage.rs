//! Damaged files: lost frames are counted, a few of them are accepted, many are refused, and the pictures are always the same.

use std::path::Path;

use reeldeck_common::error::ErrorKind;
use reeldeck_common::feature::{ExpectedFrom, FrameCounts};
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_common::recipe::Damage;
use reeldeck_video::VideoError;
use reeldeck_video::frames::{Pass, Request};

use crate::media::{
    DENSE, Folder, SPARSE, Taken, assert_healthy, contained, h264, probed, request, small, take, take_both,
};
use crate::mux;

fn lenient() -> Request {
    Request { damage: Damage { max_lost: 1.0 }, ..request(DENSE) }
}

/// Extracts a damaged file by each pass, several times; all must agree. Returns the result for a lenient recipe.
fn take_leniently(path: &Path) -> Result<Taken, VideoError> {
    let first = take_both(path, &lenient());
    let again = take(path, &lenient(), Pass::Best);
    match (&first, &again) {
        (Ok(first), Ok(again)) => assert!(first == again, "two decodes of {} differ", path.display()),
        (Err(first), Err(again)) => assert_eq!(first.to_string(), again.to_string()),
        _ => panic!("{} can be decoded only sometimes", path.display()),
    }
    take_both(path, &Request { sampling: SPARSE, ..lenient() }).map(drop).unwrap_or_default();
    first
}

/// Asserts that the built-in recipe refuses the file. Returns the counts and the message.
fn refused(path: &Path) -> (FrameCounts, String) {
    let error = take_both(path, &request(DENSE)).expect_err("too much is lost");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let message = error.to_string();
    let VideoError::Damaged { counts, bearable, .. } = error else { panic!("{error:?}") };
    assert_eq!(bearable, 0.05);
    let taken = take_leniently(path).unwrap();
    assert_eq!(taken.facts.counts, counts);
    assert_agrees(path, counts);
    (counts, message)
}

/// Asserts that the built-in recipe accepts the damage. Returns the counts.
fn borne(path: &Path) -> FrameCounts {
    let taken = take_both(path, &request(DENSE)).unwrap();
    assert!(take_leniently(path).unwrap() == taken);
    assert!(taken.facts.counts.damage() <= 0.05);
    assert_agrees(path, taken.facts.counts);
    taken.facts.counts
}

/// Asserts that a deep check counts the same as extraction.
fn assert_agrees(path: &Path, counts: FrameCounts) {
    match probed(path, Level::Deep) {
        Verdict::Healthy { facts } => assert_eq!((facts.frames, counts.is_damaged()), (counts.output, false)),
        Verdict::Damaged { lost, concealed, reason, facts } => {
            assert_eq!((lost, facts.frames), (counts.lost(), counts.expected), "{reason}: {counts:?}");
            assert!(concealed >= counts.concealed && reason.ends_with("download it again"), "{reason}: {counts:?}");
        }
        other => panic!("{other:?}: {counts:?}"),
    }
}

fn cut(bytes: &[u8], percent: usize) -> &[u8] {
    &bytes[..bytes.len() * percent / 100]
}

/// Bytes of the picture data of an MP4 file.
fn data_of(bytes: &[u8]) -> std::ops::Range<usize> {
    let at = bytes.windows(4).position(|w| w == b"mdat").unwrap();
    let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    at + 4..at - 4 + length
}

fn noise(bytes: &mut [u8]) {
    let mut state = 7_u64;
    for byte in bytes {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *byte = (state >> 56) as u8;
    }
}

#[test]
fn a_file_with_its_index_in_front_cut_at_60_percent() {
    let folder = Folder::new();
    for (name, synth) in [
        ("a.mp4", h264(300)),
        ("b.mov", contained(small("libx265", 300, &[]), &[("movflags", "+faststart")])),
        ("c.mp4", contained(small("mpeg4", 300, &[("bf", "2")]), &[("movflags", "+faststart")])),
    ] {
        let bytes = std::fs::read(folder.make(name, &synth)).unwrap();
        let (counts, message) = refused(&folder.write("cut.mp4", cut(&bytes, 60)));
        assert_eq!(counts.expected, 300);
        assert!((90..200).contains(&counts.lost()), "{name}: {counts:?}");
        assert!(message.starts_with(&format!("damaged: {} of 300 frames lost", counts.lost())), "{message}");
        assert!(message.contains("%): the file ends ") && message.contains(" too early; "), "{message}");
        assert!(message.ends_with("; download it again"), "{message}");
    }
}

#[test]
fn a_matroska_file_cut_at_60_percent() {
    let folder = Folder::new();
    for (name, synth) in
        [("a.mkv", h264(300)), ("b.webm", small("libvpx-vp9", 300, &[])), ("c.mkv", small("ffv1", 300, &[]))]
    {
        let bytes = std::fs::read(folder.make(name, &synth)).unwrap();
        let (counts, message) = refused(&folder.write(name, cut(&bytes, 60)));
        assert!((298..=302).contains(&counts.expected), "{name}: {counts:?}");
        assert!((90..150).contains(&counts.lost()), "{name}: {counts:?}");
        assert!(message.contains("frames lost"), "{message}");
    }
}

#[test]
fn a_few_lost_frames_are_borne_and_counted() {
    let folder = Folder::new();
    let bytes = std::fs::read(folder.make("a.mp4", &h264(300))).unwrap();
    let counts = borne(&folder.write("b.mp4", cut(&bytes, 98)));
    assert_eq!(counts.expected, 300);
    assert!(counts.lost() + counts.concealed > 0 && counts.output > 285, "{counts:?}");
    let counts = borne(&folder.write("c.mp4", &bytes));
    assert_eq!(counts, FrameCounts { expected: 300, output: 300, concealed: 0 });
}

#[test]
fn noise_in_the_middle() {
    let folder = Folder::new();
    for (name, synth) in [
        ("a.mp4", h264(300)),
        ("b.mp4", contained(small("libx264", 300, &[("bf", "3"), ("x264-params", "b-adapt=0:slices=3")]), &[])),
        ("c.mp4", small("libx265", 300, &[])),
        ("d.mp4", small("mpeg4", 300, &[("bf", "2")])),
    ] {
        let mut bytes = std::fs::read(folder.make(name, &synth)).unwrap();
        let data = data_of(&bytes);
        let (start, length) = (data.start + data.len() * 45 / 100, data.len() / 10);
        noise(&mut bytes[start..start + length]);
        let (counts, _) = refused(&folder.write(name, &bytes));
        assert!(counts.expected == 300 && counts.output >= 100, "{name}: {counts:?}");
        let facts = take_leniently(&folder.path(name)).unwrap().facts;
        assert!(facts.plain_pass, "{name}: {facts:?}");
    }
}

#[test]
fn a_tail_of_zeros() {
    let folder = Folder::new();
    for (name, synth) in [("a.mp4", h264(300)), ("b.mkv", h264(300)), ("c.mkv", small("ffv1", 300, &[]))] {
        let mut bytes = std::fs::read(folder.make(name, &synth)).unwrap();
        let start = bytes.len() * 60 / 100;
        bytes[start..].fill(0);
        let (counts, _) = refused(&folder.write(name, &bytes));
        assert!((290..=302).contains(&counts.expected), "{name}: {counts:?}");
        assert!(counts.lost() + counts.concealed > 90, "{name}: {counts:?}");
    }
}

#[test]
fn unusual_files_are_healthy() {
    let folder = Folder::new();
    let healthy = |path: &Path| {
        let taken = take_both(path, &request(DENSE)).unwrap();
        assert_eq!(taken.facts.counts, FrameCounts { expected: 120, output: 120, concealed: 0 }, "{}", path.display());
        assert_healthy(path, 120);
        taken
    };
    let usual = folder.make("a.mp4", &h264(120));
    let raw = mux::write(folder.path("raw.h264"), vec![mux::pictures(&usual)]);
    let usual = healthy(&usual);
    assert!(healthy(&raw).frames == usual.frames);
    let posing = folder.write("raw posing as.mp4", &std::fs::read(raw).unwrap());
    assert!(healthy(&posing).frames == usual.frames);
    for movflags in ["frag_keyframe+empty_moov", "dash+default_base_moof", "rtphint", "write_colr"] {
        let path = folder.make("b.mp4", &contained(h264(120), &[("movflags", movflags)]));
        assert!(healthy(&path).frames == usual.frames, "{movflags}");
    }
}

#[test]
fn an_avi_header_may_lie() {
    let folder = Folder::new();
    let path = folder.make("a.avi", &small("mpeg4", 120, &[("bf", "2")]));
    let honest = take_both(&path, &request(DENSE)).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    // dwTotalFrames of the main header, and dwLength of the stream's.
    for (chunk, at) in [(b"avih", 8 + 16), (b"strh", 8 + 32)] {
        let start = bytes.windows(4).position(|w| w == chunk).unwrap() + at;
        assert_eq!(bytes[start..start + 4], 120_u32.to_le_bytes());
        bytes[start..start + 4].copy_from_slice(&5000_u32.to_le_bytes());
    }
    let path = folder.write("b.avi", &bytes);
    assert_healthy(&path, 120);
    let lying = take_both(&path, &request(DENSE)).unwrap();
    assert!(lying.frames == honest.frames);
    assert_eq!(lying.facts.counts, honest.facts.counts);
    assert_eq!(lying.facts.counts, FrameCounts { expected: 120, output: 120, concealed: 0 });
}

#[test]
fn streams_that_declare_nothing_end_where_they_end() {
    let folder = Folder::new();
    for (name, synth) in [
        ("a.ts", contained(h264(300), &[])),
        ("b.h264", contained(h264(300), &[])),
        ("c.mpg", small("mpeg2video", 300, &[])),
        ("d.m2v", small("mpeg2video", 300, &[])),
    ] {
        let bytes = std::fs::read(folder.make(name, &synth)).unwrap();
        let extraction = take_leniently(&folder.write(name, cut(&bytes, 60))).unwrap().facts;
        let counts = extraction.counts;
        assert!((150..220).contains(&counts.output) && counts.lost() + counts.concealed <= 8, "{name}: {counts:?}");
        assert_eq!(extraction.expected_from, ExpectedFrom::Nothing, "{name}");
    }
}

#[test]
fn containers_that_promise_something_are_held_to_it() {
    let folder = Folder::new();
    for (name, synth, source) in [
        ("a.flv", contained(h264(300), &[]), ExpectedFrom::ContainerHeader),
        ("b.avi", small("mpeg4", 300, &[]), ExpectedFrom::TrackStatistics),
        ("c.wmv", small("wmv2", 300, &[]), ExpectedFrom::ContainerHeader),
        ("d.ivf", small("libvpx", 300, &[("deadline", "realtime")]), ExpectedFrom::ContainerHeader),
        ("e.mkv", contained(h264(300), &[]), ExpectedFrom::TrackStatistics),
    ] {
        let bytes = std::fs::read(folder.make(name, &synth)).unwrap();
        let (counts, _) = refused(&folder.write(name, cut(&bytes, 60)));
        assert!((297..=303).contains(&counts.expected) && (90..200).contains(&counts.lost()), "{name}: {counts:?}");
        let extraction = take_leniently(&folder.path(name)).unwrap().facts;
        assert_eq!(extraction.expected_from, source, "{name}");
    }
}

#[test]
fn a_cut_fragmented_file_has_lost_what_its_last_fragment_and_its_segment_index_list() {
    let folder = Folder::new();
    let fragmented = contained(h264(300), &[("movflags", "frag_keyframe+empty_moov")]);
    let bytes = std::fs::read(folder.make("a.mp4", &fragmented)).unwrap();
    let cut_here = |name: &str, end: usize| take_leniently(&folder.write(name, &bytes[..end])).unwrap().facts.counts;
    // In the middle of a fragment: it lists all of its frames, and no other is declared.
    let counts = cut_here("b.mp4", bytes.len() * 60 / 100);
    // The first fragment ends two frames early, when the next keyframe comes by in the order of decoding.
    assert!(counts.expected % 30 == 28 && (1..=30).contains(&counts.lost()), "{counts:?}");
    refused(&folder.path("b.mp4"));
    // Between two fragments: nothing tells that there were others.
    let fragment = bytes.windows(4).enumerate().filter(|(_, w)| w == b"moof").nth(6).unwrap().0 - 4;
    assert_eq!(cut_here("c.mp4", fragment), FrameCounts { expected: 178, output: 178, concealed: 0 });
    // With a segment index in front, something does.
    let indexed = contained(h264(300), &[("movflags", "frag_keyframe+dash+global_sidx")]);
    let bytes = std::fs::read(folder.make("d.mp4", &indexed)).unwrap();
    let counts = borne(&folder.write("e.mp4", &bytes));
    assert_eq!(counts, FrameCounts { expected: 300, output: 300, concealed: 0 });
    let fragment = bytes.windows(4).enumerate().filter(|(_, w)| w == b"moof").nth(6).unwrap().0 - 4;
    let (counts, _) = refused(&folder.write("f.mp4", &bytes[..fragment]));
    assert!(counts.output == 178 && (299..=301).contains(&counts.expected), "{counts:?}");
}

#[test]
fn where_nothing_tells_the_length_a_cut_file_is_said_to_lack_its_end() {
    let folder = Folder::new();
    for (name, synth) in [
        ("a.ts", contained(h264(120), &[])),
        ("b.mpg", small("mpeg2video", 120, &[])),
        ("c.h264", contained(h264(120), &[])),
    ] {
        let bytes = std::fs::read(folder.make(name, &synth)).unwrap();
        let path = folder.write(&format!("cut-{name}"), &bytes[..bytes.len() / 2 - 31]);
        let Verdict::Damaged { reason, .. } = probed(&path, Level::Deep) else { panic!("{name}") };
        assert!(reason.contains("does not say how long the video is, so more may be missing at its end"), "{reason}");
        assert!(reason.ends_with("; if the source plays without faults, download it again"), "{reason}");
    }
}
