//! Ogg files: pages with a checksum and a number, the last of a stream marked as such.

use std::io::{self, Read, Seek};

use super::reader::{Reader, le};
use super::{End, Structure};

const MAGIC: [u8; 4] = *b"OggS";
/// A page begins with 27 bytes, up to 255 lengths, and as much data as these say.
const MAX_HEADER: usize = 27 + 255;
const MAX_PAGE: usize = MAX_HEADER + 255 * 255;

const FIRST: u8 = 2;
const LAST: u8 = 4;

/// Walks over all pages. `index` is the position of the video stream among all.
///
/// # Errors
/// If reading fails.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>, index: usize) -> io::Result<Structure> {
    let mut structure = Structure::default();
    let size = file.size();
    let mut streams: Vec<u64> = vec![];
    let (mut at, mut number, mut continues) = (0, None, false);
    while at < size {
        let (length, page) = page(file, at)?;
        let Some(length) = length.filter(|length| *length <= page.len() && has_right_checksum(&page[..*length])) else {
            match next_page(file, at + 1)? {
                Some(next) => {
                    structure.broken_at(at);
                    at = next;
                }
                None => {
                    // The last page is cut, or something else follows it.
                    if let Some(length) = length.filter(|length| *length > page.len()) {
                        (structure.missing, structure.end) = ((length - page.len()) as u64, End::Cut);
                    } else if page.len() < 27 && page.starts_with(&MAGIC) {
                        structure.end = End::Cut;
                    }
                    break;
                }
            }
            continue;
        };
        let (flags, serial) = (page[5], le(&page[14..18]));
        if flags & FIRST != 0 && streams.len() <= index && !streams.contains(&serial) {
            streams.push(serial);
        }
        if streams.get(index) == Some(&serial) {
            let own = le(&page[18..22]);
            if number.is_some_and(|last: u64| own != (last + 1) & 0xffff_ffff) {
                structure.broken_at(at);
            }
            number = Some(own);
            // The last packet of the page continues in the next page.
            continues = page[26] > 0 && page[26 + usize::from(page[26])] == 255;
            structure.end = if flags & LAST != 0 { End::Complete } else { End::Unknown };
        }
        at += length as u64;
    }
    if continues && structure.end == End::Unknown {
        structure.end = End::Cut;
    }
    Ok(structure)
}

/// The length of the page at this position, if there is one, and as much of it as the file has.
fn page<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<(Option<usize>, Vec<u8>)> {
    let length = page_length(&file.bytes(at, MAX_HEADER as u64, MAX_HEADER)?);
    Ok((length, file.bytes(at, length.unwrap_or(MAX_HEADER) as u64, MAX_PAGE)?))
}

/// The length of the page at the start of these bytes; `None` if there is none.
fn page_length(bytes: &[u8]) -> Option<usize> {
    let segments = usize::from(*bytes.get(26)?);
    let lengths = bytes.get(27..27 + segments).filter(|_| bytes.starts_with(&MAGIC) && bytes[4] == 0)?;
    Some(27 + segments + lengths.iter().map(|length| usize::from(*length)).sum::<usize>())
}

/// The next position where a whole page begins.
fn next_page<R: Read + Seek>(file: &mut Reader<R>, from: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    while let Some(found) = file.find(at, &MAGIC)? {
        let (length, page) = page(file, found)?;
        if length == Some(page.len()) && has_right_checksum(&page) {
            return Ok(Some(found));
        }
        at = found + 1;
    }
    Ok(None)
}

/// CRC-32 with the polynomial 0x04c11db7, most significant bit first, over the page with zeros in the place of the checksum.
fn has_right_checksum(page: &[u8]) -> bool {
    checksum(page) == le(&page[22..26]) as u32
}

fn checksum(page: &[u8]) -> u32 {
    let bytes = page.iter().enumerate().map(|(at, byte)| if (22..26).contains(&at) { 0 } else { *byte });
    bytes.fold(0, |crc: u32, byte| crc << 8 ^ TABLE[usize::from((crc >> 24) as u8 ^ byte)])
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = (at as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn page(serial: u32, number: u32, flags: u8, lengths: &[u8]) -> Vec<u8> {
        let head = [&MAGIC[..], &[0, flags], &[0; 8], &serial.to_le_bytes(), &number.to_le_bytes(), &[0; 4]].concat();
        let body = vec![number as u8; lengths.iter().map(|length| usize::from(*length)).sum()];
        let mut page = [&head[..], &[lengths.len() as u8], lengths, &body].concat();
        let crc = checksum(&page);
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        page
    }

    fn pages() -> Vec<Vec<u8>> {
        let mut pages = vec![page(7, 0, FIRST, &[30]), page(9, 0, FIRST, &[40])];
        for number in 1..20 {
            pages.push(page(7, number, 0, &[200]));
            pages.push(page(
                9,
                number,
                if number == 19 { LAST } else { 0 },
                &[255, if number == 10 { 255 } else { 17 }],
            ));
        }
        pages
    }

    fn inspected(bytes: &[u8]) -> Structure {
        inspect(&mut Reader::new(Cursor::new(bytes)).unwrap(), 1).unwrap()
    }

    #[test]
    fn the_last_page_shows_a_cut() {
        let pages = pages();
        let whole = pages.concat();
        assert_eq!(inspected(&whole), Structure { end: End::Complete, ..Structure::default() });
        assert_eq!(inspected(&pages[..30].concat()).end, End::Unknown);
        assert_eq!(inspected(&pages[..22].concat()).end, End::Cut, "a packet continues in the next page");
        let cut = inspected(&whole[..whole.len() - 100]);
        assert_eq!((cut.end, cut.missing), (End::Cut, 100));
        assert_eq!(inspected(&[&whole[..], &[0; 300]].concat()).end, End::Complete);
    }

    #[test]
    fn missing_pages_and_damage_inside_pages_are_breaks() {
        let mut pages = pages();
        let at = pages[..9].concat().len() as u64;
        pages.remove(7);
        assert_eq!(inspected(&pages.concat()).breaks.len(), 1);
        let mut damaged = self::pages().concat();
        damaged[at as usize + 60] ^= 1;
        assert_eq!(inspected(&damaged).breaks[0], at);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(at in 0..3000_usize, noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut file = pages().concat();
            file[at..at + noise.len()].copy_from_slice(&noise);
            inspected(&file);
            inspected(&noise);
        }
    }
}
