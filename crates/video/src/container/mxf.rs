//! MXF files: a chain of packets with keys and lengths, divided into partitions. The first partition knows where the last one
//! is.

use std::io::{self, Read, Seek};

use super::reader::{Reader, be};
use super::{End, Structure};

/// The keys of partitions begin like this; header, body or footer follows. Other packets of the header begin like this too.
const PARTITION: [u8; 13] = [0x06, 0x0e, 0x2b, 0x34, 0x02, 0x05, 0x01, 0x01, 0x0d, 0x01, 0x02, 0x01, 0x01];
/// All keys begin like this.
const KEY: [u8; 4] = [0x06, 0x0e, 0x2b, 0x34];
const KINDS: std::ops::RangeInclusive<u8> = 2..=FOOTER;
const FOOTER: u8 = 4;

/// Anything may come before the first partition, but not more of it.
const MAX_RUN_IN: u64 = 1 << 16;

/// Walks over all packets.
///
/// # Errors
/// If reading fails.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>) -> io::Result<Structure> {
    let mut structure = Structure::default();
    let size = file.size();
    let Some(start) = file.find(0, &PARTITION)?.filter(|start| *start <= MAX_RUN_IN) else { return Ok(structure) };
    let mut at = start;
    while at < size {
        let Some(head) = file.array::<17>(at)?.filter(|head| head.starts_with(&KEY)) else {
            match file.find(at + 1, &KEY)? {
                Some(next) => {
                    structure.broken_at(at);
                    at = next;
                    continue;
                }
                None => break,
            }
        };
        let Some((body, length)) = length(file, at + 16)? else { break };
        if head.starts_with(&PARTITION) && KINDS.contains(&head[13]) {
            // Versions, a grid, and the positions of this partition and the previous one come first.
            let footer = file.array::<8>(body + 24)?.map_or(0, |position| be(&position));
            structure.missing = start.saturating_add(footer).saturating_sub(size);
            structure.end = match () {
                () if structure.missing > 0 => End::Cut,
                () if head[13] == FOOTER => End::Complete,
                () => structure.end,
            };
        }
        at = body.saturating_add(length);
    }
    if at > size {
        structure.missing = structure.missing.max(at - size);
        structure.end = End::Cut;
    }
    Ok(structure)
}

/// Where the content of a packet begins, and its length: in one byte, or in as many as that byte says.
fn length<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<Option<(u64, u64)>> {
    let Some([first]) = file.array::<1>(at)? else { return Ok(None) };
    if first < 0x80 {
        return Ok(Some((at + 1, u64::from(first))));
    }
    let width = u64::from(first & 0x7f);
    let bytes = file.bytes(at + 1, width, 8)?;
    Ok((width <= 8 && bytes.len() as u64 == width).then(|| (at + 1 + width, be(&bytes))))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn packet(key: &[u8], body: &[u8]) -> Vec<u8> {
        let key: Vec<u8> = key.iter().copied().chain([0; 16]).take(16).collect();
        [&key[..], &[0x83], &(body.len() as u32).to_be_bytes()[1..], body].concat()
    }

    fn file() -> Vec<u8> {
        let partition = |kind: u8, footer: u64| {
            let mut body = [0; 80];
            body[24..32].copy_from_slice(&footer.to_be_bytes());
            packet(&[&PARTITION[..], &[kind]].concat(), &body)
        };
        let essence: Vec<u8> =
            (0..20).flat_map(|n| packet(&[&KEY[..], &[1, 2, 1, 1]].concat(), &vec![9; 100 + n])).collect();
        let footer = (partition(2, 0).len() + essence.len()) as u64;
        [partition(2, footer), essence, partition(FOOTER, footer)].concat()
    }

    #[test]
    fn the_table_of_local_tags_is_no_partition() {
        let (whole, tags) = (file(), packet(&[&PARTITION[..], &[5]].concat(), &[0x77; 40]));
        let at = whole.len() - packet(&PARTITION, &[0; 80]).len();
        let later = [&whole[..at], &tags].concat();
        assert!(inspected(&later).missing < 1000, "{:?}", inspected(&later));
    }

    fn inspected(bytes: &[u8]) -> Structure {
        inspect(&mut Reader::new(Cursor::new(bytes)).unwrap()).unwrap()
    }

    #[test]
    fn the_footer_shows_whether_the_file_is_whole() {
        let whole = file();
        assert_eq!(inspected(&whole), Structure { end: End::Complete, ..Structure::default() });
        let cut = inspected(&whole[..whole.len() - 800]);
        assert_eq!(cut.end, End::Cut);
        assert!((650..=800).contains(&cut.missing), "{cut:?}");
        assert_eq!(inspected(&[&[7; 100][..], &whole].concat()).end, End::Complete);
    }

    #[test]
    fn missing_bytes_are_a_break() {
        let mut bytes = file();
        bytes.drain(300..330);
        assert_eq!(inspected(&bytes).breaks.len(), 1);
    }

    /// Found by fuzzing: the sum of the two positions overflowed.
    #[test]
    fn a_footer_beyond_all_files_is_missing() {
        let mut body = [0; 32];
        body[24..].fill(0xff);
        let bytes = [&[7; 9][..], &packet(&[&PARTITION[..], &[2]].concat(), &body)].concat();
        let structure = inspected(&bytes);
        assert_eq!((structure.end, structure.missing), (End::Cut, u64::MAX - bytes.len() as u64));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(at in 0..2000_usize, noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut file = file();
            file[at..at + noise.len()].copy_from_slice(&noise);
            inspected(&file);
            inspected(&noise);
        }
    }
}
