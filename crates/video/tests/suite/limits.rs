//! Limits, and files that change while they are read.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use reeldeck_common::error::ErrorKind;
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_video::VideoError;
use reeldeck_video::frames::{self, Pass, Request, Sink};
use reeldeck_video::full_decode;
use reeldeck_video::sampling::ClipPlan;
use reeldeck_video::synth::Synth;

use crate::media::{DENSE, Folder, SPARSE, contained, h264, probed, request, small, take, take_both};
use crate::mux;

fn limited(limits: Limits) -> Request {
    Request { limits, ..request(SPARSE) }
}

/// Counts frames, and calls a function at the first one.
struct Meddler<'a> {
    path: &'a Path,
    meddle: Meddle,
    frames: usize,
    plans: usize,
}

impl Sink for Meddler<'_> {
    fn plan(&mut self, _: ClipPlan) -> Result<(), VideoError> {
        self.plans += 1;
        Ok(())
    }

    fn frame(&mut self, _: u64, _: Vec<u8>) -> Result<(), VideoError> {
        if self.frames == 0 {
            (self.meddle)(self.path);
        }
        self.frames += 1;
        Ok(())
    }
}

#[test]
fn pictures_over_the_limit_are_refused_before_anything_is_decoded() {
    let folder = Folder::new();
    for (name, encoder) in [("a.mp4", "libx264"), ("b.avi", "mpeg4"), ("c.mkv", "ffv1"), ("d.h264", "libx264")] {
        let path = folder.make(name, &Synth { width: 640, height: 480, ..small(encoder, 3, &[]) });
        let enough = limited(Limits { megapixels: 0.3072, ..Limits::default() });
        assert_eq!(take_both(&path, &enough).unwrap().facts.size, [640, 480]);
        let short = limited(Limits { megapixels: 0.3071, ..Limits::default() });
        for pass in [Pass::Best, Pass::Plain] {
            let mut sink = Meddler { path: &path, meddle: |_| panic!("a frame came"), frames: 0, plans: 0 };
            let error = frames::extract(&path, &short, pass, &mut sink).unwrap_err();
            assert_eq!((error.kind(), sink.plans), (ErrorKind::Limit, 0));
            let message = "the picture of 640×480 has more than 0.3071 megapixels; raise the limit in the configuration to accept it";
            assert_eq!(error.to_string(), message);
        }
        assert!(full_decode::for_each_frame(&path, &short.limits, &mut |_| panic!("a picture came")).is_err());
    }
}

/// FFmpeg compares its own limit with the size of its buffers, which it rounds up.
#[test]
fn pictures_of_exactly_the_limit_are_decoded_whatever_their_width() {
    let folder = Folder::new();
    for (width, height, encoder) in [(340, 256, "libx264"), (338, 254, "mpeg4"), (342, 258, "libx264")] {
        let path = folder.make("a.mp4", &Synth { width, height, ..small(encoder, 3, &[]) });
        let enough = limited(Limits { megapixels: f64::from(width * height) / 1e6, ..Limits::default() });
        assert_eq!(take_both(&path, &enough).unwrap().facts.size, [width, height]);
    }
}

#[test]
fn a_picture_that_grows_on_the_way_is_not_decoded() {
    let folder = Folder::new();
    let first = std::fs::read(folder.make("a.h264", &Synth { container: [].into(), ..h264(20) })).unwrap();
    let large = Synth { width: 640, height: 480, container: [].into(), ..h264(20) };
    let second = std::fs::read(folder.make("b.h264", &large)).unwrap();
    let path = folder.write("c.h264", &[first, second].concat());
    let taken = take_both(&path, &request(SPARSE)).unwrap();
    assert_eq!((taken.facts.counts.output, taken.facts.size), (40, [640, 480]));
    let error = take_both(&path, &limited(Limits { megapixels: 0.1, ..Limits::default() })).unwrap_err();
    assert!(matches!(error, VideoError::Damaged { .. } | VideoError::Limit(_)), "{error:?}");
}

#[test]
fn videos_over_the_limit_of_frames_are_refused() {
    let folder = Folder::new();
    for (name, synth) in [("a.mp4", h264(60)), ("b.avi", small("mpeg4", 60, &[])), ("c.h264", contained(h264(60), &[]))]
    {
        let path = folder.make(name, &synth);
        assert_eq!(take_both(&path, &limited(Limits { frames: 60, ..Limits::default() })).unwrap().plan.total(), 60);
        let error = take_both(&path, &limited(Limits { frames: 59, ..Limits::default() })).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(
            error.to_string(),
            "the video has more than 59 frames; raise the limit in the configuration to accept it"
        );
    }
}

fn lasting(duration_s: f64) -> Request {
    limited(Limits { duration_s, ..Limits::default() })
}

#[test]
fn videos_that_play_too_long_are_refused() {
    let folder = Folder::new();
    let plain = |synth: Synth| contained(synth, &[]);
    for (name, synth, plays) in [
        ("a.mp4", h264(60), 2.0),
        ("b.avi", small("mpeg4", 60, &[("bf", "2")]), 2.0),
        ("c.mkv", plain(h264(60)), 2.0),
        ("d.ts", plain(h264(60)), 2.0),
        ("e.flv", plain(h264(60)), 2.0),
        ("f.webm", small("libvpx-vp9", 60, &[]), 2.0),
        ("g.mpg", small("mpeg2video", 60, &[("bf", "2")]), 2.0),
        ("h.mov", small("mjpeg", 60, &[]), 2.0),
        // Five steps of time without a picture.
        ("i.mp4", Synth { uneven: 12, ..h264(60) }, 2.133),
        ("j.mp4", Synth { fps: 1, ..h264(60) }, 60.0),
        // No times at all, but a rate.
        ("k.h264", plain(h264(60)), 2.0),
    ] {
        let path = folder.make(name, &synth);
        let taken = take_both(&path, &lasting(plays + 0.1)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(taken.plan.total(), 60, "{name}");
        let error = take_both(&path, &lasting(plays - 0.1)).map(drop).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Limit, "{name}: {error}");
        let message = error.to_string();
        let (found, rest) = message.strip_prefix("the video plays for ").unwrap().split_once(" seconds, ").unwrap();
        assert!((found.parse::<f64>().unwrap() - plays).abs() < 0.05, "{name}: {message}");
        assert_eq!(rest, format!("more than {}; raise the limit in the configuration to accept it", plays - 0.1));
    }
    // Exactly as long as the limit, and rounded up to a millisecond by the container.
    assert!(
        take_both(&folder.path("a.mp4"), &lasting(2.0)).is_ok()
            && take_both(&folder.path("c.mkv"), &lasting(2.0)).is_ok()
    );
}

/// Overwrites the duration in a header. `tag` precedes it and must occur this many times.
fn lie(bytes: &mut [u8], tag: &[u8], skip: usize, duration: &[u8], times: usize) {
    let found: Vec<usize> = bytes.windows(tag.len()).enumerate().filter(|(_, w)| *w == tag).map(|(at, _)| at).collect();
    assert_eq!(found.len(), times, "{tag:?}");
    for at in found {
        bytes[at + tag.len() + skip..][..duration.len()].copy_from_slice(duration);
    }
}

#[test]
fn what_a_header_says_of_the_duration_decides_nothing() {
    let folder = Folder::new();
    let mp4 = std::fs::read(folder.make("a.mp4", &h264(60))).unwrap();
    let flv = std::fs::read(folder.make("a.flv", &contained(h264(60), &[]))).unwrap();
    let mkv = std::fs::read(folder.make("a.mkv", &contained(h264(60), &[]))).unwrap();
    let avi = std::fs::read(folder.make("a.avi", &small("mpeg4", 60, &[]))).unwrap();
    // Years, and almost nothing. A Matroska file that declarations years counts as truncated.
    for (ticks, seconds) in [(u32::MAX, 1e9), (1, 1e-3)] {
        let (mut mp4, mut flv, mut mkv, mut avi) = (mp4.clone(), flv.clone(), mkv.clone(), avi.clone());
        // After version, flags and two dates: a scale here, the track's number there.
        lie(&mut mp4, b"mvhd", 16, &ticks.to_be_bytes(), 1);
        lie(&mut mp4, b"tkhd", 20, &ticks.to_be_bytes(), 1);
        lie(&mut mp4, b"mdhd", 16, &ticks.to_be_bytes(), 1);
        // The name, the type of a number.
        lie(&mut flv, b"\x00\x08duration\x00", 0, &f64::to_be_bytes(seconds), 1);
        // The header of the stream, after seven fields of four bytes each.
        lie(&mut avi, b"vids", 28, &ticks.to_le_bytes(), 1);
        let mut files = vec![("b.mp4", mp4), ("b.flv", flv), ("b.avi", avi)];
        if ticks == 1 {
            lie(&mut mkv, &[0x44, 0x89, 0x88], 0, &f64::to_be_bytes(seconds * 1e3), 1);
            files.push(("b.mkv", mkv));
        }
        for (name, bytes) in files {
            let path = folder.write(name, &bytes);
            let taken = take_both(&path, &lasting(3.0)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(taken.plan.total(), 60, "{name}");
            let error = take_both(&path, &lasting(1.0)).map(drop).unwrap_err();
            assert!(error.to_string().contains("plays for 2 seconds, more than 1;"), "{name}: {error}");
        }
    }
}

#[test]
fn a_clock_that_is_set_anew_is_no_duration_but_slow_pictures_are() {
    let folder = Folder::new();
    let whole = folder.make("a.mp4", &small("libx264", 60, &[("bf", "0")]));
    let mut jumps = mux::pictures(&whole);
    for packet in &mut jumps.packets[30..] {
        // Two days in thirtieths of a second.
        packet.set_pts(packet.pts().map(|time| time + 30 * 48 * 3600));
        packet.set_dts(packet.dts().map(|time| time + 30 * 48 * 3600));
    }
    let path = mux::write(folder.path("b.mkv"), vec![jumps]);
    assert_eq!(take_both(&path, &lasting(3.0)).unwrap().plan.total(), 60);
    assert_eq!(take_both(&path, &lasting(1.0)).map(drop).unwrap_err().kind(), ErrorKind::Limit);

    let mut slow = mux::pictures(&whole);
    slow.step = (1200, 1).into();
    let path = mux::write(folder.path("c.mkv"), vec![slow]);
    assert_eq!(take_both(&path, &lasting(72_001.0)).unwrap().plan.total(), 60);
    let error = take_both(&path, &lasting(43_200.0)).map(drop).unwrap_err().to_string();
    assert!(error.contains("plays for 70800") && error.contains("more than 43200;"), "{error}");
}

type Meddle = fn(&Path);

/// Ways in which a file may change while it is read.
fn meddlings() -> [(&'static str, Meddle); 5] {
    fn append(path: &Path) {
        use std::io::Write;
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
    }
    fn other(path: &Path) -> PathBuf {
        path.with_file_name("other.mp4")
    }
    [
        ("cut", |path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(3000).unwrap()),
        ("emptied", |path| std::fs::write(path, b"").unwrap()),
        ("written over", |path| std::fs::write(path, vec![7; 50_000]).unwrap()),
        ("replaced by another video", |path| std::fs::rename(other(path), path).unwrap()),
        ("appended to", append),
    ]
}

#[test]
fn a_file_that_changes_while_it_is_read_is_found_out() {
    let folder = Folder::new();
    for (name, synth) in
        [("a.mp4", h264(300)), ("b.avi", small("mpeg4", 300, &[("bf", "2")])), ("c.mkv", small("ffv1", 60, &[]))]
    {
        for (what, meddle) in meddlings() {
            for pass in [Pass::Best, Pass::Plain] {
                for sampling in [DENSE, SPARSE] {
                    let path = folder.make(name, &synth);
                    folder.make("other.mp4", &Synth { seed: 9, ..h264(100) });
                    let mut sink = Meddler { path: &path, meddle, frames: 0, plans: 0 };
                    let error = frames::extract(&path, &request(sampling), pass, &mut sink).unwrap_err();
                    assert!(sink.frames > 0);
                    assert!(matches!(error, VideoError::Changed), "{name} {what} {pass:?}: {error:?}");
                    assert_eq!(error.kind(), ErrorKind::Io);
                }
            }
        }
        let path = folder.make(name, &synth);
        let mut sink = Meddler { path: &path, meddle: |path| std::fs::remove_file(path).unwrap(), frames: 0, plans: 0 };
        let error = frames::extract(&path, &request(SPARSE), Pass::Best, &mut sink).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    }
}

#[test]
fn a_sink_that_wants_no_more_ends_the_work() {
    struct Stop(usize);
    impl Sink for Stop {
        fn plan(&mut self, _: ClipPlan) -> Result<(), VideoError> {
            Ok(())
        }

        fn frame(&mut self, _: u64, _: Vec<u8>) -> Result<(), VideoError> {
            self.0 += 1;
            if self.0 == 3 { Err(VideoError::Stopped) } else { Ok(()) }
        }
    }
    let folder = Folder::new();
    for (name, synth) in [("a.mp4", h264(100)), ("b.avi", small("mpeg4", 100, &[("bf", "2")]))] {
        let path = folder.make(name, &synth);
        for pass in [Pass::Best, Pass::Plain] {
            let mut stop = Stop(0);
            let error = frames::extract(&path, &request(DENSE), pass, &mut stop).unwrap_err();
            assert!(matches!(error, VideoError::Stopped) && error.kind() == ErrorKind::Interrupted, "{error:?}");
            assert_eq!(stop.0, 3, "nothing comes after the end");
        }
        take(&path, &request(DENSE), Pass::Best).unwrap();
    }
}

#[test]
fn a_sink_is_asked_for_every_packet_and_may_end_the_work_before_any_frame() {
    struct Asked {
        times: u64,
        end: u64,
        frames: usize,
    }
    impl Sink for Asked {
        fn plan(&mut self, _: ClipPlan) -> Result<(), VideoError> {
            Ok(())
        }

        fn frame(&mut self, _: u64, _: Vec<u8>) -> Result<(), VideoError> {
            self.frames += 1;
            Ok(())
        }

        fn heartbeat(&mut self) -> Result<(), VideoError> {
            self.times += 1;
            if self.times == self.end { Err(VideoError::Stopped) } else { Ok(()) }
        }
    }
    let folder = Folder::new();
    let path = folder.make("a.mp4", &h264(100));
    // The plain pass reads all packets twice: to count, then to pick.
    for (pass, packets) in [(Pass::Best, 100), (Pass::Plain, 200)] {
        let mut sink = Asked { times: 0, end: u64::MAX, frames: 0 };
        frames::extract(&path, &request(SPARSE), pass, &mut sink).unwrap();
        assert_eq!(sink.times, packets);
    }
    let mut sink = Asked { times: 0, end: 60, frames: 0 };
    let error = frames::extract(&path, &request(SPARSE), Pass::Plain, &mut sink).unwrap_err();
    assert!(matches!(error, VideoError::Stopped) && sink.frames == 0 && sink.times == 60, "{error:?}");
    assert_eq!(full_decode::count_frames(&path, &Limits::default()).unwrap(), 100);
}

/// A file with this content, and a hole of a terabyte at this position.
fn with_hole(path: &Path, at: usize) {
    let content = std::fs::read(path).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(at as u64).unwrap();
    file.set_len((1 << 40) + content.len() as u64).unwrap();
    file.write_all_at(&content[at..], (1 << 40) + at as u64).unwrap();
}

/// Each took a decoder for as long as it takes to read a terabyte.
#[test]
fn holes_of_a_terabyte_are_not_searched_for_frames() {
    let folder = Folder::new();
    for (name, encoder, part) in
        [("a.avi", "mpeg4", 1), ("b.avi", "mpeg4", 2), ("c.flv", "libx264", 1), ("d.mkv", "libx264", 2)]
    {
        let path = folder.make(name, &small(encoder, 60, &[("g", "10")]));
        let size = std::fs::metadata(&path).unwrap().len() as usize;
        // In the middle, or at the end.
        with_hole(&path, size / 2 * part);
        assert!(!matches!(probed(&path, Level::Deep), Verdict::OverLimit { .. }), "{name}");
        let error = take(&path, &request(SPARSE), Pass::Plain).err();
        assert!(error.as_ref().is_none_or(|error| error.kind() == ErrorKind::Corrupt), "{name}: {error:?}");
    }
    let path = folder.path("f.avi");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(probed(&path, Level::Deep), Verdict::Corrupt { .. }));
}

/// A program that lays a file out in full before it downloads may leave a hole behind it. The walk read the hole, and then nothing
/// of the index.
#[test]
fn a_hole_behind_a_whole_file_does_no_harm() {
    let folder = Folder::new();
    for name in ["a.mp4", "b.mov", "c.mkv", "d.webm"] {
        let encoder = if name == "d.webm" { "libvpx" } else { "libx264" };
        let path = folder.make(name, &small(encoder, 60, &[("g", "10")]));
        let whole = probed(&path, Level::Deep);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        for size in [1 << 27, 1 << 33] {
            file.set_len(size).unwrap();
            assert_eq!(probed(&path, Level::Deep), whole, "{name}");
            let frames = take(&path, &request(SPARSE), Pass::Plain).map(|taken| taken.frames.len());
            assert!(frames.is_ok(), "{name}: {frames:?}");
        }
    }
}
