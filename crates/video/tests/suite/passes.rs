//! The fast pass against the plain one: the same plan and the same pixels for healthy files of all sorts.

use proptest::prelude::*;
use reeldeck_common::recipe::{Sampling, Transform};
use reeldeck_video::frames::{Extraction, Request};
use reeldeck_video::synth::Synth;

use crate::media::{DENSE, Folder, SMALL, SPARSE, assert_healthy, contained, h264, request, small, take_both};

/// How a file must be extracted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Fast, with frames that were not decoded.
    Skips,
    /// Fast, but nothing can be skipped.
    Fast,
    /// By the plain pass: its packets have no times of their own.
    Plain,
}

fn check(folder: &Folder, name: &str, synth: &Synth, sampling: Sampling) -> Extraction {
    let path = folder.make(name, synth);
    let taken = take_both(&path, &request(sampling)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let counts = taken.facts.counts;
    assert_eq!((counts.output, counts.concealed, counts.lost()), (synth.frames, 0, 0), "{name}");
    assert_healthy(&path, synth.frames);
    std::fs::remove_file(path).unwrap();
    taken.facts
}

fn check_way(folder: &Folder, name: &str, synth: &Synth, way: Way) {
    let facts = check(folder, name, synth, SPARSE);
    let went = match facts {
        Extraction { plain_pass: true, .. } => Way::Plain,
        Extraction { skipped: 0, .. } => Way::Fast,
        _ => Way::Skips,
    };
    assert_eq!(went, way, "{name}: {facts:?}");
    check(folder, name, synth, DENSE);
}

#[test]
fn h264_of_every_structure() {
    let folder = Folder::new();
    for (bf, params, way) in [
        ("0", "", Way::Fast),
        ("1", "b-adapt=0", Way::Skips),
        ("2", "b-adapt=0:b-pyramid=none", Way::Skips),
        ("3", "b-adapt=0:b-pyramid=normal", Way::Skips),
        ("3", "b-adapt=0:b-pyramid=strict", Way::Skips),
        ("3", "b-adapt=2:b-pyramid=normal", Way::Skips),
        ("2", "b-adapt=0:open-gop=1:keyint=27:scenecut=0", Way::Skips),
        ("3", "b-adapt=0:open-gop=1:b-pyramid=normal:keyint=27:scenecut=0", Way::Skips),
        ("3", "b-adapt=2:open-gop=1:b-bias=100:b-pyramid=strict:keyint=11:scenecut=0", Way::Skips),
        ("2", "b-adapt=0:keyint=1", Way::Fast),
        ("2", "b-adapt=0:keyint=4:min-keyint=2", Way::Skips),
        ("2", "b-adapt=0:keyint=infinite", Way::Skips),
        ("2", "b-adapt=0:weightp=2:weightb=1", Way::Skips),
        ("0", "weightp=2:ref=5", Way::Fast),
        ("2", "b-adapt=0:slices=3", Way::Skips),
        ("2", "b-adapt=0:intra-refresh=1:keyint=20", Way::Skips),
        ("2", "b-adapt=0:interlaced=1:tff=1", Way::Skips),
        ("3", "b-adapt=0:bff=1:b-pyramid=normal:slices=2", Way::Skips),
        ("2", "b-adapt=0:fake-interlaced=1", Way::Skips),
        ("2", "b-adapt=0:cabac=0:no-deblock=1", Way::Skips),
        ("2", "b-adapt=0:direct=temporal:ref=4", Way::Skips),
        ("2", "b-adapt=0:nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500:aud=1", Way::Skips),
        ("2", "b-adapt=0:qp=0", Way::Fast),
    ] {
        let synth = small("libx264", 100, &[("bf", bf), ("x264-params", params)]);
        check_way(&folder, "a.mp4", &synth, way);
    }
}

const OPEN_X265: &[(&str, &str)] =
    &[("bf", "3"), ("x265-params", "log-level=none:pools=none:frame-threads=1:open-gop=1:keyint=17:scenecut=0")];

#[test]
fn other_codecs_and_containers() {
    let folder = Folder::new();
    let x264: &[(&str, &str)] = &[("bf", "2"), ("x264-params", "b-adapt=0")];
    for (name, encoder, options, way) in [
        ("a.mov", "libx264", x264, Way::Skips),
        ("a.mkv", "libx264", x264, Way::Skips),
        ("a.ts", "libx264", x264, Way::Skips),
        ("a.flv", "libx264", x264, Way::Skips),
        ("a.avi", "libx264", x264, Way::Plain),
        ("a.h264", "libx264", x264, Way::Plain),
        ("a.mp4", "libx265", &[("bf", "3")], Way::Fast),
        ("a.mkv", "libx265", OPEN_X265, Way::Fast),
        ("a.ts", "libx265", &[], Way::Fast),
        ("a.hevc", "libx265", &[], Way::Plain),
        ("a.webm", "libvpx-vp9", &[], Way::Fast),
        ("a.webm", "libvpx-vp9", &[("deadline", "good"), ("auto-alt-ref", "1"), ("lag-in-frames", "16")], Way::Fast),
        ("a.mp4", "libvpx-vp9", &[], Way::Fast),
        ("a.ivf", "libvpx-vp9", &[], Way::Fast),
        ("a.webm", "libvpx", &[("auto-alt-ref", "1"), ("lag-in-frames", "8")], Way::Fast),
        ("a.avi", "mpeg4", &[("bf", "2")], Way::Plain),
        ("a.mp4", "mpeg4", &[("bf", "2")], Way::Fast),
        ("a.mkv", "mpeg4", &[("bf", "0")], Way::Fast),
        ("a.ts", "mpeg2video", &[("bf", "2")], Way::Fast),
        ("a.mpg", "mpeg2video", &[("bf", "2")], Way::Plain),
        ("a.mov", "mjpeg", &[], Way::Fast),
        ("a.mkv", "mjpeg", &[], Way::Fast),
        ("a.avi", "mjpeg", &[], Way::Fast),
        ("a.mkv", "ffv1", &[], Way::Fast),
        ("a.avi", "ffvhuff", &[], Way::Fast),
        ("a.flv", "flv", &[], Way::Fast),
        ("a.wmv", "wmv2", &[], Way::Fast),
        ("a.ogv", "libtheora", &[], Way::Fast),
    ] {
        println!("{name} {encoder} {options:?}");
        let synth = small(encoder, 100, options);
        check_way(&folder, name, &synth, way);
    }
}

#[test]
fn every_length_that_matters() {
    let folder = Folder::new();
    for frames in [1, 2, 7, 8, 9, 56, 57, 58, 100, 301] {
        for sampling in [DENSE, SPARSE] {
            check(&folder, "a.mp4", &h264(frames), sampling);
            check(&folder, "b.mkv", &h264(frames), sampling);
            check(&folder, "c.avi", &small("mpeg4", frames, &[("bf", "2")]), sampling);
            check(&folder, "d.mp4", &small("mpeg4", frames, &[("bf", "1")]), sampling);
            check(&folder, "e.mkv", &small("ffv1", frames, &[]), sampling);
            check(&folder, "f.mov", &small("mjpeg", frames, &[]), sampling);
        }
        // x265 gives a lone frame no decoding time unless it is told that there are no B-frames.
        check(&folder, "g.mp4", &small("libx265", frames, &[("bf", "0")]), SPARSE);
        check(&folder, "h.webm", &small("libvpx-vp9", frames, &[]), SPARSE);
    }
}

#[test]
fn uneven_timing() {
    let folder = Folder::new();
    for uneven in [1, 2, 3, 7] {
        // Where there is no index, a frame that comes late cannot be told from one that was lost before it.
        let without_index = if uneven == 1 { Way::Skips } else { Way::Fast };
        check_way(&folder, "a.mp4", &Synth { uneven, ..h264(100) }, Way::Skips);
        for name in ["a.mkv", "a.ts", "a.flv"] {
            check_way(&folder, name, &Synth { uneven, ..h264(100) }, without_index);
        }
        check_way(&folder, "a.mkv", &Synth { uneven, ..small("libx265", 60, &[]) }, Way::Fast);
        check_way(&folder, "a.webm", &Synth { uneven, ..small("libvpx-vp9", 60, &[]) }, Way::Fast);
    }
}

#[test]
fn turned_pictures_of_even_and_odd_sizes() {
    let folder = Folder::new();
    for rotate in [90, 180, 270] {
        for (width, height) in [(64, 48), (48, 64), (66, 50), (64, 64)] {
            let synth = Synth { rotate, width, height, ..h264(40) };
            check_way(&folder, "a.mp4", &synth, Way::Skips);
            let facts = check(&folder, "a.mov", &synth, SPARSE);
            assert_eq!(facts.size, if rotate == 180 { [width, height] } else { [height, width] });
        }
        for (width, height) in [(65, 49), (49, 64), (50, 61)] {
            for (encoder, pixels) in [("mpeg4", "yuv420p"), ("libx264", "yuv444p"), ("libx265", "gray")] {
                let synth = Synth { rotate, width, height, pixels: pixels.into(), ..small(encoder, 20, &[]) };
                let facts = check(&folder, "a.mp4", &synth, SPARSE);
                assert_eq!(facts.size, if rotate == 180 { [width, height] } else { [height, width] });
            }
        }
    }
}

#[test]
fn fragmented_files() {
    let folder = Folder::new();
    for movflags in ["frag_keyframe+empty_moov", "frag_keyframe", "empty_moov+frag_every_frame+default_base_moof"] {
        check_way(&folder, "a.mp4", &contained(h264(100), &[("movflags", movflags)]), Way::Skips);
        check_way(&folder, "a.mov", &contained(small("libx265", 40, &[]), &[("movflags", movflags)]), Way::Fast);
    }
}

#[test]
fn rare_pixel_formats() {
    let folder = Folder::new();
    for (encoder, pixels, way) in [
        ("libx264", "yuv422p", Way::Skips),
        ("libx264", "yuv444p", Way::Skips),
        ("libx264", "yuv420p10le", Way::Skips),
        ("libx264", "yuvj420p", Way::Skips),
        ("libx264", "nv12", Way::Skips),
        ("libx264", "gray", Way::Skips),
        ("libx265", "yuv420p10le", Way::Fast),
        ("libx265", "gbrp", Way::Fast),
        ("ffv1", "yuv410p", Way::Fast),
        ("ffv1", "yuv440p", Way::Fast),
        ("ffv1", "yuv444p10le", Way::Fast),
        ("ffv1", "gbrp10le", Way::Fast),
        ("libvpx-vp9", "yuv444p", Way::Fast),
    ] {
        let options: &[_] = if encoder == "libx264" { &[("bf", "2"), ("x264-params", "b-adapt=0")] } else { &[] };
        let synth = Synth { pixels: pixels.into(), ..small(encoder, 60, options) };
        println!("{encoder} {pixels}");
        check_way(&folder, "a.mkv", &synth, way);
    }
}

/// All combinations of these settings of x264.
pub fn any_h264() -> impl Strategy<Value = Synth> {
    let structure = (0..4u32, 0..3u32, 1..60u32, any::<bool>(), 1..6u32, 1..4u32);
    let tools = (0..3u32, any::<bool>(), any::<bool>(), any::<bool>(), 0..3u32, 10..45u32);
    let picture = (4..20u32, 4..20u32, 1..140u64, 0..6u64, any::<u32>());
    (structure, tools, picture).prop_map(|(structure, tools, (width, height, frames, uneven, seed))| {
        let (bf, pyramid, keyint, open_gop, references, slices) = structure;
        let (weightp, weightb, interlaced, cabac, adapt, crf) = tools;
        let flag = u32::from;
        let params = format!(
            "keyint={keyint}:min-keyint=1:open-gop={}:b-pyramid={pyramid}:b-adapt={adapt}:ref={references}:slices={slices}:scenecut={}:\
             weightp={weightp}:weightb={}:interlaced={}:cabac={}:crf={crf}",
            flag(open_gop),
            if open_gop { 0 } else { 40 },
            flag(weightb),
            flag(interlaced),
            flag(cabac),
        );
        let synth = small("libx264", frames, &[("bf", bf.to_string().as_str()), ("x264-params", &params)]);
        Synth { width: width * 4, height: height * 4, uneven, seed, ..synth }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_h264_file_and_any_sampling(
        synth in any_h264(), container in 0..6usize, clips in 1..8usize, length in 1..6usize, interval in 1..20usize,
    ) {
        let folder = Folder::new();
        let name = ["a.mp4", "a.mkv", "a.ts", "a.flv", "a.avi", "a.mov"][container];
        // FFmpeg does not recognise a transport stream of a few packets.
        let synth = Synth { frames: if name == "a.ts" { synth.frames.max(12) } else { synth.frames }, ..synth };
        check(&folder, name, &synth, Sampling::spread(clips, length, interval));
    }
}

/// Moves the start of the only edit of an MP4 file later and makes it shorter, both in units of its track and movie. The durations
/// of the track and the movie follow, as in a file from an editor.
pub fn edit(bytes: &mut [u8], later: u32, milliseconds: u32) {
    edit_list(bytes, later, milliseconds);
    // After version, flags and two dates: a scale here, the track's number and a reserved word there.
    for (kind, at) in [(b"mvhd", 16), (b"tkhd", 20)] {
        let start = bytes.windows(4).position(|w| w == kind).unwrap() + 4;
        assert_eq!(bytes[start], 0, "a header in 32 bits");
        bytes[start + at..start + at + 4].copy_from_slice(&milliseconds.to_be_bytes());
    }
}

/// Changes only the edit list.
pub fn edit_list(bytes: &mut [u8], later: u32, milliseconds: u32) {
    let at = bytes.windows(4).position(|w| w == b"elst").unwrap();
    assert_eq!(bytes[at + 4..at + 12], [0, 0, 0, 0, 0, 0, 0, 1], "one edit, in 32 bits");
    let start = u32::from_be_bytes(bytes[at + 16..at + 20].try_into().unwrap());
    bytes[at + 12..at + 16].copy_from_slice(&milliseconds.to_be_bytes());
    bytes[at + 16..at + 20].copy_from_slice(&(start + later).to_be_bytes());
}

#[test]
fn an_edit_list_leaves_out_frames_at_both_ends() {
    let folder = Folder::new();
    let every = request(Sampling::spread(1, 100, 1));
    let synth = Synth { fps: 25, ..h264(100) };
    let path = folder.make("whole.mp4", &synth);
    let whole = take_both(&path, &every).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    // 25 pictures a second are 512 ticks and 40 milliseconds each.
    edit(&mut bytes, 11 * 512, 60 * 40);
    let path = folder.write("edited.mp4", &bytes);
    let part = take_both(&path, &request(Sampling::spread(1, 60, 1))).unwrap();
    assert_eq!((part.facts.counts.output, part.facts.counts.lost()), (60, 0));
    assert_healthy(&path, 60);
    for (index, pixels) in &part.frames {
        assert!(whole.frames[&(index + 11)] == *pixels, "frame {index}");
    }
    let facts = take_both(&path, &request(SPARSE)).unwrap().facts;
    assert!(!facts.plain_pass && facts.skipped > 0, "{facts:?}");
    // FFmpeg does not read packets so long after the end that no shown frame can need them.
    let long = Synth { frames: 300, ..synth };
    let mut bytes = std::fs::read(folder.make("long.mp4", &long)).unwrap();
    edit(&mut bytes, 40 * 512, 100 * 40);
    let facts = take_both(&folder.write("edited.mp4", &bytes), &request(SPARSE)).unwrap().facts;
    assert_eq!((facts.counts.output, facts.counts.lost()), (100, 0));
}

#[test]
fn the_built_in_recipe_on_pictures_of_usual_size() {
    let folder = Folder::new();
    let transform = Transform::short_side(256, 256, SMALL.mean, SMALL.std);
    for (width, height) in [(340, 256), (320, 240), (512, 512)] {
        let path = folder.make("a.mp4", &Synth { width, height, ..h264(70) });
        let taken = take_both(&path, &Request { transform, ..request(DENSE) }).unwrap();
        assert_eq!(taken.facts.size, [width, height]);
        let taken = take_both(&path, &Request { transform, ..request(SPARSE) }).unwrap();
        assert!(taken.facts.skipped > 0);
    }
}
