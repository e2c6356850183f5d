//! The check: healthy files of all kinds never count as damaged, and damaged files get the right verdict at each level. Other modules
//! check their files too.

use std::path::Path;

use proptest::prelude::*;
use reeldeck_common::error::ErrorKind;
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_common::recipe::Damage;
use reeldeck_common::source::SourceStamp;
use reeldeck_video::VideoError;
use reeldeck_video::check::check;
use reeldeck_video::frames::{Pass, Request};
use reeldeck_video::synth::Synth;

use crate::media::{Folder, SPARSE, assert_healthy, contained, h264, probed, request, small, take, take_both};
use crate::mux;
use crate::passes::{any_h264, edit};

/// More packets than a deep check decodes completely.
const LONG: u64 = 600;

#[test]
fn long_healthy_files_of_every_sort() {
    let folder = Folder::new();
    let x264 = |params: &str| small("libx264", LONG, &[("bf", "3"), ("x264-params", params)]);
    let fragments = [("movflags", "frag_keyframe+empty_moov")];
    let segments = [("movflags", "frag_keyframe+dash+global_sidx")];
    let hevc = [("x265-params", "log-level=none:pools=none:frame-threads=1:open-gop=1:keyint=50:scenecut=0")];
    for (name, synth) in [
        ("a.mp4", x264("keyint=50:open-gop=1")),
        ("b.mp4", x264("keyint=infinite")),
        ("c.mp4", x264("intra-refresh=1:keyint=50")),
        ("d.mp4", x264("interlaced=1:tff=1:keyint=80")),
        ("e.mp4", x264("keyint=1")),
        ("f.mp4", Synth { uneven: 3, ..x264("keyint=90") }),
        ("g.mp4", Synth { rotate: 270, ..x264("keyint=90:slices=3") }),
        ("h.mp4", contained(x264("keyint=60"), &fragments)),
        ("i.mp4", contained(x264("keyint=60"), &segments)),
        ("j.ts", x264("keyint=60:nal-hrd=cbr:bitrate=900:vbv-maxrate=900:vbv-bufsize=900")),
        ("k.mkv", x264("keyint=60:open-gop=1")),
        ("l.flv", x264("keyint=60")),
        ("m.avi", x264("keyint=60")),
        ("n.h264", x264("keyint=60")),
        ("o.mp4", small("libx265", LONG, &hevc)),
        ("p.mkv", small("libx265", LONG, &hevc)),
        ("q.webm", small("libvpx-vp9", LONG, &[("g", "100"), ("auto-alt-ref", "1"), ("lag-in-frames", "16")])),
        ("r.webm", small("libvpx", LONG, &[("g", "100"), ("auto-alt-ref", "1"), ("lag-in-frames", "8")])),
        ("s.avi", small("mpeg4", LONG, &[("bf", "2"), ("g", "100")])),
        ("t.mp4", small("mpeg4", LONG, &[("bf", "2"), ("g", "100")])),
        (
            "u.mpg",
            small(
                "mpeg2video",
                LONG,
                &[("bf", "2"), ("b", "900k"), ("maxrate", "900k"), ("minrate", "900k"), ("bufsize", "900k")],
            ),
        ),
        ("v.ts", small("mpeg2video", LONG, &[("bf", "2")])),
        ("w.mov", small("mjpeg", LONG, &[])),
        ("x.mkv", small("ffv1", LONG, &[])),
        ("y.wmv", small("wmv2", LONG, &[])),
        ("z.ogv", small("libtheora", LONG, &[])),
    ] {
        assert_healthy(&folder.make(name, &synth), LONG);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_long_h264_file_is_healthy(synth in any_h264(), frames in 301..500_u64, container in 0..6_usize) {
        let folder = Folder::new();
        let name = ["a.mp4", "a.mkv", "a.ts", "a.flv", "a.avi", "a.mov"][container];
        assert_healthy(&folder.make(name, &Synth { frames, ..synth }), frames);
    }
}

#[test]
fn what_belongs_to_no_picture_is_not_missed() {
    let folder = Folder::new();
    let noise: Vec<u8> = (0..3000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 19) as u8).collect();
    let free = [&[0, 0, 0x40, 0, b'f', b'r', b'e', b'e'][..], &[0; 500]].concat();
    let fragments = [("movflags", "frag_keyframe+empty_moov")];
    for (name, synth) in [
        ("a.mp4", h264(90)),
        ("b.mp4", contained(h264(90), &[])),
        ("c.mp4", contained(h264(90), &fragments)),
        ("d.mkv", contained(h264(90), &[])),
        ("e.ts", contained(h264(90), &[])),
        ("f.flv", contained(h264(90), &[])),
        ("g.avi", small("mpeg4", 90, &[])),
        ("h.webm", small("libvpx-vp9", 90, &[])),
    ] {
        let whole = std::fs::read(folder.make(name, &synth)).unwrap();
        for tail in [&noise[..], &[0; 3000], &free, b"TAG"] {
            assert_healthy(&folder.write(name, &[&whole[..], tail].concat()), 90);
        }
    }
    // A box of free space between the others.
    let whole = std::fs::read(folder.make("i.mp4", &contained(h264(90), &[]))).unwrap();
    let data = whole.windows(4).position(|w| w == b"moov").unwrap() - 4;
    let free = [&[0, 0, 1, 0, b'f', b'r', b'e', b'e'][..], &[0; 248]].concat();
    assert_healthy(&folder.write("i.mp4", &[&whole[..data], &free, &whole[data..]].concat()), 90);
}

#[test]
fn edits_and_streams_that_begin_in_the_middle_are_healthy() {
    let folder = Folder::new();
    let synth = Synth { fps: 25, ..h264(LONG) };
    let mut bytes = std::fs::read(folder.make("whole.mp4", &synth)).unwrap();
    edit(&mut bytes, 40 * 512, 500 * 40);
    assert_healthy(&folder.write("edited.mp4", &bytes), 500);
    // Cut at a keyframe of an open group, as by tools that do not re-encode: the frames shown before it are lost.
    let open = small("libx264", 400, &[("bf", "3"), ("x264-params", "open-gop=1:keyint=40:scenecut=0:b-adapt=0")]);
    let whole = folder.make("open.mp4", &open);
    for name in ["cut.mkv", "cut.mp4", "cut.mov"] {
        let mut track = mux::pictures(&whole);
        let second = track.packets.iter().enumerate().filter(|(_, packet)| packet.is_key()).nth(1).unwrap().0;
        track.packets.drain(..second);
        let path = mux::write(folder.path(name), vec![track]);
        for level in [Level::Quick, Level::Deep] {
            match probed(&path, level) {
                Verdict::Healthy { facts } => assert!((357..=363).contains(&facts.frames), "{name}: {facts:?}"),
                other => panic!("{name} is healthy, but {level:?} says {other:?}"),
            }
        }
    }
}

#[test]
fn tiny_and_black_files_are_healthy() {
    let folder = Folder::new();
    for frames in [1, 2, 3] {
        for (name, synth) in [
            ("a.mp4", h264(frames)),
            ("a.mkv", contained(h264(frames), &[])),
            ("a.avi", small("mpeg4", frames, &[])),
            ("a.webm", small("libvpx-vp9", frames, &[])),
            ("a.mov", small("mjpeg", frames, &[])),
        ] {
            assert_healthy(&folder.make(name, &synth), frames);
        }
    }
}

fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy { .. } => "healthy",
        Verdict::Damaged { .. } => "damaged",
        Verdict::Corrupt { .. } => "corrupt",
        Verdict::OverLimit { .. } => "over limit",
    }
}

/// Asserts the verdict of each level, and returns the reason of the quick check.
fn says(path: &Path, quick: &str, deep: &str) -> String {
    let verdicts = [Level::Quick, Level::Deep].map(|level| probed(path, level));
    let words = verdicts.each_ref().map(verdict_word);
    assert_eq!(words, [quick, deep], "{}: {verdicts:?}", path.display());
    verdicts[0].reason().unwrap_or_default().to_owned()
}

#[test]
fn what_is_no_video_is_corrupt_in_the_words_of_extraction() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.make("whole.mp4", &contained(h264(60), &[]))).unwrap();
    let front = std::fs::read(folder.make("front.mp4", &h264(60))).unwrap();
    let data = front.windows(4).position(|w| w == b"mdat").unwrap();
    for (name, bytes, reason) in [
        ("a.mp4", &b""[..], "the file is empty (0 bytes); download it again"),
        ("b.mp4", b"<html>404</html>", "not a video file: no known container"),
        ("c.mp4", &whole[..whole.len() / 2], "the MP4 index (moov) is missing"),
        ("d.mp4", &front[..data + 4], "not a video file: it ends before its first picture; download it again"),
    ] {
        let path = folder.write(name, bytes);
        let said = says(&path, "corrupt", "corrupt");
        assert!(said.starts_with(reason), "{said}");
        let error = take(&path, &request(SPARSE), Pass::Best).unwrap_err();
        assert!(said.starts_with(&error.to_string()), "{said}: {error}");
    }
    assert!(
        says(&mux::write(folder.path("e.mov"), vec![mux::silence()]), "corrupt", "corrupt").contains("no video stream")
    );
    assert!(says(folder.path("").as_path(), "corrupt", "corrupt").contains("not a regular file"));
}

#[test]
fn files_that_were_cut_short() {
    let folder = Folder::new();
    let fragments = contained(h264(300), &[("movflags", "frag_keyframe+empty_moov")]);
    for (name, synth) in [
        ("a.mp4", h264(300)),
        ("b.mov", contained(small("libx265", 300, &[]), &[("movflags", "+faststart")])),
        ("d.mkv", contained(h264(300), &[])),
        ("e.webm", small("libvpx-vp9", 300, &[])),
        ("f.avi", small("mpeg4", 300, &[])),
        ("g.mkv", small("ffv1", 300, &[])),
    ] {
        let whole = std::fs::read(folder.make(name, &synth)).unwrap();
        for percent in [50, 75, 95] {
            let path = folder.write(name, &whole[..whole.len() * percent / 100]);
            let reason = says(&path, "damaged", "damaged");
            assert!(reason.starts_with("the file ends ") && reason.contains(" too early"), "{name}: {reason}");
        }
    }
    let between = |bytes: &[u8]| bytes.windows(4).enumerate().filter(|(_, w)| w == b"moof").nth(5).unwrap().0 - 4;
    let whole = std::fs::read(folder.make("h.mp4", &fragments)).unwrap();
    let data = between(&whole) + whole[between(&whole)..].windows(4).position(|w| w == b"mdat").unwrap();
    let reason = says(&folder.write("h.mp4", &whole[..data + 500]), "damaged", "damaged");
    assert!(reason.starts_with("the file ends ") && reason.contains("frames are missing"), "{reason}");
    // FFmpeg opens no file that ends inside the header of a fragment. The fragments before it are whole.
    let path = folder.write("h.mp4", &whole[..between(&whole)]);
    let Verdict::Healthy { facts } = probed(&path, Level::Deep) else { panic!("whole fragments") };
    for end in [data - 50, between(&whole) + 40, between(&whole) + 9] {
        let path = folder.write("h.mp4", &whole[..end]);
        let reason = says(&path, "damaged", "damaged");
        assert!(reason.starts_with("the file ends ") && reason.contains(" frames are missing"), "{end}: {reason}");
        let Err(VideoError::Damaged { counts, .. }) = take_both(&path, &request(SPARSE)) else { panic!("{end}") };
        assert!(counts.output == facts.frames && (25..=35).contains(&counts.lost()), "{end}: {counts:?}");
    }
    let first = whole.windows(4).position(|w| w == b"moof").unwrap() - 4;
    let reason = says(&folder.write("h.mp4", &whole[..first + 50]), "corrupt", "corrupt");
    assert_eq!(reason, "not a video file: it ends before its first picture; download it again");
    let index = whole.windows(4).position(|w| w == b"moov").unwrap() + 4;
    let reason = says(&folder.write("h.mp4", &whole[..index + 50]), "corrupt", "corrupt");
    assert_eq!(reason, "the file ends inside its index (moov); download it again");
    // Between two fragments only a segment index shows a loss.
    says(&folder.write("h.mp4", &whole[..between(&whole)]), "healthy", "healthy");
    let indexed = contained(h264(300), &[("movflags", "frag_keyframe+dash+global_sidx")]);
    let whole = std::fs::read(folder.make("i.mp4", &indexed)).unwrap();
    let reason = says(&folder.write("i.mp4", &whole[..between(&whole)]), "damaged", "damaged");
    assert!(reason.contains("frames are missing"), "{reason}");
    // An AVI file without its index loses nothing, and its header counts once the file is known to be truncated.
    let whole = std::fs::read(folder.make("j.avi", &small("mpeg4", 300, &[]))).unwrap();
    let index = whole.windows(4).position(|w| w == b"idx1").unwrap();
    says(&folder.write("j.avi", &whole[..index]), "healthy", "healthy");
    let reason = says(&folder.write("j.avi", &whole[..index / 2]), "damaged", "damaged");
    assert!(reason.contains(" of 300 frames are missing"), "{reason}");
}

#[test]
fn zeros_and_noise_in_the_middle_are_found_without_decoding() {
    let folder = Folder::new();
    for (name, synth) in [
        ("a.mp4", h264(LONG)),
        ("b.mkv", contained(h264(LONG), &[])),
        ("c.mp4", small("libx265", LONG, &[])),
        ("d.mp4", small("mpeg4", LONG, &[("bf", "2")])),
        ("e.webm", small("libvpx-vp9", LONG, &[])),
        ("f.mp4", small("libvpx-vp9", LONG, &[])),
        ("g.webm", small("libvpx", LONG, &[])),
    ] {
        let whole = std::fs::read(folder.make(name, &synth)).unwrap();
        let (middle, length) = (whole.len() / 2, whole.len() / 10);
        let mut zeroed = whole.clone();
        zeroed[middle..middle + length].fill(0);
        says(&folder.write(name, &zeroed), "damaged", "damaged");
        let mut noisy = whole.clone();
        let mut state = 7_u64;
        for byte in &mut noisy[middle..middle + length] {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *byte = (state >> 56) as u8;
        }
        says(&folder.write(name, &noisy), "damaged", "damaged");
    }
}

#[test]
fn a_deep_look_finds_what_only_decoding_shows() {
    let folder = Folder::new();
    let synth = small("libx264", LONG, &[("bf", "2"), ("g", "60"), ("x264-params", "b-adapt=0:scenecut=0")]);
    let whole = std::fs::read(folder.make("a.mp4", &synth)).unwrap();
    let track = mux::pictures(&folder.path("a.mp4"));
    // A broken byte in the middle of each keyframe's slice, found by its bytes: no rule of framing is broken.
    let mut broken = whole.clone();
    for packet in track.packets.iter().filter(|packet| packet.is_key()) {
        let data = packet.data().unwrap();
        let at = whole.windows(data.len()).position(|window| window == data).unwrap();
        (0..8).for_each(|i| broken[at + data.len() * 3 / 4 + 5 * i] ^= 0x5a);
    }
    let reason = says(&folder.write("b.mp4", &broken), "healthy", "damaged");
    assert_eq!(reason, "");
    let lenient = Request { damage: Damage { max_lost: 1.0 }, ..request(SPARSE) };
    let counts = take(&folder.path("b.mp4"), &lenient, Pass::Plain).unwrap().facts.counts;
    let Verdict::Damaged { lost, concealed, reason, .. } = probed(&folder.path("b.mp4"), Level::Deep) else { panic!() };
    assert_eq!((lost, concealed), (counts.lost(), counts.concealed), "{reason}");
    assert!(reason.contains("cannot be decoded without faults"), "{reason}");
}

#[test]
fn what_is_over_a_limit_is_no_damage() {
    let folder = Folder::new();
    let path = folder.make("a.mp4", &h264(60));
    for limits in [Limits { frames: 59, ..Limits::default() }, Limits { megapixels: 0.001, ..Limits::default() }] {
        for level in [Level::Quick, Level::Deep] {
            let verdict = check(&path, level, &limits, &mut || Ok(())).unwrap().verdict;
            assert!(
                matches!(&verdict, Verdict::OverLimit { reason } if reason.contains("raise the limit")),
                "{verdict:?}"
            );
        }
    }
}

#[test]
fn what_may_pass_is_an_error_and_no_verdict() {
    let folder = Folder::new();
    let missing = check(&folder.path("none.mp4"), Level::Quick, &Limits::default(), &mut || Ok(())).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Missing);
    let path = folder.make("a.mp4", &h264(LONG));
    let stamp = SourceStamp::read(&path).unwrap();
    let probed = check(&path, Level::Deep, &Limits::default(), &mut || Ok(())).unwrap();
    assert_eq!(probed.source, stamp);
    let mut calls = 0;
    let stopped = check(&path, Level::Deep, &Limits::default(), &mut || {
        calls += 1;
        if calls == 700 { Err(VideoError::Stopped) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(VideoError::Stopped)) && calls == 700, "{stopped:?}");
    for level in [Level::Quick, Level::Deep] {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 100);
        let mut first = true;
        let changed = check(&path, level, &Limits::default(), &mut || {
            if std::mem::take(&mut first) {
                std::fs::write(&path, &bytes).unwrap();
            }
            Ok(())
        });
        assert!(matches!(changed, Err(VideoError::Changed)), "{changed:?}");
    }
}
