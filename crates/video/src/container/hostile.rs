//! Files that try to make a walk endless or slow: elements without a length, elements that contain each other, false beginnings
//! everywhere.

use std::io::Cursor;

use super::*;

/// The structure, and whether the walk ended only because reading did.
fn walked(format: &str, bytes: &[u8]) -> (Structure, bool) {
    let mut file = Reader::new(Cursor::new(bytes)).unwrap();
    let structure = walk(&mut file, format, StreamId { index: 0, id: 1 }).unwrap();
    (structure, file.is_exhausted())
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&((body.len() + 8) as u32).to_be_bytes(), &kind[..], body].concat()
}

/// The beginning of an MP4 file with one video track.
fn movie() -> Vec<u8> {
    let handler = [&[0; 8][..], b"vide"].concat();
    let table = boxed(b"minf", &boxed(b"stbl", &[]));
    let media = boxed(b"mdia", &[boxed(b"mdhd", &[1; 24]), boxed(b"hdlr", &handler), table].concat());
    let mut header = [0; 84];
    header[15] = 1;
    let track = boxed(b"trak", &[boxed(b"tkhd", &header), media].concat());
    [boxed(b"ftyp", &[0; 8]), boxed(b"moov", &track)].concat()
}

fn fragment(length: u32) -> Vec<u8> {
    [&length.to_be_bytes()[..], b"moof", &boxed(b"mfhd", &[0; 8])].concat()
}

/// The search for the next fragment found the same one again and again.
#[test]
fn a_fragment_with_an_impossible_length_is_passed() {
    for length in 2..8 {
        let bytes = [movie(), vec![0; 20], fragment(length), fragment(24)].concat();
        let (structure, is_exhausted) = walked("mov,mp4", &bytes);
        assert!(!structure.breaks.is_empty() && !is_exhausted, "{structure:?}");
    }
}

/// Each was read to the end of the file.
#[test]
fn fragments_that_contain_each_other_are_read_once() {
    let bytes = [movie(), fragment(i32::MAX as u32).repeat(50_000)].concat();
    let (structure, is_exhausted) = walked("mov,mp4", &bytes);
    assert!(structure.breaks.is_sorted() && structure.breaks.len() == MAX_BREAKS && !is_exhausted);
}

#[test]
fn nested_extensions_do_not_overflow_the_stack() {
    let head = |guid: &[u8; 16], length: u64| [&guid[..], &length.to_le_bytes()].concat();
    let extension = *b"\xb5\x03\xbf\x5f\x2e\xa9\xcf\x11\x8e\xe3\x00\xc0\x0c\x20\x53\x65";
    let header = *b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
    let nested = [head(&extension, u64::MAX), vec![0; 22]].concat().repeat(200_000);
    let bytes = [head(&header, nested.len() as u64 + 30), vec![0; 6], nested].concat();
    assert_eq!(walked("asf", &bytes).0, Structure::default());
}

/// Each of these is looked at with some effort, and is none.
#[test]
fn false_beginnings_cost_little() {
    let packet = |stride: usize| [&[0x47][..], &vec![0x46; stride - 1]].concat();
    let stream = [packet(188).repeat(6), [0x47, 0x46, 0x46].repeat(300_000)].concat();
    let program = [&[0, 0, 1, 0xba][..], &[0x20; 8], &[0, 0, 0, 1, 0xb9].repeat(200_000)].concat();
    let material = [&[0x06, 0x0e, 0x2b, 0x34][..], &[2, 5, 1, 1, 13, 1, 2, 1, 1, 2, 0, 0, 0]].concat();
    let material = [material, [0x06, 0x0e, 0x2b, 0x34, 9].repeat(200_000)].concat();
    let flash = [&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..], &[9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0].repeat(100_000)].concat();
    for (format, bytes) in [("mpegts", stream), ("mpeg", program), ("mxf", material), ("flv", flash)] {
        assert!(!walked(format, &bytes).1, "{format}");
    }
}

/// Where the effort has no other bound, the walk ends, and what it did not reach counts as damaged.
#[test]
fn a_walk_ends_when_it_has_read_too_much() {
    let lists = b"RIFF\x04\0\0\0AVI ".repeat(100_000);
    let pages = b"OggS\0".repeat(400_000);
    for (format, bytes) in [("avi", lists), ("ogg", pages)] {
        assert!(walked(format, &bytes).1, "{format}");
        let structure = inspect(Cursor::new(&bytes), format, StreamId { index: 0, id: 1 }).unwrap();
        assert!(!structure.breaks.is_empty(), "{format}");
    }
}
