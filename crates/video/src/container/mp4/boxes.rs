//! The top-level boxes of an MP4 or MOV file: is the index there, and does the file reach as far as its boxes say?

use std::io::{self, Read, Seek};

use super::super::reader::{Reader, be};

/// The top-level boxes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Boxes {
    /// The file begins like an MP4 or MOV file.
    pub is_mp4: bool,
    /// The first `moov` box: where its content begins and ends.
    pub index: Option<(u64, u64)>,
    /// The `moof` boxes: where the content of each begins and ends.
    pub fragments: Vec<(u64, u64)>,
    /// Bytes of the content of all `mdat` boxes.
    pub data: u64,
    /// Bytes that the last box claims beyond the end of the file.
    pub missing: u64,
    /// The last box is incomplete and belongs to a fragment: it is a `moof`, or an `mdat` after one.
    pub cut_fragment: bool,
    /// Where the last box begins, if it is incomplete and lists frames. FFmpeg refuses a file with such a box.
    pub cut_list: Option<u64>,
    /// Positions in front of fragments where the chain of boxes is broken.
    pub breaks: Vec<u64>,
    /// What the segment index says, if there is exactly one.
    pub segments: Option<Segments>,
    /// The random access index (`mfra`), which is written last: where its content begins and ends.
    pub fragment_index: Option<(u64, u64)>,
}

/// What a segment index (`sidx`) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segments {
    /// Where the last segment ends in the file.
    pub end: u64,
    /// Number of segments; not 0.
    pub count: u64,
    /// Playing time of all segments, in ticks.
    pub ticks: u64,
    /// Ticks per second; not 0.
    pub timescale: u32,
}

impl Segments {
    /// Playing time of all segments, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.ticks as f64 / f64::from(self.timescale)
    }

    /// Playing time of a typical segment, in seconds.
    pub(crate) fn typical_seconds(&self) -> f64 {
        self.seconds() / self.count as f64
    }
}

/// The header of a box.
pub(super) struct Header {
    pub kind: [u8; 4],
    /// Where the content begins.
    pub body: u64,
    /// Where the box ends, as it claims.
    pub end: u64,
}

impl Boxes {
    /// Records that the chain of boxes is broken at a position and continues at another one, where the last fragment ends.
    fn break_off(&mut self, at: u64, next: u64) {
        self.breaks.push(at);
        if let Some((_, end)) = self.fragments.last_mut() {
            *end = (*end).min(next);
        }
    }
}

/// Reads the header at this position. `None` if there is none: the file ends, or the bytes make no sense.
pub(super) fn header<R: Read + Seek>(file: &mut Reader<R>, at: u64, limit: u64) -> io::Result<Option<Header>> {
    let Some([a, b, c, d, kind @ ..]) = file.array::<8>(at)? else { return Ok(None) };
    // Kinds are printable, but for some of QuickTime's that begin with a copyright sign.
    let is_kind = kind.iter().skip(usize::from(kind[0] == 0xa9)).all(|byte| (0x20..0x7f).contains(byte));
    if !is_kind && !is_fragment(file, at + 8)? {
        return Ok(None);
    }
    let (length, head) = match be(&[a, b, c, d]) {
        0 => (limit.saturating_sub(at), 8),
        1 => match file.array::<8>(at + 8)? {
            Some(long) => (be(&long), 16),
            None => return Ok(None),
        },
        short => (short, 8),
    };
    let end = at.checked_add(length).filter(|_| length >= head);
    Ok(end.map(|end| Header { kind, body: at + head, end }))
}

/// Whether the content at this position is that of a fragment (`moof`): nothing else begins with its header.
fn is_fragment<R: Read + Seek>(file: &mut Reader<R>, body: u64) -> io::Result<bool> {
    Ok(file.array::<4>(body + 4)? == Some(*b"mfhd"))
}

/// The boxes that MP4 and MOV files begin with, or segments of a stream.
const KINDS: [&[u8; 4]; 9] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"moof"];

/// Walks over the top-level boxes. Reads a few bytes per box, and the content of a segment index.
///
/// # Errors
/// If reading fails. A short or foreign file is no error.
pub(crate) fn walk<R: Read + Seek>(file: &mut Reader<R>) -> io::Result<Boxes> {
    let size = file.size();
    let mut boxes = Boxes::default();
    // Where the content of the last box begins: if bytes are missing in it, the next box lies inside it.
    let mut inside = 0;
    let (mut at, mut indexes) = (0, 0);
    while at < size {
        let Some(Header { kind, body, end }) = header(file, at, size)? else {
            // What follows the last box may be anything, but nothing else may lie in front of a fragment.
            if boxes.index.is_none() {
                break;
            }
            let Some(next) = next_fragment(file, inside)? else { break };
            boxes.break_off(at.min(next), next);
            // If its length makes no sense either, the search continues after its header.
            (inside, at) = (next + 8, next);
            continue;
        };
        if at == 0 {
            boxes.is_mp4 = KINDS.contains(&&kind);
            if !boxes.is_mp4 {
                return Ok(boxes);
            }
        }
        match &kind {
            b"moov" if boxes.index.is_none() => boxes.index = Some((body, end)),
            b"moof" => boxes.fragments.push((body, end.min(size))),
            b"mfra" => boxes.fragment_index = Some((body, end.min(size))),
            b"mdat" => boxes.data = boxes.data.saturating_add(end - body),
            b"sidx" if end <= size => {
                indexes += 1;
                let content = file.bytes(body, end - body, MAX_SEGMENT_INDEX)?;
                boxes.segments = segments(&content, end).filter(|_| indexes == 1);
            }
            // The kind of the box is damaged.
            _ if is_fragment(file, body)? => boxes.fragments.push((body, end.min(size))),
            _ => {}
        }
        boxes.missing = end.saturating_sub(size);
        boxes.cut_list = (boxes.missing > 0 && matches!(&kind, b"moof" | b"sidx" | b"mfra")).then_some(at);
        boxes.cut_fragment = boxes.missing > 0 && matches!(&kind, b"moof" | b"mdat") && !boxes.fragments.is_empty();
        if boxes.missing > 0 && !boxes.fragments.is_empty() {
            // A length that is damaged, or bytes that are missing: fragments may follow nevertheless.
            if let Some(next) = next_fragment(file, body)? {
                (boxes.missing, boxes.cut_fragment, boxes.cut_list) = (0, false, None);
                boxes.break_off(at, next);
                at = next;
                continue;
            }
        }
        (inside, at) = (body, end);
    }
    if boxes.fragment_index.is_none() && !boxes.fragments.is_empty() {
        boxes.fragment_index = fragment_index_at_end(file)?;
    }
    Ok(boxes)
}

/// The random access index at the end of the file, whose last box says how long it is.
fn fragment_index_at_end<R: Read + Seek>(file: &mut Reader<R>) -> io::Result<Option<(u64, u64)>> {
    let size = file.size();
    let Some(last) = file.array::<16>(size.saturating_sub(16))?.filter(|last| last[4..8] == *b"mfro") else {
        return Ok(None);
    };
    let Some(start) = size.checked_sub(be(&last[12..])) else { return Ok(None) };
    let index = header(file, start, size)?.filter(|index| index.kind == *b"mfra" && index.end == size);
    Ok(index.map(|index| (index.body, index.end)))
}

/// The position of the next `moof` box at or after `at`.
fn next_fragment<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<Option<u64>> {
    let mut from = at + 4;
    while let Some(kind) = file.find(from, b"moof")? {
        if is_fragment(file, kind + 4)? {
            return Ok(Some(kind - 4));
        }
        from = kind + 1;
    }
    Ok(None)
}

/// A segment index has at most 65535 references of 12 bytes.
const MAX_SEGMENT_INDEX: usize = 32 + 12 * 0xffff;

/// Parses the content of a segment index, which ends at `anchor`. `None` if it makes no sense.
fn segments(content: &[u8], anchor: u64) -> Option<Segments> {
    let (head, rest) = content.split_first_chunk::<12>()?;
    let timescale = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let wide = if head[0] == 0 { 4 } else { 8 };
    let (times, rest) = rest.split_at_checked(2 * wide)?;
    let first = be(&times[wide..]);
    let (counts, rest) = rest.split_first_chunk::<4>()?;
    let count = be(&counts[2..]) as usize;
    let references = rest.as_chunks::<12>().0.get(..count)?;
    let length: u64 = references.iter().map(|r| be(&r[..4]) & 0x7fff_ffff).sum();
    let ticks = references.iter().map(|r| be(&r[4..8])).sum();
    let end = anchor.checked_add(first)?.checked_add(length)?;
    (timescale > 0 && count > 0).then_some(Segments { end, count: count as u64, ticks, timescale })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&((body.len() + 8) as u32).to_be_bytes(), &kind[..], body].concat()
    }

    fn walked(bytes: &[u8]) -> Boxes {
        walk(&mut Reader::new(Cursor::new(bytes)).unwrap()).unwrap()
    }

    #[test]
    fn index_and_cut_are_found() {
        let whole = [boxed(b"ftyp", &[0; 8]), boxed(b"moov", &[0; 100]), boxed(b"mdat", &[0; 1000])].concat();
        let plain = Boxes { is_mp4: true, index: Some((24, 124)), data: 1000, ..Boxes::default() };
        assert_eq!(walked(&whole), plain);
        assert_eq!(walked(&[&whole[..], &[0xff; 300]].concat()), plain);
        assert_eq!(walked(&whole[..500]), Boxes { missing: 632, ..plain });
        let late = [boxed(b"ftyp", &[0; 8]), boxed(b"mdat", &[0; 1000]), boxed(b"moov", &[0; 100])].concat();
        assert_eq!(walked(&late[..700]), Boxes { is_mp4: true, data: 1000, missing: 324, ..Boxes::default() });
        assert_eq!(walked(b"not a video at all"), Boxes::default());
        assert_eq!(walked(b""), Boxes::default());
        let fragmented = [&whole[..], &fragment(100), &fragment(100)].concat();
        let second = whole.len() + fragment(100).len();
        let cut = walked(&fragmented[..second + 50]);
        assert_eq!((cut.cut_list, cut.cut_fragment), (Some(second as u64), true));
        assert_eq!(walked(&fragmented[..fragmented.len() - 10]).cut_list, None, "data may be cut");
    }

    fn index(version: u8, first: u32, segments: &[(u32, u32)]) -> Vec<u8> {
        let mut body = vec![version, 0, 0, 0, 0, 0, 0, 1];
        body.extend(1000_u32.to_be_bytes());
        let wide = |n: u32| if version == 0 { n.to_be_bytes().to_vec() } else { u64::from(n).to_be_bytes().to_vec() };
        body.extend([wide(5), wide(first)].concat());
        body.extend((segments.len() as u32).to_be_bytes());
        for (length, ticks) in segments {
            body.extend([length.to_be_bytes(), ticks.to_be_bytes(), [0x90, 0, 0, 0]].concat());
        }
        boxed(b"sidx", &body)
    }

    fn fragment(body: usize) -> Vec<u8> {
        [boxed(b"moof", &[&boxed(b"mfhd", &[0; 8])[..], &[0; 76]].concat()), boxed(b"mdat", &vec![7; body])].concat()
    }

    #[test]
    fn a_segment_index_tells_where_the_file_should_end() {
        for version in [0, 1] {
            let index_of = |first, lengths: &[(u32, u32)]| index(version, first, lengths);
            let head = [boxed(b"ftyp", &[0; 8]), boxed(b"moov", &[0; 100]), index_of(16, &[(300, 2000), (200, 1500)])];
            let whole = [head.concat(), boxed(b"free", &[0; 8]), fragment(192), fragment(92)].concat();
            let end = whole.len() as u64;
            let found = walked(&whole);
            assert_eq!(found.segments, Some(Segments { end, count: 2, ticks: 3500, timescale: 1000 }));
            assert!(found.missing == 0 && !found.cut_fragment && found.segments.unwrap().seconds() == 3.5);
            let cut = walked(&whole[..whole.len() - 250]);
            assert_eq!((cut.cut_fragment, cut.missing, cut.segments), (true, 50, found.segments));
            // Several indexes, one per track, are not summed up.
            assert_eq!(walked(&[whole.clone(), index(0, 0, &[(1, 1)])].concat()).segments, None);
            assert_eq!(walked(&[head.concat(), index(0, 0, &[])].concat()).segments, None);
        }
        // A box after the last fragment does not belong to it.
        let tail = [boxed(b"ftyp", &[0; 8]), boxed(b"moov", &[0; 9]), fragment(9), boxed(b"free", &[0; 99])].concat();
        let found = walked(&tail[..tail.len() - 50]);
        assert!(found.missing == 50 && !found.cut_fragment);
    }

    #[test]
    fn a_fragment_whose_name_is_damaged_is_a_fragment() {
        let head = [boxed(b"ftyp", &[0; 8]), boxed(b"moov", &[0; 100])].concat();
        for mask in [0x01, 0xff] {
            let mut second = fragment(300);
            second[5] ^= mask;
            assert_eq!(walked(&[head.clone(), fragment(500), second].concat()).fragments.len(), 2);
        }
        // The index claims to be longer, and takes the first fragment for its own.
        let mut longer = [head, fragment(500), fragment(300)].concat();
        longer[18] ^= 1;
        let found = walked(&longer);
        assert_eq!((found.fragments.len(), found.breaks.len()), (2, 1));
    }

    #[test]
    fn the_random_access_index_is_found_behind_damage() {
        let end = [&8_u32.to_be_bytes()[..], b"free", &16_u32.to_be_bytes(), b"mfro", &[0; 4], &32_u32.to_be_bytes()];
        let index = boxed(b"mfra", &end.concat());
        let mut file =
            [boxed(b"ftyp", &[0; 8]), boxed(b"moov", &[0; 100]), fragment(300), fragment(300), index].concat();
        let size = file.len() as u64;
        assert_eq!(walked(&file).fragment_index, Some((size - 24, size)));
        file[530..800].fill(0);
        let found = walked(&file);
        assert_eq!((found.fragments.len(), found.fragment_index), (1, Some((size - 24, size))));
    }

    #[test]
    fn a_chain_is_taken_up_again_at_the_next_fragment() {
        let head = [boxed(b"ftyp", &[0; 8]), boxed(b"moov", &[0; 100])].concat();
        let whole = [head.clone(), fragment(500), fragment(300), fragment(400)].concat();
        assert_eq!((walked(&whole).fragments.len(), walked(&whole).breaks.len()), (3, 0));
        for (from, length, fragments) in [(300, 90, 3), (head.len() + 20, 60, 3), (head.len() + 600, 90, 2)] {
            let mut damaged = whole.clone();
            damaged.drain(from..from + length);
            let found = walked(&damaged);
            assert_eq!((found.fragments.len(), found.breaks.len()), (fragments, 1), "{from}");
            assert_eq!((found.missing, found.cut_fragment), (0, false), "{from}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            walked(&bytes);
            let _ = segments(&bytes, u64::MAX / 2);
            if bytes.len() >= 8 {
                bytes[4..8].copy_from_slice(b"ftyp");
                walked(&bytes);
            }
        }
    }
}
