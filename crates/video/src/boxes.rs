//! A walk over the top-level boxes of an MP4 file: is the index there, and does the file reach as far as its boxes say?

use std::io::{self, Read, Seek, SeekFrom};

/// What the walk found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boxes {
    /// The file begins like an MP4 or MOV file.
    pub is_mp4: bool,
    /// There is a `moov` box.
    pub has_index: bool,
    /// A box claims more bytes than the file has.
    pub cut: bool,
    /// So many.
    pub cut_bytes: u64,
    /// The box is a fragment: a `moof`, or the `mdat` behind one.
    pub cut_fragment: bool,
    /// What the segment index promises, where there is just one.
    pub segments: Option<Segments>,
}

/// What a segment index (`sidx`) promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Where the last segment ends in the file.
    pub end: u64,
    /// How long all segments play, in ticks.
    pub ticks: u64,
    /// Ticks a second; not 0.
    pub timescale: u32,
}

impl Segments {
    /// How long all segments play, in seconds.
    pub fn seconds(&self) -> f64 {
        self.ticks as f64 / f64::from(self.timescale)
    }
}

/// Reads a few bytes a box, and what a segment index holds, whatever the file's size.
///
/// # Errors
/// When reading fails; a short or foreign file is no error.
pub fn walk(file: &mut (impl Read + Seek)) -> io::Result<Boxes> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut found = Boxes::default();
    let (mut at, mut fragmented, mut indexes) = (0, false, 0);
    while at + 8 <= size {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, kind @ ..] = head;
        if at == 0 {
            found.is_mp4 = matches!(&kind, b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide" | b"styp");
            if !found.is_mp4 {
                return Ok(found);
            }
        }
        let length = match u64::from(u32::from_be_bytes([a, b, c, d])) {
            0 => size - at,
            1 if at + 16 <= size => {
                let mut long = [0; 8];
                file.read_exact(&mut long)?;
                u64::from_be_bytes(long)
            }
            short => short,
        };
        found.has_index |= kind == *b"moov";
        fragmented |= kind == *b"moof";
        let Some(end) = at.checked_add(length).filter(|_| length >= 8) else { break };
        found.cut |= end > size;
        found.cut_bytes = end.saturating_sub(size);
        found.cut_fragment = found.cut && fragmented && matches!(&kind, b"moof" | b"mdat");
        if kind == *b"sidx" && end <= size {
            indexes += 1;
            found.segments = segments(&mut file.take(length - 8), end)?.filter(|_| indexes == 1);
        }
        at = end;
    }
    Ok(found)
}

/// Reads a segment index, which ends at `anchor`. `None` for one that makes no sense.
fn segments(index: &mut impl Read, anchor: u64) -> io::Result<Option<Segments>> {
    // Longer ones do not exist: the number of references has sixteen bits.
    let mut bytes = vec![];
    index.take(32 + 12 * 0xffff).read_to_end(&mut bytes)?;
    Ok(parse_segments(&bytes, anchor))
}

fn parse_segments(bytes: &[u8], anchor: u64) -> Option<Segments> {
    let (head, rest) = bytes.split_first_chunk::<12>()?;
    let timescale = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let (first, rest) = match head[0] {
        0 => {
            let (times, rest) = rest.split_first_chunk::<8>()?;
            (u64::from(u32::from_be_bytes([times[4], times[5], times[6], times[7]])), rest)
        }
        _ => {
            let (times, rest) = rest.split_first_chunk::<16>()?;
            (u64::from_be_bytes(*times.last_chunk::<8>()?), rest)
        }
    };
    let (counted, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::from(u16::from_be_bytes([counted[2], counted[3]]));
    let references = rest.as_chunks::<12>().0.get(..count)?;
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
    let length: u64 = references.iter().map(|r| word(&r[..4]) & 0x7fff_ffff).sum();
    let ticks = references.iter().map(|r| word(&r[4..8])).sum();
    let end = anchor.checked_add(first)?.checked_add(length)?;
    (timescale > 0 && count > 0).then_some(Segments { end, ticks, timescale })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn boxed(kind: &[u8; 4], body: usize) -> Vec<u8> {
        let mut out = ((body + 8) as u32).to_be_bytes().to_vec();
        out.extend(kind);
        out.resize(body + 8, 0);
        out
    }

    #[test]
    fn finds_the_index_and_the_cut() {
        let whole = [boxed(b"ftyp", 8), boxed(b"moov", 100), boxed(b"mdat", 1000)].concat();
        let walked = |bytes: &[u8]| walk(&mut Cursor::new(bytes)).unwrap();
        let plain = Boxes { is_mp4: true, has_index: true, ..Boxes::default() };
        assert_eq!(walked(&whole), plain);
        assert_eq!(walked(&whole[..500]), Boxes { cut: true, cut_bytes: 632, ..plain });
        let late = [boxed(b"ftyp", 8), boxed(b"mdat", 1000), boxed(b"moov", 100)].concat();
        assert_eq!(walked(&late[..700]), Boxes { has_index: false, cut: true, cut_bytes: 324, ..plain });
        assert_eq!(walked(b"not a video at all"), Boxes::default());
        assert_eq!(walked(b""), Boxes::default());
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
        let mut out = boxed(b"sidx", body.len());
        out[8..].copy_from_slice(&body);
        out
    }

    #[test]
    fn a_segment_index_tells_where_the_file_should_end() {
        let walked = |bytes: &[u8]| walk(&mut Cursor::new(bytes)).unwrap();
        for version in [0, 1] {
            let head =
                [boxed(b"ftyp", 8), boxed(b"moov", 100), index(version, 16, &[(300, 2000), (200, 1500)])].concat();
            let fragment = |body| [boxed(b"moof", 92), boxed(b"mdat", body)].concat();
            let whole = [head.clone(), boxed(b"free", 8), fragment(192), fragment(92)].concat();
            let end = whole.len() as u64;
            let found = walked(&whole);
            assert_eq!(found.segments, Some(Segments { end, ticks: 3500, timescale: 1000 }));
            assert!(!found.cut && !found.cut_fragment && found.segments.unwrap().seconds() == 3.5);
            let cut = walked(&whole[..whole.len() - 250]);
            assert_eq!((cut.cut_fragment, cut.cut_bytes, cut.segments), (true, 50, found.segments));
            // One for each track promises nothing that is easily summed up.
            assert_eq!(walked(&[whole.clone(), index(0, 0, &[(1, 1)])].concat()).segments, None);
            assert_eq!(walked(&[head.clone(), index(0, 0, &[])].concat()).segments, None);
        }
        // What follows the last fragment is no fragment.
        let tail = [boxed(b"ftyp", 8), boxed(b"moov", 9), boxed(b"moof", 92), boxed(b"mdat", 9), boxed(b"free", 99)];
        let found = walked(tail.concat().split_last_chunk::<50>().unwrap().0);
        assert!(found.cut && !found.cut_fragment);
    }

    proptest! {
        #[test]
        fn ends_on_anything(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = walk(&mut Cursor::new(&bytes));
            let _ = parse_segments(&bytes, u64::MAX / 2);
            if bytes.len() >= 8 {
                bytes[4..8].copy_from_slice(b"ftyp");
                let _ = walk(&mut Cursor::new(&bytes));
            }
        }
    }
}
