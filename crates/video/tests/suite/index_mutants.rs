//! Every byte of small indexes, changed one at a time: no such file may count as healthy with another number of frames. An MP4 file
//! may not play longer or shorter by a quarter either.

use std::iter;
use std::ops::Range;
use std::path::Path;

use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_video::check::check;
use reeldeck_video::synth::Synth;

use crate::media::{Folder, contained, h264, small};
use crate::passes::edit;

const FRAMES: u64 = 40;

/// A changed file that counts as healthy with another number of frames or another duration.
struct Missed {
    at: usize,
    frames: u64,
    seconds: f64,
    text: String,
}

/// Changes each byte in these ranges, one at a time, and gives those changes that leave a file that counts as healthy with
/// another number of frames or another duration. Extraction agrees with the deep check; other tests assert that.
fn missed(folder: &Folder, name: &str, bytes: &[u8], ranges: &[Range<usize>], frames: u64) -> Vec<Missed> {
    let exploring = std::env::var_os("REELDECK_ALL_MUTANTS").is_some();
    let looked = |path: &Path, level| match check(path, level, &Limits::default(), &mut || Ok(()))
        .map(|probed| probed.verdict)
    {
        Ok(Verdict::Healthy { facts }) => Some((facts.frames, facts.duration_s)),
        _ => None,
    };
    let (_, seconds) = looked(&folder.write(name, bytes), Level::Deep).expect("the original is healthy");
    // Only an MP4 file has durations in several places.
    let has_other_duration = |found: f64| ranges.len() == 1 && (found / seconds - 1.0).abs() > 0.25;
    let is_other = |found: &(u64, f64)| found.0 != frames || has_other_duration(found.1);
    let mut missed = vec![];
    for at in ranges.iter().cloned().flatten() {
        let masks = if exploring { vec![1, 2, 4, 8, 16, 32, 64, 128, 0xff] } else { vec![1 << (at % 8), 0xff] };
        for mask in masks {
            let mut changed = bytes.to_vec();
            changed[at] ^= mask;
            let path = folder.write(name, &changed);
            // The deep check finds everything that the quick check finds.
            let quick = looked(&path, Level::Quick).filter(is_other);
            if let Some((frames, seconds)) = quick.and_then(|_| looked(&path, Level::Deep)).filter(is_other) {
                let text = format!("byte {at}, {:#x} -> {:#x}", bytes[at], changed[at]);
                missed.push(Missed { at, frames, seconds, text });
            }
        }
    }
    missed
}

fn atom(bytes: &[u8], kind: &[u8; 4]) -> Range<usize> {
    let at = bytes.windows(4).position(|w| w == kind).unwrap() - 4;
    let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    at..at + length
}

fn assert_none(what: &str, missed: &[Missed]) {
    let lines: Vec<String> = missed
        .iter()
        .map(|missed| format!("{}: {} frames, {:.2} s", missed.text, missed.frames, missed.seconds))
        .collect();
    assert!(lines.is_empty(), "{what}: {} mutants\n{}", lines.len(), lines.join("\n"));
}

fn tiny(synth: Synth) -> Synth {
    Synth { width: 32, height: 32, ..synth }
}

#[test]
fn of_the_index_of_an_mp4_file() {
    let folder = Folder::new();
    let bytes = std::fs::read(folder.make("a.mp4", &tiny(h264(FRAMES)))).unwrap();
    let range = atom(&bytes, b"moov");
    let mut missed = missed(&folder, "a.mp4", &bytes, &[range], FRAMES);
    // The codec's own header has a frame rate, from which FFmpeg takes the duration of the last frame.
    let codec = atom(&bytes, b"stsd");
    missed.retain(|missed| missed.frames != FRAMES || !codec.contains(&missed.at));
    assert_none("plain", &missed);
}

/// An edit list that hides frames on purpose can hide damage. If it is no longer recognised, all frames are shown, and none is lost.
/// If the time scale of the movie is wrong, the length of the edit is wrong too, and nothing else in the file records it.
#[test]
fn of_the_index_of_an_mp4_file_with_an_edit_list() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(folder.make("a.mp4", &tiny(Synth { fps: 25, ..h264(FRAMES) }))).unwrap();
    edit(&mut bytes, 10 * 512, 20 * 40);
    let movie_scale = atom(&bytes, b"mvhd").start + 20;
    let mut missed = missed(&folder, "a.mp4", &bytes, &[atom(&bytes, b"moov")], 20);
    missed.retain(|missed| missed.frames < 20 && !(movie_scale..movie_scale + 4).contains(&missed.at));
    assert_none("edited", &missed);
}

#[test]
fn of_the_index_of_an_mp4_file_without_reordering() {
    let folder = Folder::new();
    let synth = contained(small("libx264", FRAMES, &[("bf", "0")]), &[("movflags", "+faststart")]);
    let bytes = std::fs::read(folder.make("a.mp4", &tiny(synth))).unwrap();
    let range = atom(&bytes, b"moov");
    assert_none("in order", &missed(&folder, "a.mp4", &bytes, &[range], FRAMES));
}

#[test]
fn of_the_headers_of_fragments() {
    let folder = Folder::new();
    let synth = contained(tiny(h264(FRAMES)), &[("movflags", "frag_keyframe+empty_moov")]);
    let bytes = std::fs::read(folder.make("a.mp4", &synth)).unwrap();
    let data: Vec<usize> = bytes.windows(4).enumerate().filter(|(_, w)| w == b"mdat").map(|(at, _)| at).collect();
    let fragments = bytes.windows(4).enumerate().filter(|(_, w)| w == b"moof").map(|(at, _)| at - 4);
    let mut ranges: Vec<Range<usize>> = fragments.zip(&data).map(|(start, end)| start..end + 4).collect();
    ranges.insert(0, 0..ranges[0].start);
    assert_none("fragmented", &missed(&folder, "a.mp4", &bytes, &ranges, FRAMES));
}

#[test]
fn of_the_headers_and_the_cues_of_a_matroska_file() {
    let folder = Folder::new();
    for (name, synth) in
        [("a.mkv", contained(h264(FRAMES), &[])), ("a.webm", small("libvpx-vp9", FRAMES, &[("g", "15")]))]
    {
        let bytes = std::fs::read(folder.make(name, &tiny(synth))).unwrap();
        let id = [0x1F, 0x43, 0xB6, 0x75];
        let first = bytes.windows(4).position(|w| w == id).unwrap();
        let clusters = bytes.windows(4).enumerate().filter(|(_, w)| *w == id).map(|(at, _)| at..at + 12);
        let cues = bytes.windows(4).rposition(|w| w == [0x1C, 0x53, 0xBB, 0x6B]).unwrap();
        let (header, cues) = (0..first, cues..bytes.len());
        let ranges: Vec<_> = iter::once(header).chain(clusters).chain(iter::once(cues)).collect();
        assert_none(name, &missed(&folder, name, &bytes, &ranges, FRAMES));
    }
}

#[test]
fn of_the_headers_and_the_index_of_an_avi_file() {
    let folder = Folder::new();
    let bytes = std::fs::read(folder.make("a.avi", &tiny(small("mpeg4", FRAMES, &[])))).unwrap();
    let data = bytes.windows(4).position(|w| w == b"movi").unwrap() + 4;
    let index = bytes.windows(4).rposition(|w| w == b"idx1").unwrap();
    assert_none("avi", &missed(&folder, "a.avi", &bytes, &[0..data, index..bytes.len()], FRAMES));
}
