//! IVF files: a header with the number of frames, and frames that are preceded by their length.

use std::io::{self, Read, Seek};

use reeldeck_common::feature::ExpectedFrom;

use super::reader::{Reader, le};
use super::{Amount, Declaration, End, Structure};

/// Length and time in front of a frame.
const FRAME_HEADER: u64 = 12;

/// The largest plausible ratio between the durations of two frames.
const LONGEST_STEP: u64 = 1000;

/// Walks over all frames.
///
/// # Errors
/// If reading fails.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>) -> io::Result<Structure> {
    let mut structure = Structure::default();
    let Some(header) = file.array::<32>(0)? else { return Ok(structure) };
    let (mut at, declared) = (le(&header[6..8]), le(&header[24..28]));
    let (mut frames, mut first, mut last) = (0_u64, None, 0_u64);
    while let Some(header) = file.array::<12>(at)? {
        let (body, time) = (at + FRAME_HEADER, le(&header[4..]));
        let end = body + le(&header[..4]);
        // Times increase in steps of about the same length; otherwise this is not the header of a frame.
        let step = last.saturating_sub(first.unwrap_or(0)) / frames.saturating_sub(1).max(1) + 1;
        if first.is_some() && !(last..=last.saturating_add(step.saturating_mul(LONGEST_STEP))).contains(&time) {
            structure.broken_at(at);
            break;
        }
        if end > file.size() {
            structure.missing = end - file.size();
            // FFmpeg also returns an incomplete last frame as a packet.
            frames += u64::from(body < file.size());
            break;
        }
        (frames, last) = (frames + 1, time);
        first.get_or_insert(time);
        at = end;
    }
    // The number is one of frames, or, from FFmpeg, of ticks.
    let there = frames.max(last.saturating_sub(first.unwrap_or(0)).saturating_add(1));
    let is_known = declared > 0 && declared < u64::from(u32::MAX);
    structure.end = match () {
        () if structure.missing > 0 || is_known && declared > there => End::Cut,
        () if is_known => End::Complete,
        () => End::Unknown,
    };
    if is_known {
        let amount = Amount::Share((there as f64 / declared as f64).min(1.0));
        structure.declarations.push(Declaration::if_incomplete(amount, ExpectedFrom::ContainerHeader));
    }
    Ok(structure)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn file(declared: u32, times: impl Iterator<Item = u64>) -> Vec<u8> {
        let mut header = [0; 32];
        header[..8].copy_from_slice(b"DKIF\0\0\x20\0");
        header[24..28].copy_from_slice(&declared.to_le_bytes());
        let frame = |time: u64| [&10_u32.to_le_bytes()[..], &time.to_le_bytes(), &[7; 10]].concat();
        header.into_iter().chain(times.flat_map(frame)).collect()
    }

    fn inspected(bytes: &[u8]) -> Structure {
        inspect(&mut Reader::new(Cursor::new(bytes)).unwrap()).unwrap()
    }

    #[test]
    fn the_header_tells_whether_frames_are_missing() {
        assert_eq!(inspected(&file(5, 0..5)).end, End::Complete);
        assert_eq!(inspected(&file(10, (0..10).step_by(2))).end, End::Cut);
        assert_eq!(inspected(&file(9, (0..10).step_by(2))).end, End::Complete, "ticks, not frames");
        assert_eq!(inspected(&file(0, 0..5)).end, End::Unknown);
        let cut = inspected(&file(10, 0..5));
        assert_eq!((cut.end, cut.declarations[0].amount), (End::Cut, Amount::Share(0.5)));
        let whole = file(5, 0..5);
        let inside = inspected(&whole[..whole.len() - 3]);
        assert_eq!((inside.end, inside.missing, inside.declarations[0].amount), (End::Cut, 3, Amount::Share(1.0)));
        let cut = file(10, 0..10);
        assert_eq!(inspected(&cut[..32 + 5 * 22 + 14]).declarations[0].amount, Amount::Share(0.6));
    }

    #[test]
    fn times_that_go_back_are_a_break() {
        assert_eq!(inspected(&file(5, [0, 1, 2, 1, 4].into_iter())).breaks, [32 + 3 * 22]);
        assert_eq!(inspected(&file(5, [0, 1, 2, 1 << 60, 4].into_iter())).breaks, [32 + 3 * 22]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            inspected(&noise);
            inspected(&[file(5, 0..5), noise].concat());
        }
    }
}
