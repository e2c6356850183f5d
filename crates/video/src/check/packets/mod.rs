//! What the bytes of a packet say about its health, without decoding: each codec has rules that an encoder must keep, that
//! cost next to nothing to check, and that damage breaks.

use crate::codec::CodecId;
use crate::nal::Framing;

/// So many zeros in a row are no chance. Runs are found for certain from this length on.
const ZEROS: usize = 16;

/// The arithmetic coders of VP8, VP9 and AV1 may give a few zeros in a row, but none gives these.
const ZEROS_CODED: usize = 512;

/// How the packets of a codec are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    /// NAL units of H.264.
    H264(Framing),
    /// NAL units of H.265.
    Hevc(Framing),
    /// MPEG-1, 2 and 4: start codes, which cannot occur by chance in what lies between them.
    StartCodes,
    Vp8,
    Vp9,
    Av1,
    Jpeg,
    /// Nothing is known: every packet is fine.
    Other,
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Zeros where an encoder writes none.
    Zeros,
    /// Its parts do not make up the whole.
    Misframed,
}

/// Goes through the packets of a stream and notes what is wrong.
#[derive(Debug)]
pub struct Packets {
    make: Make,
    sound: u64,
    zeroed: u64,
    misframed: u64,
    cut: u64,
    /// Time of the first flawed packet, in ticks.
    first: [Option<i64>; 3],
}

/// What was wrong with the packets of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Packets with zeros where an encoder writes none.
    pub zeroed: u64,
    /// Packets whose parts do not make up the whole.
    pub misframed: u64,
    /// Packets that the file ends in the middle of.
    pub cut: u64,
    /// When the first of them is shown, in ticks, where that is known.
    pub first: Option<i64>,
}

impl Flaws {
    /// Packets with a flaw.
    pub fn packets(&self) -> u64 {
        self.zeroed + self.misframed + self.cut
    }
}

impl Packets {
    /// For a stream of this codec with this extra data.
    pub fn new(codec: CodecId, extradata: &[u8]) -> Self {
        let make = match codec {
            CodecId::H264 => Make::H264(Framing::of(extradata)),
            CodecId::HEVC => Make::Hevc(hevc_framing(extradata)),
            CodecId::MPEG1 | CodecId::MPEG2 | CodecId::MPEG4 => Make::StartCodes,
            CodecId::VP8 => Make::Vp8,
            CodecId::VP9 => Make::Vp9,
            CodecId::AV1 => Make::Av1,
            CodecId::MJPEG => Make::Jpeg,
            _ => Make::Other,
        };
        Self { make, sound: 0, zeroed: 0, misframed: 0, cut: 0, first: [None; 3] }
    }

    /// Looks at one packet: its data, when it is shown, and whether the demuxer got only a part of it.
    pub fn look(&mut self, data: &[u8], time: Option<i64>, cut: bool) {
        let (kind, count) = match flaw(data, self.make) {
            _ if cut => (2, &mut self.cut),
            None => return self.sound += 1,
            Some(Flaw::Zeros) => (0, &mut self.zeroed),
            Some(Flaw::Misframed) => (1, &mut self.misframed),
        };
        *count += 1;
        self.first[kind] = self.first[kind].or(time);
    }

    /// What was wrong with all of them. Where most packets break the rules of framing, the stream is made by other rules,
    /// and those do not count.
    pub fn flaws(&self) -> Flaws {
        let other_rules = 2 * self.sound < self.misframed;
        let misframed = if other_rules { 0 } else { self.misframed };
        let firsts = [self.first[0], self.first[1].filter(|_| !other_rules), self.first[2]];
        Flaws { zeroed: self.zeroed, misframed, cut: self.cut, first: firsts.into_iter().flatten().min() }
    }
}

/// From the codec's extra data: an `hvcC` record names the length size.
fn hevc_framing(extradata: &[u8]) -> Framing {
    match extradata {
        [first, ..] if extradata.len() > 22 && (*first != 0 || extradata[1] != 0 || extradata[2] > 1) => {
            Framing::Length(usize::from(extradata[21] & 3) + 1)
        }
        _ => Framing::StartCode,
    }
}

fn flaw(data: &[u8], make: Make) -> Option<Flaw> {
    // Some containers use empty packets to say that nothing changes.
    if data.is_empty() || make == Make::Other {
        return None;
    }
    match make {
        Make::H264(Framing::Length(size)) => units(data, size, &|unit| Unit::of_h264(unit)),
        Make::Hevc(Framing::Length(size)) => units(data, size, &|unit| Unit::of_hevc(unit)),
        Make::H264(Framing::StartCode) => started(data, &|unit| Unit::of_h264(unit) == Unit::Picture),
        Make::Hevc(Framing::StartCode) => started(data, &|unit| Unit::of_hevc(unit) == Unit::Picture),
        Make::StartCodes => started(data, &|_| true),
        Make::Vp8 => sound(vp8(data)).or_else(|| coded(data)),
        Make::Vp9 => sound(data[0] >> 6 == 2).or_else(|| coded(data)),
        Make::Av1 => sound(av1(data).is_some()).or_else(|| coded(data)),
        Make::Jpeg => sound(data.len() < ZEROS || data.starts_with(&[0xff, 0xd8])),
        Make::Other => None,
    }
}

fn sound(fine: bool) -> Option<Flaw> {
    (!fine).then_some(Flaw::Misframed)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Coded pixels.
    Picture,
    /// Anything else.
    Aside,
    /// No encoder begins a unit so.
    Invalid,
}

impl Unit {
    fn of_h264(unit: &[u8]) -> Self {
        match unit.first() {
            None | Some(0x80..) => Self::Invalid,
            Some(header) if (1..=5).contains(&(header & 31)) => Self::Picture,
            Some(_) => Self::Aside,
        }
    }

    fn of_hevc(unit: &[u8]) -> Self {
        match unit {
            [first, second, ..] if first & 0x80 != 0 || second & 7 == 0 => Self::Invalid,
            [first, _, ..] if first >> 1 < 32 => Self::Picture,
            [_, _, ..] => Self::Aside,
            _ => Self::Invalid,
        }
    }
}

/// Units that are preceded by their lengths, which must add up to the packet.
fn units(data: &[u8], size: usize, kind: &dyn Fn(&[u8]) -> Unit) -> Option<Flaw> {
    if data.len() >= ZEROS && data.iter().take(ZEROS).all(|byte| *byte == 0) {
        return Some(Flaw::Zeros);
    }
    let mut rest = data;
    // FFmpeg takes no notice of a remainder that is too short for a unit.
    while rest.len() > size.max(3) {
        let (length, body) = rest.split_at(size);
        let length = length.iter().fold(0_usize, |n, byte| n << 8 | usize::from(*byte));
        let Some((unit, next)) = body.split_at_checked(length).filter(|_| length > 0) else {
            return Some(Flaw::Misframed);
        };
        match kind(unit) {
            Unit::Invalid => return Some(Flaw::Misframed),
            Unit::Picture if zeros(unit, ZEROS) => return Some(Flaw::Zeros),
            _ => {}
        }
        rest = next;
    }
    None
}

/// Units that begin with start codes. `pictures` says whether a unit holds coded pixels: in these the rules are kept by all.
fn started(data: &[u8], pictures: &dyn Fn(&[u8]) -> bool) -> Option<Flaw> {
    if data.len() < ZEROS {
        return None;
    }
    let Some(begin) = data.iter().position(|byte| *byte != 0) else { return Some(Flaw::Zeros) };
    if begin < 2 || data[begin] != 1 {
        return Some(Flaw::Misframed);
    }
    let run = zero_runs(data, ZEROS).find(|run| {
        let unit = data[..run.start].windows(3).rposition(|w| w == [0, 0, 1]).map(|at| &data[at + 3..]);
        data.get(run.end).is_some_and(|next| *next != 1) && unit.is_some_and(pictures)
    });
    run.map(|_| Flaw::Zeros)
}

/// Zeros amid what an arithmetic coder wrote.
fn coded(data: &[u8]) -> Option<Flaw> {
    zeros(data, ZEROS_CODED).then_some(Flaw::Zeros)
}

/// Whether there is a run of so many zeros that neither ends the data nor leads to a start code: both are padding.
fn zeros(data: &[u8], least: usize) -> bool {
    zero_runs(data, least).any(|run| data.get(run.end).is_some_and(|next| *next != 1))
}

/// The runs of at least `least` zeros, which must be 15 or more.
fn zero_runs(data: &[u8], least: usize) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            // A run of 15 covers a whole word, wherever it begins.
            let (words, _) = data.get(from..)?.as_chunks::<8>();
            let word = from + 8 * words.iter().position(|word| u64::from_ne_bytes(*word) == 0)?;
            let start = data[..word].iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            let end = data[word..].iter().position(|byte| *byte != 0).map_or(data.len(), |at| word + at);
            from = end;
            if end - start >= least {
                return Some(start..end);
            }
        }
    })
}

/// A frame's head: the first part fits into the frame, and a keyframe has its start code.
fn vp8(data: &[u8]) -> bool {
    let [a, b, c, rest @ ..] = data else { return data.len() < 3 };
    let first_part = (u32::from(*a) | u32::from(*b) << 8 | u32::from(*c) << 16) >> 5;
    let is_key = a & 1 == 0;
    let rest = if is_key { rest.strip_prefix(&[0x9d, 0x01, 0x2a]).and_then(|rest| rest.get(4..)) } else { Some(rest) };
    rest.is_some_and(|rest| first_part as usize <= rest.len())
}

/// A temporal unit: open bitstream units that make up the whole.
fn av1(data: &[u8]) -> Option<()> {
    let mut rest = data;
    while let [header, body @ ..] = rest {
        let (extended, sized) = (header & 4 != 0, header & 2 != 0);
        let body = if extended { body.get(1..)? } else { body };
        // The first bit is forbidden, and no unit is of kind 0.
        if header & 0x80 != 0 || header >> 3 & 15 == 0 {
            return None;
        }
        if !sized {
            // Only the last may leave out its size.
            return Some(());
        }
        let (mut size, mut shift, mut at) = (0_u64, 0, 0);
        loop {
            let byte = *body.get(at)?;
            size |= u64::from(byte & 0x7f) << shift;
            (shift, at) = (shift + 7, at + 1);
            if byte & 0x80 == 0 {
                break;
            }
            if at == 8 {
                return None;
            }
        }
        rest = body.get(at..)?.get(usize::try_from(size).ok()?..)?;
    }
    Some(())
}

#[cfg(test)]
mod tests;
