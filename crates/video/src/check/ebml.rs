//! A walk over the elements of a Matroska or WebM file: does the file reach as far as it says, and does each cluster
//! consist of whole elements? FFmpeg jumps over what does not, and says nothing of the pictures in it.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::Walked;

const HEADER: u64 = 0x1A45_DFA3;
const SEGMENT: u64 = 0x1853_8067;
const CLUSTER: u64 = 0x1F43_B675;

/// What the specification puts directly into a segment: what may follow a cluster that does not know its length.
const TOP: [u64; 8] =
    [CLUSTER, 0x114D_9B74, 0x1549_A966, 0x1654_AE6B, 0x1C53_BB6B, 0x1941_A469, 0x1043_A770, 0x1254_C367];

/// An element's identity, where its body begins, and where it ends; `None` where the file does not say.
struct Element {
    id: u64,
    body: u64,
    end: Option<u64>,
}

struct Walk<R> {
    file: BufReader<R>,
    at: u64,
    size: u64,
}

/// Walks through the first segment. A file that is no Matroska file has nothing wrong with it.
///
/// # Errors
/// When reading fails.
pub fn walk(mut file: impl Read + Seek) -> io::Result<Walked> {
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut walk = Walk { file: BufReader::with_capacity(1 << 16, file), at: 0, size };
    let Some(Element { id: HEADER, end: Some(at), .. }) = walk.element(0)? else { return Ok(Walked::default()) };
    let Some(segment) = walk.element(at)?.filter(|element| element.id == SEGMENT) else {
        return Ok(Walked { missing: at.saturating_sub(size), broken_at: None });
    };
    let mut walked = Walked { missing: segment.end.map_or(0, |end| end.saturating_sub(size)), broken_at: None };
    let end = segment.end.unwrap_or(size).min(size);
    let mut at = segment.body;
    while at < end {
        let Some(element) = walk.element(at)? else {
            // The file may end in the middle of an element's head, and what follows a stream of unknown length may be
            // anything.
            if end - at > 12 && segment.end.is_some() {
                walked.broken_at.get_or_insert(at);
            }
            break;
        };
        at = match (element.id, element.end) {
            (CLUSTER, known) => walk.cluster(element.body, known, end, &mut walked)?,
            (_, Some(next)) if next <= end => next,
            // The last element is cut off with the file, or claims more than the segment has.
            (_, Some(next)) => {
                if next > segment.end.unwrap_or(u64::MAX) {
                    walked.broken_at.get_or_insert(at);
                }
                break;
            }
            (_, None) => break,
        };
    }
    Ok(walked)
}

impl<R: Read + Seek> Walk<R> {
    /// Walks through a cluster; gives where it ends.
    fn cluster(&mut self, body: u64, known: Option<u64>, end: u64, walked: &mut Walked) -> io::Result<u64> {
        let mut at = body;
        let limit = known.unwrap_or(end);
        while at < limit.min(end) {
            match self.element(at)? {
                Some(element) if known.is_none() && TOP.contains(&element.id) => break,
                Some(Element { end: Some(next), .. }) if next <= limit => at = next,
                // Cut off with the file, not broken.
                Some(Element { end: Some(next), .. }) if known.is_none() && next > self.size => return Ok(end),
                None if self.size - at <= 12 => return Ok(end),
                _ => {
                    walked.broken_at.get_or_insert(at);
                    // Where the cluster's own length is known, the next one is found.
                    return Ok(known.unwrap_or(end));
                }
            }
        }
        Ok(known.unwrap_or(at))
    }

    /// The element that begins here; `None` where none does.
    fn element(&mut self, at: u64) -> io::Result<Option<Element>> {
        let mut head = [0; 12];
        let there = self.read(at, &mut head)?;
        Ok(head.get(..there).and_then(|head| {
            let first = head.first()?;
            let id_length = first.leading_zeros() as usize + 1;
            let id = (id_length <= 4).then(|| number(head.get(..id_length)?))??;
            let rest = head.get(id_length..)?;
            let length = rest.first()?.leading_zeros() as usize + 1;
            let marked = (length <= 8).then(|| number(rest.get(..length)?))??;
            let ones = (1_u64 << (7 * length)) - 1;
            let body = at + (id_length + length) as u64;
            let end = if marked & ones == ones { None } else { Some(body.checked_add(marked & ones)?) };
            Some(Element { id, body, end })
        }))
    }

    /// Reads as many bytes as there are.
    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        if at >= self.size {
            return Ok(0);
        }
        // Files are far smaller than the largest i64, and `at` lies in one.
        self.file.seek_relative(at as i64 - self.at as i64)?;
        self.at = at;
        let mut done = 0;
        while done < into.len() {
            let there = self.file.fill_buf()?;
            let n = there.len().min(into.len() - done);
            if n == 0 {
                break;
            }
            into[done..done + n].copy_from_slice(&there[..n]);
            self.file.consume(n);
            done += n;
            self.at += n as u64;
        }
        Ok(done)
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const UNKNOWN: [u8; 8] = [1, 255, 255, 255, 255, 255, 255, 255];

    fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
        [id, &(body.len() as u64 | 1 << 56).to_be_bytes(), body].concat()
    }

    fn cluster(blocks: usize) -> Vec<u8> {
        let block = |n: usize| element(&[0xA3], &vec![n as u8; 20 + n]);
        let body = [element(&[0xE7], &[0, 0])].into_iter().chain((0..blocks).map(block)).collect::<Vec<_>>().concat();
        element(&[0x1F, 0x43, 0xB6, 0x75], &body)
    }

    fn header() -> Vec<u8> {
        element(&[0x1A, 0x45, 0xDF, 0xA3], &[0; 20])
    }

    fn whole(clusters: &[Vec<u8>]) -> Vec<u8> {
        let cues = element(&[0x1C, 0x53, 0xBB, 0x6B], &[7; 40]);
        let body = [vec![element(&[0xEC], &[0; 9])], clusters.to_vec(), vec![cues]].concat().concat();
        [header(), element(&[0x18, 0x53, 0x80, 0x67], &body)].concat()
    }

    fn walked(bytes: &[u8]) -> (u64, bool) {
        let walked = walk(Cursor::new(bytes)).unwrap();
        (walked.missing, walked.broken_at.is_some())
    }

    #[test]
    fn whole_files_and_what_follows_them_are_fine() {
        let file = whole(&[cluster(3), cluster(0), cluster(5)]);
        assert_eq!(walked(&file), (0, false));
        assert_eq!(walked(&[file, vec![0; 300]].concat()), (0, false));
        for other in [&b""[..], b"\x1a", b"RIFF....AVI LIST", &[0; 100], &header()] {
            assert_eq!(walked(other), (0, false), "{other:?}");
        }
    }

    #[test]
    fn a_cut_at_any_place_is_a_cut_and_nothing_else() {
        let file = whole(&[cluster(3), cluster(5)]);
        let segment = header().len() + 12;
        for end in segment..file.len() {
            assert_eq!(walked(&file[..end]), ((file.len() - end) as u64, false), "{end}");
        }
    }

    #[test]
    fn zeros_where_elements_should_be_are_seen() {
        let file = whole(&[cluster(3), cluster(5), cluster(2)]);
        let second = header().len() + 12 + 18 + cluster(3).len();
        for at in second..second + cluster(5).len() - 40 {
            let mut damaged = file.clone();
            damaged[at..at + 40].fill(0);
            assert_eq!(walked(&damaged), (0, true), "{at}");
        }
    }

    #[test]
    fn streams_of_unknown_length_end_where_they_end() {
        let open = |body: &[u8]| [&[0x1F, 0x43, 0xB6, 0x75][..], &UNKNOWN, body].concat();
        let body = cluster(4).split_off(12);
        let segment = [&header()[..], &[0x18, 0x53, 0x80, 0x67], &UNKNOWN].concat();
        let file = [&segment[..], &open(&body), &open(&body)].concat();
        for end in segment.len()..=file.len() {
            assert_eq!(walked(&file[..end]), (0, false), "{end}");
        }
        let mut damaged = file.clone();
        damaged[segment.len() + 30..][..40].fill(0);
        assert_eq!(walked(&damaged), (0, true));
    }

    proptest! {
        #[test]
        fn ends_on_anything(at in 0..200_usize, noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut file = whole(&[cluster(3), cluster(5)]);
            let end = file.len().min(at + noise.len());
            file[at..end].copy_from_slice(&noise[..end - at]);
            let _ = walk(Cursor::new(&file));
            let _ = walk(Cursor::new(&noise));
        }
    }
}
