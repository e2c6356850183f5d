//! Damage that shows in the bytes of a packet without decoding it. Each codec has rules that every encoder keeps, that are cheap to
//! check, and that damage breaks.

use crate::codec::CodecId;
use crate::hidden;
use crate::nal::Framing;

/// Runs of this many zeros do not occur in coded frames. Runs are found reliably from this length on.
const ZEROS: usize = 16;

/// The arithmetic coders of VP8, VP9 and AV1 may produce a few zeros in a row, but not this many.
const ZEROS_CODED: usize = 512;

/// The format of a codec's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// NAL units of H.264.
    H264(Framing),
    /// NAL units of H.265.
    Hevc(Framing),
    /// MPEG-1, 2 and 4: start codes, which do not occur in the data between them.
    StartCodes,
    Vp8,
    Vp9,
    Av1,
    Jpeg,
    /// No rules are known.
    Other,
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Zeros where an encoder writes none.
    Zeros,
    /// Its parts do not make up the whole.
    Misframed,
}

/// Checks the packets of a stream.
#[derive(Debug)]
pub(crate) struct PacketRules {
    format: Format,
    sound: u64,
    zeroed: u64,
    misframed: u64,
    /// Times of the first packet with each flaw, in ticks.
    first: [Option<i64>; 2],
}

/// What is wrong with the packets of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaws {
    /// Packets with zeros where an encoder writes none.
    pub zeroed: u64,
    /// Packets whose parts do not make up the whole.
    pub misframed: u64,
    /// When the first of them is shown, in ticks, if that is known.
    pub first: Option<i64>,
}

impl Flaws {
    /// Packets with a flaw.
    pub(crate) fn packets(&self) -> u64 {
        self.zeroed + self.misframed
    }
}

impl PacketRules {
    /// For a stream of this codec with this extra data.
    pub(crate) fn new(codec: CodecId, extradata: &[u8]) -> Self {
        let format = match codec {
            CodecId::H264 => Format::H264(Framing::of(extradata)),
            CodecId::HEVC => Format::Hevc(hevc_framing(extradata)),
            CodecId::MPEG1 | CodecId::MPEG2 | CodecId::MPEG4 => Format::StartCodes,
            CodecId::VP8 => Format::Vp8,
            CodecId::VP9 => Format::Vp9,
            CodecId::AV1 => Format::Av1,
            CodecId::MJPEG => Format::Jpeg,
            _ => Format::Other,
        };
        Self { format, sound: 0, zeroed: 0, misframed: 0, first: [None; 2] }
    }

    /// Checks a packet with this data, which is shown at this time.
    pub(crate) fn check(&mut self, data: &[u8], time: Option<i64>) {
        let (kind, count) = match flaw(data, self.format) {
            None => return self.sound += 1,
            Some(Flaw::Zeros) => (0, &mut self.zeroed),
            Some(Flaw::Misframed) => (1, &mut self.misframed),
        };
        *count += 1;
        self.first[kind] = self.first[kind].or(time);
    }

    /// What was wrong with all of them. If most packets break the rules of framing, the stream has other rules, and they do not
    /// count.
    pub(crate) fn flaws(&self) -> Flaws {
        let other_rules = 2 * self.sound < self.misframed;
        let misframed = if other_rules { 0 } else { self.misframed };
        let firsts = [self.first[0], self.first[1].filter(|_| !other_rules)];
        Flaws { zeroed: self.zeroed, misframed, first: firsts.into_iter().flatten().min() }
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

fn flaw(data: &[u8], format: Format) -> Option<Flaw> {
    // An empty packet repeats the previous frame.
    if data.is_empty() || format == Format::Other {
        return None;
    }
    match format {
        Format::H264(Framing::Length(size)) => units(data, size, &|unit| Unit::of_h264(unit)),
        Format::Hevc(Framing::Length(size)) => units(data, size, &|unit| Unit::of_hevc(unit)),
        Format::H264(Framing::StartCode) => started(data, &|unit| Unit::of_h264(unit) == Unit::Slice),
        Format::Hevc(Framing::StartCode) => started(data, &|unit| Unit::of_hevc(unit) == Unit::Slice),
        Format::StartCodes => started(data, &|_| true),
        Format::Vp8 => sound(vp8(data)).or_else(|| coded(data)),
        Format::Vp9 => sound(data[0] >> 6 == 2).or_else(|| coded(data)),
        Format::Av1 => sound(hidden::is_whole_av1(data)).or_else(|| coded(data)),
        Format::Jpeg => sound(data.len() < ZEROS || data.starts_with(&[0xff, 0xd8])),
        Format::Other => None,
    }
}

fn sound(fine: bool) -> Option<Flaw> {
    (!fine).then_some(Flaw::Misframed)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Coded pixels.
    Slice,
    /// Anything else.
    Other,
    /// No encoder writes such a header.
    Invalid,
}

impl Unit {
    fn of_h264(unit: &[u8]) -> Self {
        match unit.first() {
            None | Some(0x80..) => Self::Invalid,
            Some(header) if (1..=5).contains(&(header & 31)) => Self::Slice,
            Some(_) => Self::Other,
        }
    }

    fn of_hevc(unit: &[u8]) -> Self {
        match unit {
            [first, second, ..] if first & 0x80 != 0 || second & 7 == 0 => Self::Invalid,
            [first, _, ..] if first >> 1 < 32 => Self::Slice,
            [_, _, ..] => Self::Other,
            _ => Self::Invalid,
        }
    }
}

/// Checks units that are preceded by their lengths, which must add up to the packet.
fn units(data: &[u8], size: usize, kind: &dyn Fn(&[u8]) -> Unit) -> Option<Flaw> {
    if data.len() >= ZEROS && data.iter().take(ZEROS).all(|byte| *byte == 0) {
        return Some(Flaw::Zeros);
    }
    let mut rest = data;
    // FFmpeg ignores a remainder that is too short for a unit.
    while rest.len() > size.max(3) {
        let (length, body) = rest.split_at(size);
        let length = length.iter().fold(0_usize, |n, byte| n << 8 | usize::from(*byte));
        let Some((unit, next)) = body.split_at_checked(length).filter(|_| length > 0) else {
            return Some(Flaw::Misframed);
        };
        match kind(unit) {
            Unit::Invalid => return Some(Flaw::Misframed),
            Unit::Slice if zeros(unit, ZEROS) => return Some(Flaw::Zeros),
            _ => {}
        }
        rest = next;
    }
    None
}

/// Checks units that begin with start codes. `is_slice` tells whether a unit holds coded pixels: only these follow the rules in
/// all streams.
fn started(data: &[u8], is_slice: &dyn Fn(&[u8]) -> bool) -> Option<Flaw> {
    if data.len() < ZEROS {
        return None;
    }
    let Some(begin) = data.iter().position(|byte| *byte != 0) else { return Some(Flaw::Zeros) };
    if begin < 2 || data[begin] != 1 {
        return Some(Flaw::Misframed);
    }
    let run = zero_runs(data, ZEROS).find(|run| {
        let unit = data[..run.start].windows(3).rposition(|w| w == [0, 0, 1]).map(|at| &data[at + 3..]);
        data.get(run.end).is_some_and(|next| *next != 1) && unit.is_some_and(is_slice)
    });
    run.map(|_| Flaw::Zeros)
}

/// Checks for zeros in the output of an arithmetic coder.
fn coded(data: &[u8]) -> Option<Flaw> {
    zeros(data, ZEROS_CODED).then_some(Flaw::Zeros)
}

/// Whether there is a run of at least `least` zeros that is no padding: padding ends the data or precedes a start code.
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

/// Checks the header of a frame: the first partition fits into the frame, and a keyframe has its start code.
fn vp8(data: &[u8]) -> bool {
    let [a, b, c, rest @ ..] = data else { return data.len() < 3 };
    let first_part = (u32::from(*a) | u32::from(*b) << 8 | u32::from(*c) << 16) >> 5;
    let is_key = a & 1 == 0;
    let rest = if is_key { rest.strip_prefix(&[0x9d, 0x01, 0x2a]).and_then(|rest| rest.get(4..)) } else { Some(rest) };
    rest.is_some_and(|rest| first_part as usize <= rest.len())
}

#[cfg(test)]
mod tests;
