//! Tables of an MP4 file that are well formed, and do not fit each other; and files with several video streams.

use std::ops::Range;

use reeldeck_common::probe::{Facts, Level, Verdict};
use reeldeck_video::synth::Synth;

use crate::media::{Folder, SPARSE, assert_healthy, contained, h264, probed, request, small, take_both};
use crate::mux;

const FRAMES: u32 = 120;

fn original(folder: &Folder) -> Vec<u8> {
    let synth = contained(small("libx264", FRAMES.into(), &[("bf", "0")]), &[("movflags", "+faststart")]);
    std::fs::read(folder.make("whole.mp4", &synth)).unwrap()
}

/// Where the content of a box begins.
fn content(bytes: &[u8], kind: &[u8; 4]) -> usize {
    bytes.windows(4).position(|w| w == kind).unwrap() + 4
}

fn get(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

#[test]
fn tables_that_list_half_of_the_frames_are_damage() {
    let folder = Folder::new();
    for also_chunks in [false, true] {
        let mut bytes = original(&folder);
        let (sizes, times, chunks) = (content(&bytes, b"stsz"), content(&bytes, b"stts"), content(&bytes, b"stsc"));
        assert_eq!([get(&bytes, sizes + 8), get(&bytes, times + 8)], [FRAMES; 2]);
        put(&mut bytes, sizes + 8, FRAMES / 2);
        put(&mut bytes, times + 8, FRAMES / 2);
        // The second half of the table of sizes becomes a box without a meaning.
        let length = get(&bytes, sizes - 8);
        put(&mut bytes, sizes - 8, length - FRAMES / 2 * 4);
        let rest = sizes + 12 + FRAMES as usize / 2 * 4;
        put(&mut bytes, rest, FRAMES / 2 * 4);
        bytes[rest + 4..rest + 8].copy_from_slice(b"free");
        if also_chunks {
            assert_eq!([get(&bytes, chunks + 4), get(&bytes, chunks + 12)], [1, FRAMES], "one chunk");
            put(&mut bytes, chunks + 12, FRAMES / 2);
        }
        let path = folder.write("half.mp4", &bytes);
        for level in [Level::Quick, Level::Deep] {
            let Verdict::Damaged { lost, facts, reason, .. } = probed(&path, level) else { panic!("{level:?}") };
            assert_eq!((lost, facts.frames), (60, 120), "{reason}");
            assert!(reason.contains("its tables list fewer frames"), "{reason}");
        }
    }
}

#[test]
fn a_wrong_bit_in_the_table_of_times_is_damage_and_the_headers_tell_the_duration() {
    let folder = Folder::new();
    let whole = original(&folder);
    let step = content(&whole, b"stts") + 12;
    // Sums may differ by an eighth.
    for bit in 7..31 {
        let mut bytes = whole.clone();
        let wrong = get(&bytes, step) ^ 1 << bit;
        put(&mut bytes, step, wrong);
        let path = folder.write("wrong.mp4", &bytes);
        // Frames that are late by the table lie behind the end of the edit list, and FFmpeg leaves them out.
        let (facts, lost) = match probed(&path, Level::Quick) {
            Verdict::Damaged { facts, lost, reason, .. } => {
                assert!(reason.contains("the index is damaged: the durations of its frames"), "{bit}: {reason}");
                (facts, lost)
            }
            other => panic!("{bit}: {other:?}"),
        };
        assert!((facts.duration_s - 4.0).abs() < 0.1 && facts.frames == u64::from(FRAMES), "{bit}: {facts:?}");
        assert_eq!(facts.fps, [30_000, 1000], "{bit}");
        if lost == 0 {
            let extracted = take_both(&path, &request(SPARSE)).unwrap().facts;
            assert_eq!((extracted.fps, extracted.counts.concealed), (facts.fps, 1), "{bit}");
        }
    }
}

#[test]
fn a_small_change_of_a_duration_hides_no_frame_behind_an_edit_list() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.make("whole.mp4", &h264(FRAMES.into()))).unwrap();
    assert!(get(&whole, content(&whole, b"elst") + 4) == 1, "an edit list hides the delay by reordering");
    let step = content(&whole, b"stts") + 12;
    let mut noticed = 0;
    for bit in 0..31 {
        let mut bytes = whole.clone();
        let wrong = get(&bytes, step) ^ 1 << bit;
        put(&mut bytes, step, wrong);
        match probed(&folder.write("wrong.mp4", &bytes), Level::Quick) {
            Verdict::Healthy { facts } => assert_eq!(facts.frames, u64::from(FRAMES), "{bit}"),
            Verdict::Damaged { facts, .. } => {
                assert_eq!(facts.frames, u64::from(FRAMES), "{bit}");
                noticed += 1;
            }
            other => panic!("{bit}: {other:?}"),
        }
    }
    assert!(noticed > 20, "{noticed}");
}

/// Flips each bit of a box's content, and gives the changed files that count as healthy.
fn healthy_with_one_bit(folder: &Folder, whole: &[u8], kind: &[u8; 4], range: Range<usize>) -> Vec<(String, Facts)> {
    let bits = range.flat_map(|at| (0..8).map(move |bit| (at, bit)));
    let flipped = bits.filter_map(|(at, bit)| {
        let mut bytes = whole.to_vec();
        bytes[content(whole, kind) + at] ^= 1 << bit;
        match probed(&folder.write("flipped.mp4", &bytes), Level::Quick) {
            Verdict::Healthy { facts } => Some((format!("byte {at}, bit {bit}"), facts)),
            _ => None,
        }
    });
    flipped.collect()
}

#[test]
fn a_wrong_time_scale_of_the_movie_hides_no_frame() {
    let folder = Folder::new();
    for seconds in [4, 5, 10] {
        let frames = 25 * seconds;
        let whole = std::fs::read(folder.make("whole.mp4", &Synth { fps: 25, ..h264(frames) })).unwrap();
        for (place, facts) in healthy_with_one_bit(&folder, &whole, b"mvhd", 12..16) {
            // Of healthy files, edit lists leave out up to two frames at the end.
            assert!(facts.frames + 2 >= frames, "{seconds} seconds, {place}: {} frames", facts.frames);
        }
    }
}

#[test]
fn wrong_times_of_uneven_frames_change_neither_their_number_nor_the_duration() {
    let folder = Folder::new();
    let frames = u64::from(FRAMES);
    let whole = std::fs::read(folder.make("whole.mp4", &Synth { fps: 25, uneven: 4, ..h264(frames) })).unwrap();
    let Verdict::Healthy { facts } = probed(&folder.write("same.mp4", &whole), Level::Quick) else { panic!() };
    let seconds = facts.duration_s;
    // The time scale; the number of entries, and the first of them.
    for (kind, range) in [(b"mdhd", 12..16), (b"stts", 4..40)] {
        for (place, facts) in healthy_with_one_bit(&folder, &whole, kind, range) {
            // 12288 instead of 12800 ticks a second is also usual: all numbers fit a video that was shortened to 96 %.
            let least = if place == "byte 14, bit 1" { frames * 96 / 100 } else { frames - 2 };
            assert!(facts.frames >= least, "{place}: {} frames", facts.frames);
            assert!((facts.duration_s / seconds - 1.0).abs() < 0.25, "{place}: {} of {seconds} s", facts.duration_s);
        }
    }
}

#[test]
fn an_index_that_lists_frames_without_any_data_belongs_to_a_cut_file() {
    let folder = Folder::new();
    let whole = original(&folder);
    let end = whole.windows(4).position(|w| w == b"mdat").unwrap() - 4;
    let path = folder.write("index.mp4", &whole[..end]);
    for level in [Level::Quick, Level::Deep] {
        let Verdict::Corrupt { reason } = probed(&path, level) else { panic!("{level:?}") };
        assert!(reason.contains("it ends before its first picture; download it again"), "{reason}");
    }
}

#[test]
fn of_several_video_streams_the_default_one_is_taken() {
    let folder = Folder::new();
    let track = |name: &str, width, frames| {
        let synth = Synth { width, height: width, ..contained(small("libx264", frames, &[]), &[]) };
        mux::pictures(&folder.make(name, &synth))
    };
    let tracks = vec![track("a.mp4", 48, 60), track("b.mp4", 96, 45), track("c.mp4", 64, 50)];
    let path = mux::write(folder.path("several.mp4"), tracks);
    assert_healthy(&path, 60);
    assert_eq!(take_both(&path, &request(SPARSE)).unwrap().facts.size, [48, 48]);
}
