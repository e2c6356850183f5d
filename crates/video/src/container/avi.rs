//! AVI files: the lists of chunks, the header of the video stream, and the indexes.
//!
//! An empty chunk stands for a frame that was dropped: it takes time, but neither FFmpeg nor decord make a frame of it. Headers count
//! such frames, and the indexes list their length, which is 0.

use std::io::{self, Read, Seek};

use reeldeck_common::feature::ExpectedFrom;

use super::reader::{Reader, le};
use super::{Amount, Declaration, End, Structure};

/// An index has 16 bytes per chunk; no video has more than this.
const MAX_INDEX: usize = 256 << 20;
const MAX_HEADER: usize = 4 << 20;

/// A flag of the main header: the file ends with an index.
const HAS_INDEX: u64 = 0x10;
/// The index is looked for so far from where it should be.
const MAX_SHIFT: u64 = 1 << 20;

/// A chunk's identity, its length, and, for lists, their kind. No length: its writer did not fill it in.
struct Chunk {
    id: [u8; 4],
    length: Option<u64>,
    kind: [u8; 4],
}

/// What was found on the walk.
#[derive(Default)]
struct Found {
    /// Chunks of the stream that an index lists, but for empty ones.
    listed: Option<u64>,
    /// Seconds by the header of the stream.
    seconds: Option<f64>,
    /// Bytes of the lists of chunks: those that they claim, and those that are there.
    claimed: u64,
    there: u64,
    /// Where the last list of chunks ends, and whether the header announces an index behind it.
    chunks_end: u64,
    has_index: bool,
    /// Positions and lengths of the indexes that the header of the stream names.
    indexes: Vec<(u64, u64)>,
}

/// Walks over the top-level chunks of each RIFF list: one, or several in a long file.
///
/// # Errors
/// If reading fails.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>, index: usize) -> io::Result<Structure> {
    let size = file.size();
    let mut found = Found::default();
    let mut is_open = false;
    let mut at = 0;
    while let Some(list) = chunk(file, at)?.filter(|c| &c.id == b"RIFF" && matches!(&c.kind, b"AVI " | b"AVIX")) {
        let mut inside = at + 12;
        while let Some(Chunk { id, length, kind }) = chunk(file, inside)? {
            // If the length of a list was never filled in, it declares nothing.
            let Some(length) = length else {
                is_open |= &id == b"LIST" && &kind == b"movi";
                break;
            };
            let (body, end) = (inside + 8, inside + 8 + length);
            match (&id, &kind) {
                (b"LIST", b"hdrl") => {
                    found.read_header(&file.bytes(body + 4, length.saturating_sub(4), MAX_HEADER)?, index);
                }
                (b"LIST", b"movi") => {
                    found.claimed += length;
                    found.chunks_end = end;
                    found.there += length.min(size.saturating_sub(body));
                }
                (b"idx1", _) if found.listed.is_none() && end <= size => {
                    found.listed = Some(listed(&file.bytes(body, length, MAX_INDEX)?, index));
                }
                _ => {}
            }
            inside = end + (length & 1);
        }
        let Some(length) = list.length else { break };
        at += 8 + length + (length & 1);
    }
    // A long file lists its chunks in several indexes; the last of them may lie beyond the end of the file.
    let indexes_end = found.indexes.iter().map(|(at, length)| at.saturating_add(*length)).max().unwrap_or(0);
    if !found.indexes.is_empty() {
        found.listed = if indexes_end <= size { found.count_listed(file)? } else { None };
    }
    if found.listed.is_none() && found.indexes.is_empty() && found.has_index && !is_open {
        found.find_index(file, index)?;
    }
    // What was overwritten up to the end of the file takes the index with it.
    let lacks_index = found.listed.is_none() && found.has_index && found.claimed > 0 && !is_open;
    let missing = (found.claimed - found.there).max(indexes_end.saturating_sub(size));
    let end = match () {
        () if missing > 0 || lacks_index => End::Cut,
        () if is_open || found.claimed == 0 => End::Unknown,
        () => End::Complete,
    };
    Ok(Structure { missing, end, declarations: found.declarations(), ..Structure::default() })
}

impl Found {
    /// Finds the index where it is not behind the chunks, because bytes are missing among them or too many.
    fn find_index<R: Read + Seek>(&mut self, file: &mut Reader<R>, index: usize) -> io::Result<()> {
        let mut at = self.chunks_end.saturating_sub(MAX_SHIFT);
        while let Some(place) = file.find(at, b"idx1")?.filter(|place| *place <= self.chunks_end + MAX_SHIFT) {
            let length = file.array::<4>(place + 4)?.map_or(0, |length| le(&length));
            if length > 0 && length % 16 == 0 && place + 8 + length <= file.size() {
                self.listed = Some(listed(&file.bytes(place + 8, length, MAX_INDEX)?, index));
                break;
            }
            at = place + 1;
        }
        Ok(())
    }

    /// Reads the content of the header list.
    fn read_header(&mut self, content: &[u8], index: usize) {
        let header = children(content).find(|(id, _)| *id == b"avih");
        self.has_index = header.and_then(|(_, body)| body.get(12..16)).is_some_and(|flags| le(flags) & HAS_INDEX != 0);
        let mut streams = children(content).filter(|(id, body)| *id == b"LIST" && body.starts_with(b"strl"));
        if let Some((_, stream)) = streams.nth(index) {
            self.read_stream(&stream[4..]);
        }
    }

    fn read_stream(&mut self, content: &[u8]) {
        for (id, body) in children(content) {
            match id {
                b"strh" => {
                    let number = |at: usize| body.get(at..at + 4).map_or(0, le) as f64;
                    let seconds = number(32) * number(20) / number(24);
                    self.seconds = Some(seconds).filter(|seconds| seconds.is_finite() && *seconds > 0.0);
                }
                // An index of indexes: position, length and number of frames of each.
                b"indx" if body.first() == Some(&4) && body.get(3) == Some(&0) => {
                    let count = body.get(4..8).map_or(0, le) as usize;
                    let entries = body.get(24..).unwrap_or_default().as_chunks::<16>().0;
                    let entries = entries.get(..count).unwrap_or_default().iter();
                    self.indexes = entries.map(|entry| (le(&entry[..8]), le(&entry[8..12]))).collect();
                }
                _ => {}
            }
        }
    }

    /// Counts the chunks in the indexes that the header of the stream names. `None` if one of them is overwritten.
    fn count_listed<R: Read + Seek>(&self, file: &mut Reader<R>) -> io::Result<Option<u64>> {
        let mut listed = 0;
        for (at, length) in &self.indexes {
            if file.array::<2>(*at)? == Some([0, 0]) {
                return Ok(None);
            }
            // A chunk's head, the kind of the index, its number of entries, and a position come first.
            let index = file.bytes(at + 8, length.saturating_sub(8), MAX_INDEX)?;
            let count = index.get(4..8).map_or(0, le) as usize;
            let entries = index.get(24..).unwrap_or_default().as_chunks::<8>().0.iter().take(count);
            // The highest bit of a length tells keyframes from others.
            listed += entries.filter(|entry| le(&entry[4..]) & 0x7fff_ffff > 0).count() as u64;
        }
        Ok(Some(listed))
    }

    fn declarations(&self) -> Vec<Declaration> {
        let share = self.there as f64 / self.claimed.max(1) as f64;
        let listed = self.listed.filter(|listed| *listed > 0);
        // Headers may be wrong, so they count only in a file that is cut.
        let announced = self.seconds.map(|seconds| Amount::Seconds { seconds, from_zero: false });
        let announced = announced.map(|amount| (amount, ExpectedFrom::TrackStatistics));
        let share = (self.claimed > 0).then_some((Amount::Share(share), ExpectedFrom::ContainerHeader));
        let others =
            announced.into_iter().chain(share).map(|(amount, source)| Declaration::if_incomplete(amount, source));
        listed.map(|listed| Declaration::list(listed, ExpectedFrom::ContainerIndex)).into_iter().chain(others).collect()
    }
}

/// Counts the chunks of a stream in the index at the end of a file, but for empty ones.
fn listed(index: &[u8], stream: usize) -> u64 {
    let number = format!("{stream:02}");
    let is_own = |entry: &&[u8; 16]| {
        let is_frame = entry.starts_with(number.as_bytes()) && matches!(&entry[2..4], b"dc" | b"db" | b"iv");
        is_frame && le(&entry[12..]) > 0
    };
    index.as_chunks::<16>().0.iter().filter(is_own).count() as u64
}

/// The chunks inside a list; stops where they make no sense.
fn children(content: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let (id, tail) = rest.split_first_chunk::<4>()?;
        let (length, body) = tail.split_first_chunk::<4>()?;
        let length = (le(length) as usize).min(body.len());
        rest = body.get(length + (length & 1)..).unwrap_or_default();
        Some((id, &body[..length]))
    })
}

/// The chunk that begins at this position; `None` if none does.
fn chunk<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<Option<Chunk>> {
    let Some([a, b, c, d, l, m, n, o, kind @ ..]) = file.array::<12>(at)? else { return Ok(None) };
    let (id, length) = ([a, b, c, d], le(&[l, m, n, o]));
    // Zero and all ones stand there until the file is finished.
    let length = (length > 0 && length < u64::from(u32::MAX) - 8).then_some(length);
    Ok(id.iter().all(|byte| (0x20..0x7f).contains(byte)).then_some(Chunk { id, length, kind }))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn chunk_of(id: &[u8], body: &[u8]) -> Vec<u8> {
        let padding = if body.len() % 2 == 1 { &[0][..] } else { &[] };
        [id, &(body.len() as u32).to_le_bytes(), body, padding].concat()
    }

    fn list(id: &[u8], kind: &[u8], body: &[u8]) -> Vec<u8> {
        chunk_of(id, &[kind, body].concat())
    }

    fn header(frames: u32, more: &[u8]) -> Vec<u8> {
        let mut stream = [0; 56];
        (stream[20], stream[24]) = (1, 25);
        stream[32..36].copy_from_slice(&frames.to_le_bytes());
        let stream = list(b"LIST", b"strl", &[chunk_of(b"strh", &stream), more.to_vec()].concat());
        list(b"LIST", b"hdrl", &[chunk_of(b"avih", &[0; 56]), stream].concat())
    }

    fn avi(data: usize) -> Vec<u8> {
        let entry = |id: &[u8], length: u8| [id, &[0; 8], &[length, 0, 0, 0]].concat();
        let index = [entry(b"00dc", 9), entry(b"01wb", 9), entry(b"00dc", 9), entry(b"rec ", 9), entry(b"00dc", 0)];
        let index = index.concat();
        let body = [header(250, &[]), list(b"LIST", b"movi", &vec![2; data]), chunk_of(b"idx1", &index)];
        list(b"RIFF", b"AVI ", &body.concat())
    }

    /// 250 frames at 25 a second.
    const ALL: Amount = Amount::Seconds { seconds: 10.0, from_zero: false };

    fn inspected(bytes: &[u8]) -> Structure {
        inspect(&mut Reader::new(Cursor::new(bytes)).unwrap(), 0).unwrap()
    }

    fn movi(file: &[u8]) -> usize {
        file.windows(4).position(|w| w == b"movi").unwrap() + 4
    }

    #[test]
    fn only_missing_chunks_count_as_a_cut() {
        let file = avi(1000);
        let data = movi(&file);
        for end in [data + 4, data + 500, data + 999] {
            let structure = inspected(&file[..end]);
            assert_eq!((structure.missing, structure.end), ((data + 1000 - end) as u64, End::Cut));
            assert_eq!(structure.declarations[0].amount, ALL);
        }
        // Without the index all chunks are still there.
        for end in data + 1000..=file.len() {
            assert_eq!((inspected(&file[..end]).missing, inspected(&file[..end]).end), (0, End::Complete));
        }
        assert_eq!(inspected(&[file.clone(), vec![0; 99]].concat()).missing, 0);
        let more = list(b"RIFF", b"AVIX", &list(b"LIST", b"movi", &[3; 400]));
        assert_eq!(inspected(&[file.clone(), more.clone()].concat()).missing, 0);
        assert_eq!(inspected(&[file, more[..300].to_vec()].concat()).missing, 124);
    }

    #[test]
    fn the_index_counts_the_chunks_of_the_stream() {
        let structure = inspected(&avi(1000));
        assert_eq!(structure.declarations[0], Declaration::list(2, ExpectedFrom::ContainerIndex));
        assert_eq!(structure.declarations[1].amount, ALL);
        assert!(!structure.declarations[1].always);
    }

    #[test]
    fn the_index_is_found_where_bytes_are_missing_in_front_of_it() {
        let mut file = avi(1000);
        let data = movi(&file);
        file.drain(data + 300..data + 400);
        assert_eq!(inspected(&file).declarations[0].amount, ALL);
        let flags = file.windows(4).position(|w| w == b"avih").unwrap() + 8 + 12;
        file[flags] |= 0x10;
        assert_eq!(inspected(&file).declarations[0], Declaration::list(2, ExpectedFrom::ContainerIndex));
    }

    #[test]
    fn indexes_of_a_long_file_are_summed_up() {
        let index = |lengths: &[u32]| {
            let head = [&[2, 0, 0, 1, lengths.len() as u8, 0, 0, 0][..], &[0; 16]].concat();
            let entries = lengths.iter().flat_map(|length| [0, *length]).flat_map(u32::to_le_bytes);
            chunk_of(b"ix00", &head.into_iter().chain(entries).collect::<Vec<_>>())
        };
        let data = [index(&[7, 0, 1 << 31 | 9]), index(&[5])].concat();
        let first = index(&[7, 0, 9]).len() as u32;
        let file = |start: u64| {
            let entry =
                |at: u64, length: u32| [&(start + at).to_le_bytes()[..], &length.to_le_bytes(), &[9; 4]].concat();
            let second = data.len() as u32 - first;
            let list_of = [entry(0, first), entry(u64::from(first), second)].concat();
            let super_index = [&[4, 0, 0, 0, 2, 0, 0, 0][..], &[0; 16], &list_of].concat();
            let body = [header(250, &chunk_of(b"indx", &super_index)), list(b"LIST", b"movi", &data)].concat();
            list(b"RIFF", b"AVI ", &body)
        };
        let start = movi(&file(0)) as u64;
        let structure = inspected(&file(start));
        assert_eq!(structure.declarations[0], Declaration::list(3, ExpectedFrom::ContainerIndex));
        assert_eq!(structure.end, End::Complete);
        let cut = inspected(&file(start + 9));
        assert_eq!((cut.end, cut.missing), (End::Cut, 9), "an index lies beyond the end");
        assert_eq!(cut.declarations[0].amount, ALL);
    }

    #[test]
    fn a_file_that_lacks_the_index_it_announces_is_cut() {
        let mut file = avi(1000);
        let end = movi(&file) + 500;
        file[end..].fill(0);
        assert_eq!(inspected(&file).end, End::Complete, "nothing announces an index");
        let flags = file.windows(4).position(|w| w == b"avih").unwrap() + 8 + 12;
        file[flags] |= 0x10;
        let structure = inspected(&file);
        assert_eq!((structure.end, structure.declarations[0].amount), (End::Cut, ALL));
    }

    #[test]
    fn lengths_that_were_never_filled_in_declare_nothing() {
        let file = avi(1000);
        let data = movi(&file);
        for length in [0, u32::MAX] {
            for places in [vec![4], vec![data - 8], vec![4, data - 8]] {
                let mut open = file[..data + 500].to_vec();
                places.iter().for_each(|at| open[*at..at + 4].copy_from_slice(&length.to_le_bytes()));
                let structure = inspected(&open);
                assert_eq!(structure.missing > 0, places == [4], "{length} {places:?}");
                assert_eq!(structure.end == End::Unknown, places != [4], "{length} {places:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(at in 0..350_usize, noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut file = avi(100);
            let end = file.len().min(at + noise.len());
            let at = at.min(end);
            file[at..end].copy_from_slice(&noise[..end - at]);
            inspected(&file);
            inspected(&noise);
        }
    }
}
