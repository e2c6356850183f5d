//! How many frames a packet shows. VP8, VP9 and AV1 have frames that are only referred to: some containers give them packets of
//! their own, others pack them together with a frame that is shown.

use crate::codec::CodecId;

/// Frames that a decoder gives for a packet; 1 for codecs without hidden frames, and for packets that cannot be read.
pub(crate) fn frames_shown(codec: CodecId, packet: &[u8]) -> u64 {
    match codec {
        _ if packet.is_empty() => 1,
        CodecId::VP8 => vp8(packet),
        CodecId::VP9 => vp9(packet),
        CodecId::AV1 => av1(packet).unwrap_or(1),
        _ => 1,
    }
}

/// Whether frames of this codec may be hidden.
pub(crate) fn has_hidden_frames(codec: CodecId) -> bool {
    matches!(codec, CodecId::VP8 | CodecId::VP9 | CodecId::AV1)
}

/// The fifth bit of a frame says whether it is shown.
fn vp8(frame: &[u8]) -> u64 {
    u64::from(frame[0] & 0x10 != 0)
}

/// A frame, or several with an index behind them (a superframe).
fn vp9(packet: &[u8]) -> u64 {
    let Some(lengths) = superframe(packet) else { return u64::from(vp9_is_shown(packet)) };
    let mut rest = packet;
    let mut shown = 0;
    for length in lengths {
        let Some((frame, next)) = rest.split_at_checked(length) else { break };
        shown += u64::from(vp9_is_shown(frame));
        rest = next;
    }
    shown
}

/// The lengths of the frames in a superframe; `None` for a plain frame.
pub(crate) fn superframe(packet: &[u8]) -> Option<Vec<usize>> {
    let marker = *packet.last()?;
    if marker & 0xe0 != 0xc0 {
        return None;
    }
    let (frames, width) = (usize::from(marker & 7) + 1, usize::from(marker >> 3 & 3) + 1);
    let index = packet.get(packet.len().checked_sub(2 + frames * width)?..)?;
    if index[0] != marker {
        return None;
    }
    let length = |bytes: &[u8]| bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
    Some(index[1..=frames * width].chunks(width).map(length).collect())
}

/// Two bits of a marker, two of the profile and a reserved one in the highest profile come first; then whether an earlier frame is
/// shown, whether this is a keyframe, and whether this frame is shown.
fn vp9_is_shown(frame: &[u8]) -> bool {
    let Some(first) = frame.first() else { return false };
    let bits = u16::from(*first) << 8 | u16::from(frame.get(1).copied().unwrap_or(0));
    let at = if first >> 4 & 3 == 3 { 5 } else { 4 };
    let bit = |number: u32| bits >> (15 - number) & 1 == 1;
    bit(at) || bit(at + 2)
}

/// Counts the frame headers of a temporal unit that show a frame. Of several spatial layers a decoder gives the best one.
fn av1(packet: &[u8]) -> Option<u64> {
    let (mut shown, mut layered, mut reduced) = (0, false, false);
    for unit in Obus(packet) {
        let unit = unit?;
        layered |= unit.spatial_layer > 0;
        match (unit.kind, unit.body) {
            // Three bits of the profile and two flags of still pictures: with the second one frames have no flags of their own.
            (1, [first, ..]) => reduced = first & 0x08 != 0,
            (3 | 6, [first, ..]) => {
                // Whether an earlier frame is shown, two bits of the kind, and whether this frame is shown.
                shown += u64::from(reduced || first & 0x80 != 0 || first & 0x10 != 0);
            }
            _ => {}
        }
    }
    Some(if layered { shown.min(1) } else { shown })
}

/// An open bitstream unit of AV1.
struct Obu<'a> {
    kind: u8,
    spatial_layer: u8,
    body: &'a [u8],
}

/// The units of a packet; `None` in the place of one that makes no sense, which ends them.
struct Obus<'a>(&'a [u8]);

impl<'a> Iterator for Obus<'a> {
    type Item = Option<Obu<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let packet = std::mem::take(&mut self.0);
        let (header, rest) = packet.split_first()?;
        Some((|| {
            let (extended, sized) = (header & 4 != 0, header & 2 != 0);
            // The first bit is forbidden, and no unit is of kind 0.
            if header & 0x80 != 0 || header >> 3 & 15 == 0 {
                return None;
            }
            let (spatial_layer, rest) = match extended {
                true => (rest.first()? >> 3 & 3, &rest[1..]),
                false => (0, rest),
            };
            // Only the last unit may leave out its size.
            let (size, head) = if sized { leb128(rest)? } else { (rest.len(), 0) };
            let (body, next) = rest.get(head..)?.split_at_checked(size)?;
            self.0 = next;
            Some(Obu { kind: header >> 3 & 15, spatial_layer, body })
        })())
    }
}

/// A number in groups of seven bits, the lowest first, and how many bytes it takes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, at + 1));
        }
    }
    None
}

/// Whether a packet of AV1 consists of whole units.
pub(crate) fn is_whole_av1(packet: &[u8]) -> bool {
    Obus(packet).all(|unit| unit.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn flags_of_vp8_and_vp9_are_read() {
        assert_eq!([0x10, 0x00, 0x11, 0x01].map(|first| frames_shown(CodecId::VP8, &[first, 0, 0])), [1, 0, 1, 0]);
        // Marker 2, profile 0: a shown keyframe, a hidden frame, an earlier frame that is shown.
        assert_eq!([0x82, 0x84, 0x88].map(|first| frames_shown(CodecId::VP9, &[first, 0, 0])), [1, 0, 1]);
        // In profile 3 the flags come one bit later.
        assert_eq!([0xb1, 0xb2, 0xb4].map(|first| frames_shown(CodecId::VP9, &[first, 0, 0])), [1, 0, 1]);
        assert_eq!(frames_shown(CodecId::H264, &[0]), 1);
        assert_eq!(frames_shown(CodecId::VP9, &[]), 1);
    }

    #[test]
    fn superframes_are_taken_apart() {
        let packet = [&[0x84, 1, 1][..], &[0x82, 9], &[0xc1, 3, 2, 0xc1]].concat();
        assert_eq!(superframe(&packet), Some(vec![3, 2]));
        assert_eq!(frames_shown(CodecId::VP9, &packet), 1);
        let two = [&[0x82, 1, 1][..], &[0x82, 9], &[0xc9, 3, 0, 2, 0, 0xc9]].concat();
        assert_eq!(frames_shown(CodecId::VP9, &two), 2);
        assert_eq!(superframe(&[0x82, 0xc1]), None);
    }

    #[test]
    fn units_of_av1_are_counted() {
        let unit = |kind: u8, body: &[u8]| [&[kind << 3 | 2, body.len() as u8][..], body].concat();
        let sequence = unit(1, &[0]);
        let shown = unit(6, &[0x10, 7, 7]);
        let hidden = unit(6, &[0x20, 7, 7]);
        let earlier = unit(3, &[0x80]);
        let count = |units: &[&Vec<u8>]| {
            frames_shown(CodecId::AV1, &units.iter().flat_map(|unit| unit.iter().copied()).collect::<Vec<_>>())
        };
        assert_eq!(count(&[&unit(2, &[]), &sequence, &shown]), 1);
        assert_eq!(count(&[&hidden]), 0);
        assert_eq!(count(&[&hidden, &shown]), 1);
        assert_eq!(count(&[&hidden, &earlier]), 1);
        assert_eq!(count(&[&unit(1, &[0x18]), &hidden]), 1, "still pictures have no flags");
        let layer = |n: u8| [&[6 << 3 | 6, n << 3, 3][..], &[0x10, 7, 7]].concat();
        assert_eq!(count(&[&layer(0), &layer(1)]), 1, "two layers of one frame");
        assert!(is_whole_av1(&shown) && !is_whole_av1(&shown[..4]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(packet in proptest::collection::vec(any::<u8>(), 0..100)) {
            for codec in [CodecId::VP8, CodecId::VP9, CodecId::AV1, CodecId::H264] {
                frames_shown(codec, &packet);
            }
        }
    }
}
