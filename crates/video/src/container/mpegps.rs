//! MPEG program streams: packs and packets that are preceded by start codes. Nothing says how long a stream is, but the last
//! packet may be cut, and an end code may show that nothing follows.

use std::io::{self, Read, Seek};

use super::reader::{Reader, be};
use super::{End, Structure};

const PACK: [u8; 4] = [0, 0, 1, 0xba];
const END: [u8; 4] = [0, 0, 1, 0xb9];

/// Zeros are allowed between packets. A sector of zeros is a place where packets may be missing.
const MAX_PADDING: u64 = 1 << 20;
const SECTOR: u64 = 2048;

/// Walks over all packets.
///
/// # Errors
/// If reading fails.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>) -> io::Result<Structure> {
    let mut structure = Structure::default();
    let size = file.size();
    let (mut scrambled, mut clear) = (0_u64, 0_u64);
    // FFmpeg finds the first pack wherever it is.
    let mut at = file.find(0, &PACK)?.unwrap_or(size);
    while at < size {
        let next = match file.array::<4>(at)? {
            None => break,
            Some(END) => {
                structure.end = End::Complete;
                Some(at + 4)
            }
            Some(PACK) => pack(file, at)?,
            // Headers, sound, pictures, padding: all have a length of two bytes.
            Some([0, 0, 1, kind @ 0xbb..=0xff]) => {
                structure.end = End::Unknown;
                let head = file.array::<3>(at + 4)?;
                if let Some([_, _, flags]) =
                    head.filter(|[_, _, flags]| (0xe0..0xf0).contains(&kind) && flags & 0xc0 == 0x80)
                {
                    let is_scrambled = flags & 0x30 != 0;
                    scrambled += u64::from(is_scrambled);
                    clear += u64::from(!is_scrambled);
                }
                Some(head.map_or(size, |head| at + 6 + be(&head[..2])))
            }
            Some([0, 0, 0, _]) => {
                let next = after_zeros(file, at)?;
                if next.is_some_and(|next| next - at >= SECTOR) {
                    structure.broken_at(at);
                }
                next
            }
            Some(_) => None,
        };
        at = match next {
            Some(next) if next <= size => next,
            Some(next) => {
                (structure.missing, structure.end) = (next - size, End::Cut);
                break;
            }
            None => match file.find(at + 1, &PACK)? {
                Some(next) => {
                    structure.broken_at(at);
                    next
                }
                // Anything may follow the last packet.
                None => break,
            },
        };
    }
    structure.encryption = (scrambled > clear).then(|| "scrambled program stream".to_owned());
    Ok(structure)
}

/// Where the pack header at this position ends; `None` if it is none.
fn pack<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<Option<u64>> {
    let Some([first]) = file.array::<1>(at + 4)? else { return Ok(Some(file.size())) };
    Ok(match first >> 4 {
        // MPEG-1.
        2 => Some(at + 12),
        // MPEG-2 has up to seven bytes of stuffing.
        4..8 => file.array::<1>(at + 13)?.map(|[stuffing]| at + 14 + u64::from(stuffing & 7)).or(Some(file.size())),
        _ => None,
    })
}

/// The position of the start code behind zeros; `None` if something else follows.
fn after_zeros<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<Option<u64>> {
    let zeros = file.zeros(at, MAX_PADDING)?;
    let is_code = (2..MAX_PADDING).contains(&zeros) && file.array::<1>(at + zeros)? == Some([1]);
    Ok(is_code.then(|| at + zeros - 2))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn packet(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        [&[0, 0, 1, kind][..], &(length as u16).to_be_bytes(), &[flags], &vec![9; length - 1]].concat()
    }

    fn stream(packets: usize, flags: u8) -> Vec<u8> {
        let pack = [&PACK[..], &[0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0xf8]].concat();
        (0..packets).flat_map(|n| [pack.clone(), packet(0xe0, flags, 100 + n), packet(0xbe, 0, 7)].concat()).collect()
    }

    fn inspected(bytes: &[u8]) -> Structure {
        inspect(&mut Reader::new(Cursor::new(bytes)).unwrap()).unwrap()
    }

    #[test]
    fn a_cut_packet_and_an_end_code_are_seen() {
        let whole = stream(20, 0x80);
        assert_eq!(inspected(&whole), Structure::default());
        let cut = inspected(&whole[..whole.len() - 50]);
        assert_eq!((cut.end, cut.missing), (End::Cut, 37));
        assert_eq!(inspected(&[&whole[..], &END].concat()).end, End::Complete);
        assert_eq!(inspected(&[&whole[..], &[0; 70], &whole].concat()), Structure::default());
        for tail in [&[0; 500][..], &[7; 500], b"TAG"] {
            assert_eq!(inspected(&[&whole, tail].concat()), Structure::default());
        }
    }

    #[test]
    fn missing_bytes_are_a_break() {
        let mut bytes = stream(20, 0x80);
        bytes.drain(400..450);
        assert_eq!(inspected(&bytes).breaks.len(), 1);
    }

    #[test]
    fn a_sector_of_zeros_is_a_break() {
        let whole = stream(20, 0x80);
        let zeros = [&whole[..], &[0; 2048], &whole].concat();
        assert_eq!(inspected(&zeros).breaks, [whole.len() as u64]);
    }

    #[test]
    fn scrambled_packets_are_recognised() {
        assert_eq!(inspected(&stream(20, 0x90)).encryption.unwrap(), "scrambled program stream");
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(at in 0..2000_usize, noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut file = stream(20, 0x80);
            file[at..at + noise.len()].copy_from_slice(&noise);
            inspected(&file);
            inspected(&noise);
        }
    }
}
