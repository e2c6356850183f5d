//! What the NAL units in an H.264 packet say: whether any other frame can refer to it, and how many pictures it holds.

/// How NAL units are told apart in a stream's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each unit is preceded by its length in this many bytes (MP4, Matroska).
    Length(usize),
    /// Units are separated by start codes (AVI, TS, raw).
    StartCode,
}

impl Framing {
    /// From the codec's extra data: an `avcC` record names the length size, anything else means start codes.
    pub(crate) fn of(extradata: &[u8]) -> Self {
        match extradata {
            [1, _, _, _, size, ..] => Self::Length(usize::from(size & 3) + 1),
            _ => Self::StartCode,
        }
    }
}

/// The NAL units of a packet, each to its end or further; `None` in the place of one that is cut off, which ends them.
fn units(packet: &[u8], framing: Framing) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(packet);
    std::iter::from_fn(move || match framing {
        Framing::Length(size) => {
            let packet = rest.take().filter(|rest| !rest.is_empty())?;
            let unit = packet.split_at_checked(size).and_then(|(length, body)| {
                let length = length.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
                body.split_at_checked(length)
            });
            rest = unit.map(|(_, next)| next);
            Some(unit.map(|(unit, _)| unit))
        }
        Framing::StartCode => {
            let packet = rest?;
            let start = packet.windows(4).position(|w| w[..3] == [0, 0, 1])? + 3;
            rest = packet.get(start..);
            Some(rest)
        }
    })
}

/// True only if every coded slice in the packet says that nothing refers to it (`nal_ref_idc` 0), and there is one.
pub(crate) fn is_disposable(packet: &[u8], framing: Framing) -> bool {
    let mut slices = 0;
    for unit in units(packet, framing) {
        let Some(header) = unit.and_then(<[u8]>::first) else { return false };
        let (reference, kind) = ((header >> 5) & 3, header & 31);
        match kind {
            1 | 5 if reference == 0 => slices += 1,
            // Data partitions and extensions are rare, so they count as referred to, which is always safe.
            1..=5 | 14 | 20 | 21 => return false,
            _ => {}
        }
    }
    slices > 0
}

/// The number of pictures in a packet: their first slices begin with the number of the first block, 0, which is a single bit.
pub(crate) fn pictures(packet: &[u8], framing: Framing) -> usize {
    let slices =
        units(packet, framing).flatten().filter(|unit| unit.first().is_some_and(|header| matches!(header & 31, 1 | 5)));
    slices.filter(|slice| slice.get(1).is_some_and(|first| first & 0x80 != 0)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packets_that_nothing_refers_to_are_disposable() {
        let (slice, reference, idr, sei) = (0x01, 0x41, 0x65, 0x06);
        let unit = |header: u8| vec![0, 0, 0, 3, header, 9, 9];
        let lengths = |headers: &[u8]| headers.iter().flat_map(|h| unit(*h)).collect::<Vec<_>>();
        let starts = |headers: &[u8]| headers.iter().flat_map(|h| [0, 0, 0, 1, *h, 9, 9]).collect::<Vec<_>>();
        for (headers, expected) in [
            (&[slice][..], true),
            (&[sei, slice, slice], true),
            (&[reference], false),
            (&[idr], false),
            (&[slice, reference], false),
            (&[sei], false),
            (&[], false),
            (&[0x02, slice], false),
        ] {
            assert_eq!(is_disposable(&lengths(headers), Framing::Length(4)), expected, "{headers:?}");
            assert_eq!(is_disposable(&starts(headers), Framing::StartCode), expected, "{headers:?}");
        }
        let whole = lengths(&[sei, slice]);
        for cut in 1..whole.len() {
            if cut != 7 {
                assert!(!is_disposable(&whole[..cut], Framing::Length(4)), "{cut}");
            }
        }
        assert_eq!(Framing::of(&[1, 100, 0, 31, 0xff, 0xe1]), Framing::Length(4));
        assert_eq!(Framing::of(&[0, 0, 0, 1, 0x67]), Framing::StartCode);
    }
}
