//! Every byte of small indexes, changed one at a time: no such file may count as healthy with another number of frames.

use std::iter;
use std::ops::Range;

use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_video::check::check;
use reeldeck_video::synth::Synth;

use crate::media::{Folder, contained, h264, small};
use crate::passes::edit;

const FRAMES: u64 = 40;

/// A changed file that counts as healthy with another number of frames.
struct Missed {
    at: usize,
    frames: u64,
    text: String,
}

/// Changes each byte in these ranges, one at a time, and gives those changes that leave a file that counts as healthy with
/// another number of frames. Extraction agrees with the deep check; other tests assert that.
fn missed(folder: &Folder, name: &str, bytes: &[u8], ranges: &[Range<usize>], frames: u64) -> Vec<Missed> {
    let exploring = std::env::var_os("REELDECK_ALL_MUTANTS").is_some();
    let mut missed = vec![];
    for at in ranges.iter().cloned().flatten() {
        let masks = if exploring { vec![1, 2, 4, 8, 16, 32, 64, 128, 0xff] } else { vec![1 << (at % 8), 0xff] };
        for mask in masks {
            let mut changed = bytes.to_vec();
            changed[at] ^= mask;
            let path = folder.write(name, &changed);
            let count =
                |level| match check(&path, level, &Limits::default(), &mut || Ok(())).map(|probed| probed.verdict) {
                    Ok(Verdict::Healthy { facts }) => facts.frames,
                    _ => frames,
                };
            // The deep check finds everything that the quick check finds.
            if count(Level::Quick) != frames && count(Level::Deep) != frames {
                let text = format!("byte {at}, {:#x} -> {:#x}", bytes[at], changed[at]);
                missed.push(Missed { at, frames: count(Level::Deep), text });
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
    let lines: Vec<String> = missed.iter().map(|missed| format!("{}: {} frames", missed.text, missed.frames)).collect();
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
    assert_none("plain", &missed(&folder, "a.mp4", &bytes, &[range], FRAMES));
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
