//! Interlaced video whose frames consist of two fields: in packets of their own, and together in one packet.
//!
//! FFmpeg's encoders write no single fields. Each picture of a progressive video is therefore turned into a field of a frame with twice the
//! height, by changes to the headers alone.

use std::path::{Path, PathBuf};

use ffmpeg_next as ff;
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_video::synth::{self, Synth};

use crate::media::{Folder, SPARSE, assert_healthy, probed, request, small, take_both};
use crate::mux::{self, Track};

/// Fields in the videos.
const FIELDS: u64 = 60;

/// Bits, the highest first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect())
    }

    fn take(&mut self, count: usize) -> Vec<bool> {
        self.0.drain(..count).collect()
    }

    /// A number in Exp-Golomb code, and its bits.
    fn number(&mut self) -> (u32, Vec<bool>) {
        let zeros = self.0.iter().position(|bit| *bit).unwrap();
        let bits = self.take(2 * zeros + 1);
        (bits[zeros..].iter().fold(0, |n, bit| n << 1 | u32::from(*bit)) - 1, bits)
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| (0..8).fold(0, |byte, at| byte << 1 | u8::from(bits.get(at) == Some(&true)));
        self.0.chunks(8).map(byte).collect()
    }
}

/// The contents of a unit of H.264 without the bytes that keep start codes from occurring in it.
fn unescaped(unit: &[u8]) -> Vec<u8> {
    let is_extra = |at: usize| at >= 2 && unit[at - 2..=at] == [0, 0, 3];
    (0..unit.len()).filter(|at| !is_extra(*at)).map(|at| unit[at]).collect()
}

fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut unit = vec![];
    let mut zeros = 0;
    for byte in bytes {
        if zeros >= 2 && *byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        unit.push(*byte);
    }
    unit
}

/// The header of a stream, for frames of fields.
fn stream_header(unit: &[u8]) -> (Vec<u8>, usize) {
    let mut bits = Bits::of(&unescaped(&unit[4..]));
    let mut out = vec![];
    let mut skip = |bits: &mut Bits| {
        let (number, code) = bits.number();
        out.extend(code);
        number
    };
    skip(&mut bits); // The number of the header.
    let frame_number = skip(&mut bits) as usize + 4;
    assert_eq!(skip(&mut bits), 2, "the order of frames is that of the file");
    skip(&mut bits); // Frames that are referred to.
    out.extend(bits.take(1));
    for _ in 0..2 {
        out.extend(bits.number().1); // The size.
    }
    assert_eq!(bits.take(1), [true], "frames only");
    out.extend([false, false]);
    out.append(&mut bits.0);
    // Main profile: the one of the file has no fields.
    ([&[unit[0], 77, 0, unit[3]][..], &escaped(&Bits(out).bytes())].concat(), frame_number)
}

/// A picture as a field. The second field of a frame refers to no other, but does not begin a sequence.
fn field(unit: &[u8], is_bottom: bool, frame_number: usize) -> Vec<u8> {
    assert_eq!(unit[0] & 31, 5, "every picture is a keyframe");
    let mut bits = Bits::of(&unescaped(&unit[1..]));
    let mut out = vec![];
    for _ in 0..3 {
        out.extend(bits.number().1); // The first block, the kind, the header.
    }
    out.extend(bits.take(frame_number));
    out.extend([true, is_bottom]);
    let (_, sequence) = bits.number();
    let marks = bits.take(2);
    if is_bottom {
        out.push(false);
    } else {
        out.extend(sequence);
        out.extend(marks);
    }
    out.append(&mut bits.0);
    // Zeros behind the last bit fill up a byte.
    let end = out.iter().rposition(|bit| *bit).unwrap() + 1;
    out.truncate(end);
    let header = if is_bottom { unit[0] & !31 | 1 } else { unit[0] };
    [&[header][..], &escaped(&Bits(out).bytes())].concat()
}

/// A raw stream of H.264 fields.
fn h264_fields(folder: &Folder) -> PathBuf {
    let options = [("x264-params", "cabac=0:8x8dct=0:keyint=1:bframes=0:sliced-threads=0:aud=0")];
    let whole = std::fs::read(folder.make("progressive.h264", &small("libx264", FIELDS, &options))).unwrap();
    let starts: Vec<usize> = whole.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([whole.len()]);
    let (mut bytes, mut pictures, mut number_bits) = (vec![], 0, 0);
    for (start, end) in starts.iter().zip(ends) {
        let unit = &whole[start + 3..end];
        let unit = &unit[..unit.iter().rposition(|byte| *byte != 0).unwrap() + 1];
        let unit = match unit[0] & 31 {
            7 => {
                let (header, bits) = stream_header(unit);
                number_bits = bits;
                header
            }
            5 => {
                pictures += 1;
                field(unit, pictures % 2 == 0, number_bits)
            }
            6 => continue,
            _ => unit.to_vec(),
        };
        // Headers are needed with the first field only.
        if !(pictures % 2 == 1 && matches!(unit[0] & 31, 7 | 8)) {
            bytes.extend([&[0, 0, 0, 1], &unit[..]].concat());
        }
    }
    assert_eq!(pictures, FIELDS);
    folder.write("fields.h264", &bytes)
}

/// A raw stream of MPEG-2 fields.
fn mpeg2_fields(folder: &Folder) -> PathBuf {
    let mut whole = std::fs::read(folder.make("progressive.m2v", &small("mpeg2video", FIELDS, &[("g", "1")]))).unwrap();
    let starts: Vec<usize> = (0..whole.len() - 4).filter(|at| whole[*at..*at + 3] == [0, 0, 1]).collect();
    let ends = starts.iter().skip(1).copied().chain([whole.len()]);
    let (mut bytes, mut pictures) = (vec![], 0);
    for (start, end) in starts.iter().zip(ends) {
        let (kind, body) = (whole[start + 3], &mut whole[start + 4..end]);
        let mut is_header = false;
        match (kind, body[0] >> 4) {
            // The header of a stream: its height, and that it is interlaced.
            (0xb3, _) => {
                let height = 2 * (u16::from(body[1] & 15) << 8 | u16::from(body[2]));
                (body[1], body[2]) = (body[1] & 0xf0 | (height >> 8) as u8, height as u8);
                is_header = true;
            }
            (0xb5, 1) => {
                body[1] &= !8;
                is_header = true;
            }
            (0xb5, 2) | (0xb8, _) => is_header = true,
            // The extension of a picture: which field it is, and that it is not progressive.
            (0xb5, 8) => {
                pictures += 1;
                body[2] = body[2] & !3 | if pictures % 2 == 1 { 1 } else { 2 };
                body[3] &= !0b1100_0001;
                body[4] &= !0x80;
            }
            _ => {}
        }
        // Headers may not separate two fields.
        if !(is_header && pictures % 2 == 1) {
            bytes.extend_from_slice(&whole[*start..end]);
        }
    }
    assert_eq!(pictures, FIELDS);
    folder.write("fields.m2v", &bytes)
}

/// The same fields with times, each in a packet of its own.
fn track(raw: &Path, codec: &str) -> Track {
    let mut track = mux::pictures(raw);
    track.step = ff::Rational(1, 50);
    if codec == "mpeg2" {
        // FFmpeg joins the fields of MPEG-2.
        let packets = std::mem::take(&mut track.packets);
        track.packets = packets.iter().flat_map(|packet| split(packet.data().unwrap())).collect();
    }
    assert_eq!(track.packets.len() as u64, FIELDS, "{codec}");
    for (time, packet) in track.packets.iter_mut().enumerate() {
        packet.set_pts(Some(time as i64));
        packet.set_dts(Some(time as i64));
        packet.set_duration(1);
        packet.set_flags(if time % 2 == 0 { ff::packet::Flags::KEY } else { ff::packet::Flags::empty() });
    }
    track
}

/// The two pictures of a packet of MPEG-2, the first one with the headers.
fn split(data: &[u8]) -> [ff::Packet; 2] {
    let second = data.windows(4).rposition(|w| w == [0, 0, 1, 0]).unwrap();
    [&data[..second], &data[second..]].map(ff::Packet::copy)
}

/// Two packets in one.
fn joined(mut track: Track) -> Track {
    let packets = std::mem::take(&mut track.packets);
    track.packets = packets
        .chunks(2)
        .map(|pair| {
            let mut both =
                ff::Packet::copy(&pair.iter().flat_map(|packet| packet.data().unwrap()).copied().collect::<Vec<_>>());
            both.set_pts(pair[0].pts());
            both.set_dts(pair[0].dts());
            both.set_duration(2);
            both.set_flags(ff::packet::Flags::KEY);
            both
        })
        .collect();
    track
}

/// All videos with fields: the codec, and the file.
fn raw(folder: &Folder) -> Vec<(&'static str, PathBuf)> {
    let mut raw = vec![("mpeg2", mpeg2_fields(folder))];
    if synth::can_encode(&Synth::default()) {
        raw.push(("h264", h264_fields(folder)));
    }
    raw
}

#[test]
fn two_fields_count_as_one_frame_in_every_container() {
    let folder = Folder::new();
    for (codec, raw) in raw(&folder) {
        assert_healthy(&raw, FIELDS / 2);
        for container in ["ts", "mpg", "mp4", "mov", "mkv", "avi"] {
            for (kind, track) in [("apart", track(&raw, codec)), ("together", joined(track(&raw, codec)))] {
                let path = mux::write(folder.path(&format!("{codec}_{kind}.{container}")), vec![track]);
                assert_healthy(&path, FIELDS / 2);
                let taken = take_both(&path, &request(SPARSE)).unwrap();
                let counts = taken.facts.counts;
                let expected = (FIELDS / 2, FIELDS / 2, 0);
                assert_eq!((counts.expected, counts.output, counts.concealed), expected, "{}", path.display());
            }
        }
    }
}

#[test]
fn a_lost_field_is_noticed_and_a_whole_video_of_fields_has_its_full_length() {
    let folder = Folder::new();
    for (codec, raw) in raw(&folder) {
        let path = mux::write(folder.path(&format!("{codec}.mkv")), vec![track(&raw, codec)]);
        let Verdict::Healthy { facts } = probed(&path, Level::Quick) else { panic!("{codec}") };
        assert!((facts.duration_s - FIELDS as f64 / 50.0).abs() < 0.02, "{codec}: {facts:?}");
        let whole = std::fs::read(&path).unwrap();
        let cut = folder.write("cut.mkv", &whole[..whole.len() * 6 / 10]);
        for level in [Level::Quick, Level::Deep] {
            let Verdict::Damaged { lost, facts, .. } = probed(&cut, level) else { panic!("{codec}: {level:?}") };
            assert!(
                facts.frames.abs_diff(FIELDS / 2) <= 1 && lost.abs_diff(FIELDS / 5) <= 2,
                "{codec}: {lost} {facts:?}"
            );
        }
    }
}
