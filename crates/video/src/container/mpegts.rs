//! MPEG transport streams: packets of one length with a counter for each program part. Nothing says how long a stream is.

use std::io::{self, Read, Seek};

use super::reader::Reader;
use super::{End, Structure};

const SYNC: u8 = 0x47;
const PACKET: usize = 188;

/// Lengths of packets: plain, with a time in front (M2TS), with error correction behind.
const STRIDES: [u64; 3] = [188, 192, 204];

/// So many packets in a row make a stream.
const IN_A_ROW: u64 = 5;

/// Where packets begin, and the distance between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    start: u64,
    stride: u64,
}

/// Walks over all packets. `id` is the number (PID) of the video stream.
///
/// # Errors
/// If reading fails.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>, id: i32) -> io::Result<Structure> {
    let mut structure = Structure::default();
    let Some(grid) = synchronise(file, 0, &STRIDES)? else { return Ok(structure) };
    let mut at = grid.start;
    let mut counter = None;
    let (mut scrambled, mut clear) = (0_u64, 0_u64);
    let mut packet = [0; PACKET];
    loop {
        let read = file.read(at, &mut packet)?;
        if read < PACKET {
            // The rest is the beginning of a packet, or something else behind the stream.
            if read > 0 && packet[0] == SYNC {
                (structure.missing, structure.end) = ((PACKET - read) as u64, End::Cut);
            }
            break;
        }
        if packet[0] != SYNC {
            match synchronise(file, at, &[grid.stride])? {
                Some(next) => {
                    structure.broken_at(at);
                    at = next.start;
                    continue;
                }
                None => break,
            }
        }
        let [_, high, low, flags, ..] = packet;
        if i32::from(high & 0x1f) << 8 | i32::from(low) == id {
            let (has_adaptation, has_payload) = (flags & 0x20 != 0, flags & 0x10 != 0);
            let may_jump = has_adaptation && packet[4] > 0 && packet[5] & 0x80 != 0;
            let own = flags & 0xf;
            if has_payload {
                // A packet may be sent twice; otherwise the counter goes up by one.
                let follows = counter.is_none_or(|last: u8| own == (last + 1) & 0xf || own == last);
                if !follows && !may_jump {
                    structure.broken_at(at);
                }
                counter = Some(own);
                let is_scrambled = flags & 0xc0 != 0;
                scrambled += u64::from(is_scrambled);
                clear += u64::from(!is_scrambled);
            }
        }
        at += grid.stride;
    }
    structure.encryption = (scrambled > clear).then(|| "scrambled transport stream".to_owned());
    Ok(structure)
}

/// The next position where packets follow each other.
fn synchronise<R: Read + Seek>(file: &mut Reader<R>, from: u64, strides: &[u64]) -> io::Result<Option<Grid>> {
    let mut at = from;
    while let Some(start) = file.find(at, &[SYNC])? {
        for stride in strides {
            let mut places = (1..IN_A_ROW).map(|number| start + number * stride);
            // At the end of the file there may be fewer.
            let found = places.try_fold(0, |found, place| {
                let byte = file.array::<1>(place)?;
                io::Result::Ok(if byte.is_none_or(|[byte]| byte == SYNC) { found + 1 } else { found })
            })?;
            if found == IN_A_ROW - 1 && start + stride <= file.size() {
                return Ok(Some(Grid { start, stride: *stride }));
            }
        }
        at = start + 1;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const PID: i32 = 0x100;

    fn packet(number: usize, flags: u8) -> Vec<u8> {
        let mut packet = vec![number as u8 | 0x80; PACKET];
        packet[..4].copy_from_slice(&[SYNC, 1, 0, 0x10 | flags | (number & 0xf) as u8]);
        packet
    }

    fn stream(numbers: impl Iterator<Item = usize>) -> Vec<u8> {
        numbers.flat_map(|number| packet(number, 0)).collect()
    }

    fn inspected(bytes: &[u8]) -> Structure {
        inspect(&mut Reader::new(Cursor::new(bytes)).unwrap(), PID).unwrap()
    }

    #[test]
    fn only_a_part_of_a_packet_at_the_end_is_a_cut() {
        let whole = stream(0..50);
        assert_eq!(inspected(&whole), Structure::default());
        assert_eq!(inspected(&whole[..30 * 188]), Structure::default());
        let cut = inspected(&whole[..30 * 188 + 20]);
        assert_eq!((cut.end, cut.missing), (End::Cut, 168));
        for tail in [&[0; 500][..], b"TAG"] {
            assert_eq!(inspected(&[&whole, tail].concat()), Structure::default());
        }
    }

    #[test]
    fn jumps_of_the_counter_and_missing_bytes_are_breaks() {
        let jump = stream((0..20).chain(23..50));
        assert_eq!(inspected(&jump).breaks, [20 * 188]);
        let twice = stream((0..20).chain(19..50));
        assert!(inspected(&twice).breaks.is_empty());
        let mut shorter = stream(0..50);
        shorter.drain(20 * 188 + 50..20 * 188 + 70);
        assert!(!inspected(&shorter).breaks.is_empty());
        let mut announced = stream(0..20);
        let mut first = packet(23, 0x20);
        first[4..6].copy_from_slice(&[1, 0x80]);
        announced.extend([first, stream(24..50)].concat());
        assert!(inspected(&announced).breaks.is_empty(), "the stream says that its counter starts anew");
    }

    #[test]
    fn packets_with_a_time_in_front_are_walked_as_well() {
        let timed = |numbers: std::ops::Range<usize>| -> Vec<u8> {
            numbers.flat_map(|number| [&[1, 2, 3, 4][..], &packet(number, 0)].concat()).collect()
        };
        assert_eq!(inspected(&timed(0..50)), Structure::default());
        assert_eq!(inspected(&[timed(0..20), timed(25..50)].concat()).breaks, [20 * 192 + 4]);
    }

    #[test]
    fn scrambled_packets_are_recognised() {
        let bytes: Vec<u8> = (0..50).flat_map(|number| packet(number, 0x80)).collect();
        assert_eq!(inspected(&bytes).encryption.unwrap(), "scrambled transport stream");
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(at in 0..8000_usize, noise in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut file = stream(0..50);
            file[at..at + noise.len()].copy_from_slice(&noise);
            inspected(&file);
            inspected(&noise);
        }
    }
}
