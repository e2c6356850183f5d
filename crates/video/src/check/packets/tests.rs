//! Tests of the packet scan's judgement.

use proptest::prelude::*;

use super::*;

const LENGTH: Make = Make::H264(Framing::Length(4));
const START: Make = Make::H264(Framing::StartCode);

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
        // At the end of a unit, and with a rest that is too short for one, nothing is wrong.
        let whole = [0, 14, 319].iter().any(|boundary| (*boundary..*boundary + 4 + 1).contains(&end));
        assert_eq!(flaw(&fine[..end], LENGTH), (!whole).then_some(Flaw::Misframed), "{end}");
    }
    assert_eq!(flaw(&unit(0xe5, &noise(40)), LENGTH), Some(Flaw::Misframed));
    assert_eq!(flaw(&[0; 40], LENGTH), Some(Flaw::Zeros));
    assert_eq!(flaw(&[], LENGTH), None);
}

#[test]
fn zeros_in_a_slice_are_seen_and_padding_is_not() {
    for (make, packet) in [
        (LENGTH, (|body: &[u8]| unit(0x41, body)) as fn(&[u8]) -> Vec<u8>),
        (Make::Hevc(Framing::Length(4)), |body| unit(0x02, &[&[1], body].concat())),
        (START, |body| [&[0, 0, 0, 1, 0x41], body].concat()),
        (Make::Hevc(Framing::StartCode), |body| [&[0, 0, 1, 0x02, 1], body].concat()),
        (Make::StartCodes, |body| [&[0, 0, 1, 0xb6], body].concat()),
    ] {
        for at in [1, 2, 3, 100, 500] {
            assert_eq!(flaw(&packet(&holed(600, at, 30)), make), Some(Flaw::Zeros), "{make:?} {at}");
            assert_eq!(flaw(&packet(&holed(600, at, 7)), make), None, "{make:?} {at}");
        }
        assert_eq!(flaw(&packet(&holed(600, 500, 100)), make), None, "{make:?}");
        let mut stuffed = holed(600, 300, 40);
        stuffed[340] = 1;
        assert_eq!(flaw(&packet(&stuffed), make), None, "{make:?}");
    }
    // What is no picture may hold anything.
    assert_eq!(flaw(&unit(0x06, &holed(600, 100, 200)), LENGTH), None);
    assert_eq!(flaw(&[&[0, 0, 1, 0x06][..], &holed(600, 100, 200)].concat(), START), None);
}

#[test]
fn each_codec_has_its_own_frame_head() {
    let key = |part: u32| {
        let tag = part << 5 | 0x10;
        [&tag.to_le_bytes()[..3], &[0x9d, 1, 0x2a, 64, 0, 48, 0], &noise(900)].concat()
    };
    assert_eq!((flaw(&key(900), Make::Vp8), flaw(&key(901), Make::Vp8)), (None, Some(Flaw::Misframed)));
    assert_eq!(flaw(&[&[0x11, 9, 0][..], &noise(100)].concat(), Make::Vp8), None);
    assert_eq!(flaw(&[0; 900], Make::Vp8), Some(Flaw::Misframed));
    let vp9 = |body: &[u8]| [&[0x82][..], body].concat();
    assert_eq!(flaw(&vp9(&noise(900)), Make::Vp9), None);
    assert_eq!(flaw(&vp9(&holed(900, 100, 600)), Make::Vp9), Some(Flaw::Zeros));
    assert_eq!(flaw(&vp9(&holed(900, 100, 300)), Make::Vp9), None);
    assert_eq!(flaw(&holed(900, 0, 9), Make::Vp9), Some(Flaw::Misframed));
    let obu = |kind: u8, body: &[u8]| {
        [&[kind << 3 | 2, 0x80 | (body.len() & 127) as u8, (body.len() >> 7) as u8], body].concat()
    };
    let unit = [vec![0x12, 0], obu(1, &noise(11)), obu(6, &noise(700))].concat();
    assert_eq!(flaw(&unit, Make::Av1), None);
    assert_eq!(flaw(&unit[..unit.len() - 1], Make::Av1), Some(Flaw::Misframed));
    assert_eq!(flaw(&holed(700, 0, 0), Make::Jpeg), Some(Flaw::Misframed));
    assert_eq!(flaw(&[&[0xff, 0xd8][..], &[0; 700]].concat(), Make::Jpeg), None);
    assert_eq!(flaw(&[0; 700], Make::Other), None);
}

#[test]
fn rules_that_most_packets_break_are_not_theirs() {
    let mut packets = Packets { make: LENGTH, ..Packets::new(CodecId::NONE, &[]) };
    let annex_b = [&[0, 0, 0, 1, 0x41][..], &noise(600)].concat();
    (0..100).for_each(|time| packets.look(&annex_b, Some(time), false));
    assert_eq!(packets.flaws(), Flaws::default());
    (0..30).for_each(|time| packets.look(&[0; 50], Some(7 - time), false));
    packets.look(&unit(0x41, &noise(9)), Some(5), true);
    assert_eq!(packets.flaws(), Flaws { zeroed: 30, misframed: 0, cut: 1, first: Some(5) });
    (0..100).for_each(|time| packets.look(&unit(0x41, &noise(9)), Some(time), false));
    assert_eq!(packets.flaws(), Flaws { zeroed: 30, misframed: 100, cut: 1, first: Some(0) });
}

proptest! {
    #[test]
    fn runs_are_what_a_plain_search_finds(spans in proptest::collection::vec((1..40_usize, 1..60_usize), 0..12), zero_first: bool) {
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
        for make in [LENGTH, START, Make::Hevc(Framing::Length(2)), Make::Hevc(Framing::StartCode), Make::StartCodes,
            Make::Vp8, Make::Vp9, Make::Av1, Make::Jpeg, Make::Other] {
            let _ = flaw(&data, make);
        }
        let _ = hevc_framing(&data);
    }
}
