//! H.264 files on which skipping would go wrong: decoders lose, hold back or reorder frames that nothing in them announces.

use std::path::{Path, PathBuf};

use ffmpeg_next as ff;
use reeldeck_contract::recipe::Sampling;

use crate::media::{Folder, SPARSE, request, small, take_both};

/// Some samplings, so that other frames are skipped each time.
const SAMPLINGS: [Sampling; 5] = [
    SPARSE,
    Sampling { clips: 1, length: 1, interval: 1 },
    Sampling { clips: 2, length: 2, interval: 13 },
    Sampling { clips: 5, length: 1, interval: 1 },
    Sampling { clips: 6, length: 3, interval: 9 },
];

/// Joins the packets of files into one, shifted to follow each other; `change` may set other times, in packets of 1/30 s.
fn join(path: PathBuf, parts: &[PathBuf], change: &dyn Fn(&mut ff::Packet)) -> PathBuf {
    let mut output = ff::format::output(&path).unwrap();
    let mut started = 0;
    for (number, part) in parts.iter().enumerate() {
        let mut input = ff::format::input(part).unwrap();
        if number == 0 {
            let mut stream = output.add_stream(None).unwrap();
            stream.set_parameters(input.stream(0).unwrap().parameters());
            // SAFETY: the parameters are those of the new stream; each container has its own tag for a codec.
            unsafe { (*(*stream.as_mut_ptr()).codecpar).codec_tag = 0 };
            output.write_header().unwrap();
        }
        let (from, step) = (input.stream(0).unwrap().time_base(), ff::Rational(1, 30));
        let mut packet = ff::Packet::empty();
        let mut count = 0;
        while packet.read(&mut input).is_ok() {
            packet.rescale_ts(from, step);
            packet.set_pts(packet.pts().map(|time| time + started));
            packet.set_dts(packet.dts().map(|time| time + started));
            change(&mut packet);
            packet.rescale_ts(step, output.stream(0).unwrap().time_base());
            packet.set_position(-1);
            packet.write_interleaved(&mut output).unwrap();
            count += 1;
        }
        started += count;
    }
    output.write_trailer().unwrap();
    path
}

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

/// Clears the flag in every Main profile parameter set that says that there are hints for players, among them how many
/// frames must be held back. What then follows is never read.
fn forget_hints(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let found: Vec<usize> = bytes.windows(3).enumerate().filter(|(_, w)| *w == [0x67, 77, 64]).map(|(at, _)| at).collect();
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
            let path = join(folder.path(name), &parts, &|_| {});
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
        let parts = [part(&folder, "a.mp4", 100, bf, params)];
        forget_hints(&parts[0]);
        for name in ["b.mkv", "b.ts", "b.flv", "b.mp4"] {
            let path = join(folder.path(name), &parts, &|_| {});
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
        let parts = [part(&folder, "a.mp4", 100, bf, "")];
        let path = join(folder.path("b.mkv"), &parts, &|packet| packet.set_pts(packet.dts()));
        for sampling in SAMPLINGS {
            let facts = take_both(&path, &request(sampling)).unwrap().facts;
            assert!(facts.plain_pass, "{facts:?}");
        }
    }
}

#[test]
fn streams_that_begin_in_the_middle() {
    let folder = Folder::new();
    for params in
        ["keyint=25", "keyint=25:open-gop=1", "keyint=25:open-gop=1:b-pyramid=normal", "intra-refresh=1:keyint=20"]
    {
        let params = format!("b-adapt=0:{params}");
        let path = folder.make("a.ts", &small("libx264", 120, &[("bf", "3"), ("x264-params", &params)]));
        let bytes = std::fs::read(&path).unwrap();
        let packets = bytes.len() / 188;
        for cut in 1..24 {
            let path = folder.write("b.ts", &bytes[packets * cut / 32 * 188..]);
            for sampling in SAMPLINGS {
                let _ = take_both(&path, &request(sampling));
            }
        }
    }
}
