//! H.264 files in which skipping would give wrong frames: decoders lose, hold back or reorder frames without an announcement in the
//! stream.

use std::path::{Path, PathBuf};

use reeldeck_common::recipe::{Damage, Sampling};
use reeldeck_video::frames::Request;

use crate::media::{Folder, SPARSE, request, small, take_both};
use crate::mux;

/// Some samplings, so that other frames are skipped each time.
const SAMPLINGS: [Sampling; 5] = [
    SPARSE,
    Sampling::spread(1, 1, 1),
    Sampling::spread(2, 2, 13),
    Sampling::spread(5, 1, 1),
    Sampling::spread(6, 3, 9),
];

/// Reads bits and numbers of an H.264 parameter set.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> bool {
        let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
        self.at += 1;
        bit == 1
    }

    fn number(&mut self) -> u32 {
        let mut zeros = 0;
        while !self.bit() {
            zeros += 1;
        }
        (0..zeros).fold(1, |value, _| value << 1 | u32::from(self.bit())) - 1
    }
}

/// Clears the flag for hints to players in every Main profile parameter set. These hints include how many frames must be held back;
/// without the flag they are not read.
fn forget_hints(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let found: Vec<usize> =
        bytes.windows(3).enumerate().filter(|(_, w)| *w == [0x67, 77, 64]).map(|(at, _)| at).collect();
    assert!(found.len() > 1, "the parameter sets are repeated");
    for at in found {
        let mut bits = Bits { bytes: &bytes, at: (at + 4) * 8 };
        let (_id, _frame_number) = (bits.number(), bits.number());
        if bits.number() == 0 {
            bits.number();
        }
        let (_references, _gaps) = (bits.number(), bits.bit());
        assert_eq!((bits.number(), bits.number()), (3, 2), "64 × 48 pixels are 4 × 3 blocks");
        let (frames_only, _direct, cropped) = (bits.bit(), bits.bit(), bits.bit());
        assert!(frames_only && !cropped && bits.bit());
        let flag = bits.at - 1;
        bytes[flag / 8] &= !(0x80 >> (flag % 8));
    }
    std::fs::write(path, bytes).unwrap();
}

fn part(folder: &Folder, name: &str, frames: u64, bf: &str, params: &str) -> PathBuf {
    let params = format!("b-adapt=0:repeat-headers=1:ref=4:scenecut=0:{params}");
    folder.make(name, &small("libx264", frames, &[("bf", bf), ("profile", "main"), ("x264-params", &params)]))
}

#[test]
fn b_frames_that_begin_late_and_unannounced() {
    let folder = Folder::new();
    let mut lost = 0;
    for (bf, params) in [
        ("1", "b-pyramid=none"),
        ("2", "b-pyramid=none"),
        ("3", "b-pyramid=none"),
        ("3", "b-pyramid=normal"),
        ("3", "b-pyramid=strict:keyint=20"),
    ] {
        let parts = [part(&folder, "a.mp4", 50, "0", params), part(&folder, "b.mp4", 70, bf, params)];
        parts.iter().for_each(|part| forget_hints(part));
        for name in ["c.mkv", "c.ts", "c.flv", "c.mp4"] {
            let pictures = parts.iter().map(|part| mux::pictures(part)).reduce(mux::Track::then).unwrap();
            let path = mux::write(folder.path(name), vec![pictures]);
            for sampling in SAMPLINGS {
                let facts = take_both(&path, &request(sampling)).unwrap().facts;
                lost += facts.counts.lost();
            }
        }
    }
    assert!(lost > 0, "the decoder lost no frame, so this tests nothing");
}

#[test]
fn files_without_hints_but_with_b_frames_from_the_start() {
    let folder = Folder::new();
    for (bf, params) in [("1", "b-pyramid=none"), ("2", "b-pyramid=none"), ("3", "b-pyramid=normal")] {
        let whole = part(&folder, "a.mp4", 100, bf, params);
        forget_hints(&whole);
        for name in ["b.mkv", "b.ts", "b.flv", "b.mp4"] {
            let path = mux::write(folder.path(name), vec![mux::pictures(&whole)]);
            for sampling in SAMPLINGS {
                let facts = take_both(&path, &request(sampling)).unwrap().facts;
                assert!(facts.skipped > 0, "{name} {bf}: {facts:?}");
            }
        }
    }
}

#[test]
fn times_in_the_order_of_decoding() {
    let folder = Folder::new();
    for bf in ["1", "2", "3"] {
        let mut pictures = mux::pictures(&part(&folder, "a.mp4", 100, bf, ""));
        pictures.packets.iter_mut().for_each(|packet| packet.set_pts(packet.dts()));
        let path = mux::write(folder.path("b.mkv"), vec![pictures]);
        for sampling in SAMPLINGS {
            let facts = take_both(&path, &request(sampling)).unwrap().facts;
            assert!(facts.plain_pass, "{facts:?}");
        }
    }
}

#[test]
fn streams_that_begin_in_the_middle() {
    let folder = Folder::new();
    let (mut lost, mut skipped) = (0, 0);
    for (bf, params) in [
        ("3", "keyint=25"),
        // Keyframes followed by frames that are shown before them and refer to earlier frames.
        ("2", "keyint=27:scenecut=0:open-gop=1:b-pyramid=none"),
        ("3", "keyint=27:scenecut=0:open-gop=1:b-pyramid=normal"),
        ("2", "keyint=20:intra-refresh=1"),
    ] {
        let params = format!("b-adapt=0:{params}");
        let whole = folder.make("a.mp4", &small("libx264", 90, &[("bf", bf), ("x264-params", &params)]));
        let count = mux::pictures(&whole).packets.len();
        for first in 1..count - 20 {
            let mut rest = mux::pictures(&whole);
            if !rest.packets[first].is_key() && !first.is_multiple_of(11) {
                continue;
            }
            rest.packets.drain(..first);
            let start = rest.packets[0].dts().unwrap();
            for packet in &mut rest.packets {
                packet.set_pts(packet.pts().map(|time| time - start));
                packet.set_dts(packet.dts().map(|time| time - start));
            }
            let path = mux::write(folder.path(["b.mkv", "b.ts"][first % 2]), vec![rest]);
            for sampling in SAMPLINGS {
                let lenient = Request { damage: Damage { max_lost: 1.0 }, ..request(sampling) };
                // After the last keyframe there may be nothing to show.
                let Ok(taken) = take_both(&path, &lenient) else { continue };
                lost += taken.facts.counts.lost();
                skipped += taken.facts.skipped;
            }
        }
    }
    assert!(lost > 0 && skipped > 0, "{lost} frames lost, {skipped} skipped: this tests nothing");
}
