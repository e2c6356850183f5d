//! ASF and WMV files: a header with the number and length of all data packets, and the playing time. The packets number the frames.

mod objects;

use std::io::{self, Read, Seek};
use std::ops::Range;

use reeldeck_common::feature::ExpectedFrom;

use super::reader::{Reader, le};
use super::{Amount, Declaration, End, Structure};
use objects::Objects;

type Guid = [u8; 16];

const HEADER: Guid = *b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
const FILE: Guid = *b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65";
const STREAM: Guid = *b"\x91\x07\xdc\xb7\xb7\xa9\xcf\x11\x8e\xe6\x00\xc0\x0c\x20\x53\x65";
const EXTENSION: Guid = *b"\xb5\x03\xbf\x5f\x2e\xa9\xcf\x11\x8e\xe3\x00\xc0\x0c\x20\x53\x65";
const DATA: Guid = *b"\x36\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
const ENCRYPTION: Guid = *b"\xfb\xb3\x11\x22\x23\xbd\xd2\x11\xb4\xb7\x00\xa0\xc9\x55\xfc\x6e";
const EXTENDED_ENCRYPTION: Guid = *b"\x14\xe6\x8a\x29\x22\x26\x17\x4c\xb9\x35\xda\xe0\x7e\xe9\x28\x9c";
const ADVANCED_ENCRYPTION: Guid = *b"\x33\x85\x05\x43\x81\x69\xe6\x49\x9b\x74\xad\x12\xcb\x86\xd5\x8c";

/// Headers are far smaller.
const MAX_HEADER: usize = 16 << 20;

/// Identity and length of an object.
const OBJECT: u64 = 24;

/// What the header says.
#[derive(Debug, Default)]
struct Header {
    packets: u64,
    packet_size: u64,
    seconds: f64,
    /// The header was written before the file, so that its numbers mean nothing.
    is_live: bool,
    is_encrypted: bool,
}

/// Reads the header, and every data packet.
///
/// # Errors
/// If reading fails.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>, id: i32) -> io::Result<Structure> {
    let mut structure = Structure::default();
    let Some((guid, length)) = object(file, 0)?.filter(|(guid, _)| *guid == HEADER) else { return Ok(structure) };
    debug_assert_eq!(guid, HEADER);
    let mut header = Header::default();
    // A number of objects and two reserved bytes come first.
    header.read(&file.bytes(OBJECT + 6, length.saturating_sub(OBJECT + 6), MAX_HEADER)?, id, false);
    structure.encryption = header.is_encrypted.then(|| "Windows Media DRM".to_owned());
    let Some((_, data_length)) = object(file, length)?.filter(|(guid, _)| *guid == DATA) else { return Ok(structure) };
    // The file's identity, the number of packets and two reserved bytes come first.
    let (data, size) = (length + 50, file.size());
    let packets = file.array::<8>(length + 40)?.map_or(0, |count| le(&count));
    let packets = if packets > 0 { packets } else { header.packets };
    let there = size.saturating_sub(data);
    let Some(whole) = there.checked_div(header.packet_size) else { return Ok(structure) };
    let claimed = packets.saturating_mul(header.packet_size);
    // The length of the data fits the number of packets, or was not filled in.
    let fits = data_length == 0 || data_length.saturating_sub(50) >= claimed;
    if header.is_live || packets == 0 || !fits {
        // Packets have one length, so a shorter one is cut, unless something follows the packets.
        let rest = there % header.packet_size;
        let is_packet = whole > 0 && file.array::<1>(data)? == file.array::<1>(data + whole * header.packet_size)?;
        if rest > 0 && is_packet {
            (structure.missing, structure.end) = (header.packet_size - rest, End::Cut);
        }
    } else {
        structure.missing = claimed.saturating_sub(there);
        structure.end = if structure.missing > 0 { End::Cut } else { End::Complete };
        if header.seconds > 0.0 {
            let amount = Amount::Seconds { seconds: header.seconds, from_zero: true };
            structure.declarations.push(Declaration::if_incomplete(amount, ExpectedFrom::ContainerHeader));
        }
        let share = Amount::Share((there as f64 / claimed as f64).min(1.0));
        structure.declarations.push(Declaration::if_incomplete(share, ExpectedFrom::ContainerHeader));
    }
    let end = if packets > 0 && !header.is_live { data.saturating_add(claimed) } else { size };
    walk(file, data..end.min(size), header.packet_size, u8::try_from(id).unwrap_or(0), &mut structure)?;
    Ok(structure)
}

/// With error correction, which everybody writes, each packet begins with these bytes.
const PACKET: [u8; 3] = [0x82, 0, 0];

/// No packet is longer.
const MAX_PACKET: usize = 1 << 20;

/// Walks over all data packets. After a break it looks for the next packet.
fn walk<R: Read + Seek>(
    file: &mut Reader<R>,
    data: Range<u64>,
    packet_size: u64,
    stream: u8,
    structure: &mut Structure,
) -> io::Result<()> {
    let mut objects = Objects::new(stream);
    let has_mark = file.array::<3>(data.start)? == Some(PACKET);
    let mut at = data.start;
    while at + packet_size <= data.end {
        let packet = file.bytes(at, packet_size, MAX_PACKET)?;
        if has_mark && !packet.starts_with(&PACKET) {
            structure.broken_at(at);
            match next_packet(file, at + 1, packet_size)?.filter(|next| *next < data.end) {
                Some(next) => at = next,
                None => break,
            }
            continue;
        }
        objects.add(&packet);
        at += packet_size;
    }
    structure.lost = objects.lost().unwrap_or(0);
    Ok(())
}

/// The next position where a packet begins, and another one follows it, or the end of the file.
fn next_packet<R: Read + Seek>(file: &mut Reader<R>, from: u64, packet_size: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    while let Some(next) = file.find(at, &PACKET)? {
        if file.array::<3>(next + packet_size)?.is_none_or(|start| start == PACKET) {
            return Ok(Some(next));
        }
        at = next + 1;
    }
    Ok(None)
}

/// Identity and length of the object at this position.
fn object<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<Option<(Guid, u64)>> {
    let Some(head) = file.array::<24>(at)? else { return Ok(None) };
    Ok(head.split_first_chunk::<16>().map(|(guid, length)| (*guid, le(length))))
}

impl Header {
    /// Reads the objects of the header, or of its extension, which has none of its own.
    fn read(&mut self, content: &[u8], id: i32, is_extension: bool) {
        let mut rest = content;
        while let Some((guid, tail)) = rest.split_first_chunk::<16>() {
            let Some(length) = tail.get(..8).map(le).filter(|length| *length >= OBJECT) else { break };
            let (this, next) = rest.split_at(rest.len().min(usize::try_from(length).unwrap_or(usize::MAX)));
            let body = this.get(OBJECT as usize..).unwrap_or_default();
            rest = next;
            let number = |at: usize, length: usize| body.get(at..at + length).map_or(0, le);
            match *guid {
                FILE => {
                    self.packets = number(32, 8);
                    // The playing time has 100 ns a tick and includes the time for buffering, in milliseconds.
                    self.seconds = number(40, 8) as f64 / 1e7 - number(56, 8) as f64 / 1e3;
                    self.is_live = number(64, 4) & 1 != 0;
                    self.packet_size = number(68, 4);
                }
                // The number of the stream, and whether it is encrypted.
                STREAM if (number(48, 2) & 0x7f) as i32 == id => self.is_encrypted |= number(48, 2) & 0x8000 != 0,
                ENCRYPTION | EXTENDED_ENCRYPTION | ADVANCED_ENCRYPTION => self.is_encrypted = true,
                // A reserved identity, two reserved bytes and a length come before the objects.
                EXTENSION if !is_extension => self.read(body.get(22..).unwrap_or_default(), id, true),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn object_of(guid: Guid, body: &[u8]) -> Vec<u8> {
        [&guid[..], &(body.len() as u64 + OBJECT).to_le_bytes(), body].concat()
    }

    fn file(packets: u64, live: bool, encrypted: bool) -> Vec<u8> {
        let mut properties = [0; 80];
        properties[32..40].copy_from_slice(&packets.to_le_bytes());
        properties[40..48].copy_from_slice(&131_000_000_u64.to_le_bytes());
        properties[56..64].copy_from_slice(&3100_u64.to_le_bytes());
        properties[64] = u8::from(live);
        properties[68..72].copy_from_slice(&100_u32.to_le_bytes());
        let mut stream = [0; 60];
        stream[48..50].copy_from_slice(&(1 | u16::from(encrypted) << 15).to_le_bytes());
        let objects = [&[2, 0, 0, 0, 1, 2][..], &object_of(FILE, &properties), &object_of(STREAM, &stream)].concat();
        let packet = [&[0x82, 0, 0][..], &[9; 97]].concat().repeat(50);
        let data = [&[0; 16][..], &packets.to_le_bytes(), &[1, 1], &packet].concat();
        [object_of(HEADER, &objects), object_of(DATA, &data)].concat()
    }

    fn inspected(bytes: &[u8]) -> Structure {
        inspect(&mut Reader::new(Cursor::new(bytes)).unwrap(), 1).unwrap()
    }

    #[test]
    fn the_number_of_packets_shows_a_cut() {
        let whole = file(50, false, false);
        assert_eq!((inspected(&whole).end, inspected(&whole).missing), (End::Complete, 0));
        let cut = inspected(&whole[..whole.len() - 2010]);
        assert_eq!((cut.end, cut.missing, cut.breaks.len()), (End::Cut, 2010, 0));
        assert_eq!(cut.declarations[0].amount, Amount::Seconds { seconds: 10.0, from_zero: true });
        assert_eq!(inspected(&[whole, vec![0; 70]].concat()).end, End::Complete);
    }

    #[test]
    fn a_live_file_can_only_end_inside_a_packet() {
        let whole = file(0, true, false);
        assert_eq!(inspected(&whole).end, End::Unknown);
        assert_eq!(inspected(&whole[..whole.len() - 200]).end, End::Unknown);
        let cut = inspected(&whole[..whole.len() - 210]);
        assert_eq!((cut.end, cut.missing), (End::Cut, 10));
    }

    #[test]
    fn missing_bytes_are_a_break() {
        let mut bytes = file(50, false, false);
        let at = bytes.len() - 2050;
        bytes.drain(at..at + 33);
        let structure = inspected(&bytes);
        assert!(!structure.breaks.is_empty() && structure.missing == 33, "{structure:?}");
    }

    #[test]
    fn encryption_is_recognised() {
        assert_eq!(inspected(&file(50, false, true)).encryption.unwrap(), "Windows Media DRM");
        assert_eq!(inspected(&file(50, false, false)).encryption, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(at in 0..400_usize, noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut file = file(50, false, false);
            file[at..at + noise.len()].copy_from_slice(&noise);
            inspected(&file);
            inspected(&noise);
        }
    }
}
