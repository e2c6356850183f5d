//! Tests of the packet rules.

use proptest::prelude::*;

use super::*;

const LENGTH: Format = Format::H264(Framing::Length(4));
const START: Format = Format::H264(Framing::StartCode);

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 19) as u8 | 1).collect()
}

fn unit(header: u8, body: &[u8]) -> Vec<u8> {
    [&((body.len() + 1) as u32).to_be_bytes()[..], &[header], body].concat()
}

/// A body with zeros at a place.
fn holed(length: usize, at: usize, zeros: usize) -> Vec<u8> {
    let mut body = noise(length);
    body[at..at + zeros].fill(0);
    body
}

#[test]
fn lengths_must_add_up() {
    let fine = [unit(0x06, &noise(9)), unit(0x65, &noise(300)), unit(0x41, &noise(80))].concat();
    assert_eq!(flaw(&fine, LENGTH), None);
    assert_eq!(fine.len(), 14 + 305 + 85);
    for end in 1..fine.len() {
        // A cut at the end of a unit, or with a rest that is too short for one, cannot be seen.
        let whole = [0, 14, 319].iter().any(|boundary| (*boundary..*boundary + 4 + 1).contains(&end));
        assert_eq!(flaw(&fine[..end], LENGTH), (!whole).then_some(Flaw::Misframed), "{end}");
    }
    assert_eq!(flaw(&unit(0xe5, &noise(40)), LENGTH), Some(Flaw::Misframed));
    assert_eq!(flaw(&[0; 40], LENGTH), Some(Flaw::Zeros));
    assert_eq!(flaw(&[], LENGTH), None);
}

#[test]
fn zeros_in_a_slice_are_a_flaw_but_padding_is_not() {
    for (format, packet) in [
        (LENGTH, (|body: &[u8]| unit(0x41, body)) as fn(&[u8]) -> Vec<u8>),
        (Format::Hevc(Framing::Length(4)), |body| unit(0x02, &[&[1], body].concat())),
        (START, |body| [&[0, 0, 0, 1, 0x41], body].concat()),
        (Format::Hevc(Framing::StartCode), |body| [&[0, 0, 1, 0x02, 1], body].concat()),
        (Format::StartCodes, |body| [&[0, 0, 1, 0xb6], body].concat()),
    ] {
        for at in [1, 2, 3, 100, 500] {
            assert_eq!(flaw(&packet(&holed(600, at, 30)), format), Some(Flaw::Zeros), "{format:?} {at}");
            assert_eq!(flaw(&packet(&holed(600, at, 7)), format), None, "{format:?} {at}");
        }
        assert_eq!(flaw(&packet(&holed(600, 500, 100)), format), None, "{format:?}");
        let mut stuffed = holed(600, 300, 40);
        stuffed[340] = 1;
        assert_eq!(flaw(&packet(&stuffed), format), None, "{format:?}");
    }
    // Other units may hold anything.
    assert_eq!(flaw(&unit(0x06, &holed(600, 100, 200)), LENGTH), None);
    assert_eq!(flaw(&[&[0, 0, 1, 0x06][..], &holed(600, 100, 200)].concat(), START), None);
}

#[test]
fn each_codec_has_its_own_frame_header() {
    let key = |part: u32| {
        let tag = part << 5 | 0x10;
        [&tag.to_le_bytes()[..3], &[0x9d, 1, 0x2a, 64, 0, 48, 0], &noise(900)].concat()
    };
    assert_eq!((flaw(&key(900), Format::Vp8), flaw(&key(901), Format::Vp8)), (None, Some(Flaw::Misframed)));
    assert_eq!(flaw(&[&[0x11, 9, 0][..], &noise(100)].concat(), Format::Vp8), None);
    assert_eq!(flaw(&[0; 900], Format::Vp8), Some(Flaw::Misframed));
    let vp9 = |body: &[u8]| [&[0x82][..], body].concat();
    assert_eq!(flaw(&vp9(&noise(900)), Format::Vp9), None);
    assert_eq!(flaw(&vp9(&holed(900, 100, 600)), Format::Vp9), Some(Flaw::Zeros));
    assert_eq!(flaw(&vp9(&holed(900, 100, 300)), Format::Vp9), None);
    assert_eq!(flaw(&holed(900, 0, 9), Format::Vp9), Some(Flaw::Misframed));
    let obu = |kind: u8, body: &[u8]| {
        [&[kind << 3 | 2, 0x80 | (body.len() & 127) as u8, (body.len() >> 7) as u8], body].concat()
    };
    let unit = [vec![0x12, 0], obu(1, &noise(11)), obu(6, &noise(700))].concat();
    assert_eq!(flaw(&unit, Format::Av1), None);
    assert_eq!(flaw(&unit[..unit.len() - 1], Format::Av1), Some(Flaw::Misframed));
    assert_eq!(flaw(&holed(700, 0, 0), Format::Jpeg), Some(Flaw::Misframed));
    assert_eq!(flaw(&[&[0xff, 0xd8][..], &[0; 700]].concat(), Format::Jpeg), None);
    assert_eq!(flaw(&[0; 700], Format::Other), None);
}

#[test]
fn rules_that_most_packets_break_do_not_count() {
    let mut packets = PacketRules { format: LENGTH, ..PacketRules::new(CodecId::NONE, &[]) };
    let annex_b = [&[0, 0, 0, 1, 0x41][..], &noise(600)].concat();
    (0..100).for_each(|time| packets.check(&annex_b, Some(time)));
    assert_eq!(packets.flaws(), Flaws::default());
    (0..30).for_each(|time| packets.check(&[0; 50], Some(7 - time)));
    packets.check(&unit(0x41, &noise(9)), Some(5));
    assert_eq!(packets.flaws(), Flaws { zeroed: 30, misframed: 0, first: Some(7) });
    (0..100).for_each(|time| packets.check(&unit(0x41, &noise(9)), Some(time)));
    assert_eq!(packets.flaws(), Flaws { zeroed: 30, misframed: 100, first: Some(0) });
}

proptest! {
    #[test]
    fn runs_match_a_plain_search(spans in proptest::collection::vec((1..40_usize, 1..60_usize), 0..12), zero_first: bool) {
        let mut data = vec![];
        for (filled, zeros) in spans {
            if zero_first {
                data.extend(vec![0; zeros]);
                data.extend(vec![9; filled]);
            } else {
                data.extend(vec![9; filled]);
                data.extend(vec![0; zeros]);
            }
        }
        let mut plain = vec![];
        let mut at = 0;
        for run in data.chunk_by(|a, b| a == b) {
            if run[0] == 0 && run.len() >= ZEROS {
                plain.push(at..at + run.len());
            }
            at += run.len();
        }
        prop_assert_eq!(zero_runs(&data, ZEROS).collect::<Vec<_>>(), plain);
    }

    #[test]
    fn nothing_panics(data in proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..300)) {
        for format in [LENGTH, START, Format::Hevc(Framing::Length(2)), Format::Hevc(Framing::StartCode), Format::StartCodes,
            Format::Vp8, Format::Vp9, Format::Av1, Format::Jpeg, Format::Other] {
            let _ = flaw(&data, format);
        }
        let _ = hevc_framing(&data);
    }
}
