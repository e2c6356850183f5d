//! FLV files: a chain of tags, each followed by its own length, and a script tag that describes the file.

use std::io::{self, Read, Seek};

use reeldeck_common::feature::ExpectedFrom;

use super::reader::{Reader, be};
use super::{Amount, Declaration, End, Structure};

/// Kind, length, time and stream number in front of a tag, and its length behind it.
const TAG_HEADER: u64 = 11;
const TRAILER: u64 = 4;

/// Descriptions are far shorter.
const MAX_SCRIPT: usize = 16 << 20;

/// A header that is damaged can claim a tag of 16 MB.
const MAX_RESYNC: u64 = 1 << 24;

/// A duration that ends less than this behind the last tag does not show a cut.
const SLACK_SECONDS: f64 = 0.25;

/// How much the bit rate of a piece may differ from that of the whole file.
const UNEVENNESS: f64 = 4.0;

/// The header of a tag.
struct Tag {
    kind: u8,
    encrypted: bool,
    body: u64,
    /// Where the trailer ends.
    end: u64,
    seconds: f64,
}

/// What the description says of the file; 0 for what it does not say.
#[derive(Debug, Default, PartialEq)]
struct Description {
    duration: f64,
    size: f64,
}

/// Walks over all tags.
///
/// # Errors
/// If reading fails.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>) -> io::Result<Structure> {
    let mut structure = Structure::default();
    let size = file.size();
    let Some(header) = file.array::<9>(0)?.filter(|header| header.starts_with(b"FLV")) else { return Ok(structure) };
    let start = be(&header[5..]) + TRAILER;
    let mut at = start;
    let mut description = Description::default();
    let (mut last, mut is_cut, mut encrypted) = (0.0_f64, false, 0_u64);
    // Some writers leave out the lengths behind tags.
    let mut has_lengths = true;
    while at < size {
        let tag = match tag(file, at)? {
            Some(tag) if tag.end <= size => tag,
            // Nothing makes sense here, or the tag is longer than the file: are there tags behind it?
            other => match resync(file, at + 1)? {
                Some(next) => {
                    structure.broken_at(at);
                    at = next;
                    continue;
                }
                None => {
                    // A whole tag may lack its trailer.
                    let missing = other.map_or(0, |tag| (tag.end - TRAILER).saturating_sub(size));
                    (structure.missing, is_cut) = (missing, missing > 0);
                    break;
                }
            },
        };
        let fits = is_followed_by_its_length(file, at, &tag)?;
        has_lengths = if at == start { fits } else { has_lengths };
        if !fits && (has_lengths || !is_tag(file, tag.end)? && tag.end < size) {
            structure.broken_at(at);
            match resync(file, at + 1)? {
                Some(next) => at = next,
                None => break,
            }
            continue;
        }
        match tag.kind {
            18 if description == Description::default() => {
                description = describe(&file.bytes(tag.body, tag.end - TRAILER - tag.body, MAX_SCRIPT)?);
            }
            8 | 9 => last = last.max(tag.seconds),
            _ => {}
        }
        encrypted += u64::from(tag.kind == 9 && tag.encrypted);
        at = tag.end;
    }
    let claimed = if description.size >= 13.0 { description.size as u64 } else { 0 };
    let is_longer = description.duration > last + SLACK_SECONDS;
    // A description may be wrong. It shows a cut if its length and its duration agree about how much is missing. They differ where
    // the bit rate is uneven: a short piece begins with a key frame, which takes most of its bytes.
    let ratio = (size as f64 / claimed as f64) / (last / description.duration);
    let agree =
        claimed > size && claimed / 1000 <= size && is_longer && (1.0 / UNEVENNESS..UNEVENNESS).contains(&ratio);
    if agree {
        structure.missing = structure.missing.max(claimed - size);
    }
    structure.end = match () {
        () if is_cut || agree => End::Cut,
        // The description was written when the file was finished.
        () if claimed == size => End::Complete,
        () => End::Unknown,
    };
    if description.duration > last {
        let amount = Amount::Seconds { seconds: description.duration, from_zero: true };
        structure.declarations.push(Declaration::if_incomplete(amount, ExpectedFrom::ContainerHeader));
    }
    structure.encryption = (encrypted > 0).then(|| "FLV encryption".to_owned());
    Ok(structure)
}

/// The tag that begins at this position; `None` if none does.
fn tag<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<Option<Tag>> {
    let Some(head) = file.array::<11>(at)? else { return Ok(None) };
    // The number of the stream is always 0, and two bits of the kind are reserved.
    if !matches!(head[0] & 0x1f, 8 | 9 | 18) || head[0] & 0xc0 != 0 || head[8..] != [0, 0, 0] {
        return Ok(None);
    }
    let body = at + TAG_HEADER;
    let milliseconds = be(&head[4..7]) | u64::from(head[7]) << 24;
    Ok(Some(Tag {
        kind: head[0] & 0x1f,
        encrypted: head[0] & 0x20 != 0,
        body,
        end: body + be(&head[1..4]) + TRAILER,
        seconds: milliseconds as f64 / 1e3,
    }))
}

fn is_tag<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<bool> {
    Ok(tag(file, at)?.is_some())
}

/// Whether the length behind a tag is that of the tag.
fn is_followed_by_its_length<R: Read + Seek>(file: &mut Reader<R>, at: u64, tag: &Tag) -> io::Result<bool> {
    let trailer = file.array::<4>(tag.end - TRAILER)?;
    Ok(trailer.is_some_and(|length| be(&length) == tag.end - TRAILER - at))
}

/// The next position where a tag begins that is followed by its length.
fn resync<R: Read + Seek>(file: &mut Reader<R>, from: u64) -> io::Result<Option<u64>> {
    let end = file.size().min(from.saturating_add(MAX_RESYNC));
    let is_candidate =
        |head: &[u8]| matches!(head[0], 8 | 9 | 18 | 40 | 41) && head[8..] == [0, 0, 0] && be(&head[1..4]) > 0;
    let mut start = from;
    while let Some(at) = file.find_in(start, end, TAG_HEADER as usize, is_candidate)? {
        if let Some(tag) = tag(file, at)?.filter(|tag| tag.end <= file.size())
            && is_followed_by_its_length(file, at, &tag)?
        {
            return Ok(Some(at));
        }
        start = at + 1;
    }
    Ok(None)
}

/// Reads the numbers of a script tag: names with their length in two bytes, and values with their type in one.
fn describe(script: &[u8]) -> Description {
    let number = |name: &str| {
        let name = [&(name.len() as u16).to_be_bytes()[..], name.as_bytes(), &[0]].concat();
        let at = script.windows(name.len()).position(|window| window == name)? + name.len();
        Some(f64::from_bits(be(script.get(at..at + 8)?))).filter(|number| number.is_finite() && *number > 0.0)
    };
    let size = number("filesize").or_else(|| number("bytelength"));
    Description { duration: number("duration").unwrap_or(0.0), size: size.unwrap_or(0.0) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn tag_of(kind: u8, milliseconds: u32, body: &[u8]) -> Vec<u8> {
        let time = milliseconds.to_be_bytes();
        let head = [&[kind], &(body.len() as u32).to_be_bytes()[1..], &time[1..], &time[..1], &[0, 0, 0]].concat();
        [&head[..], body, &((body.len() + 11) as u32).to_be_bytes()].concat()
    }

    fn number(name: &str, value: f64) -> Vec<u8> {
        [&(name.len() as u16).to_be_bytes()[..], name.as_bytes(), &[0], &value.to_be_bytes()].concat()
    }

    fn file(duration: f64, size: f64) -> Vec<u8> {
        let script = [number("duration", duration), number("filesize", size)].concat();
        let tags = (0..100).map(|n| tag_of(9, n * 100, &vec![n as u8 | 1; 50 + n as usize]));
        [b"FLV\x01\x01\0\0\0\x09\0\0\0\0".to_vec(), tag_of(18, 0, &script)]
            .into_iter()
            .chain(tags)
            .collect::<Vec<_>>()
            .concat()
    }

    fn whole() -> Vec<u8> {
        let length = file(10.0, 1.0).len();
        file(10.0, length as f64)
    }

    fn inspected(bytes: &[u8]) -> Structure {
        inspect(&mut Reader::new(Cursor::new(bytes)).unwrap()).unwrap()
    }

    #[test]
    fn a_cut_is_shown_by_the_last_tag_or_by_the_description() {
        let whole = whole();
        assert_eq!((inspected(&whole).end, inspected(&whole).breaks.len()), (End::Complete, 0));
        let last = tag_of(9, 0, &[1; 149]).len();
        let inside = inspected(&whole[..whole.len() - last * 9 / 2]);
        assert!(inside.end == End::Cut && inside.missing > 0, "{inside:?}");
        // Between two tags.
        let half: usize = 13 + tag_of(18, 0, &[0; 38]).len() + (0..50).map(|n| 65 + n).sum::<usize>();
        let between = inspected(&whole[..half]);
        assert_eq!((between.end, between.missing), (End::Cut, (whole.len() - half) as u64));
        assert_eq!(between.declarations[0].amount, Amount::Seconds { seconds: 10.0, from_zero: true });
        // The first frame of a short piece takes most of its bytes.
        let keyed = |frames: u32, size: f64| {
            let script = [number("duration", 10.0), number("filesize", size)].concat();
            let tags = (0..frames).map(|n| tag_of(9, n * 100, &vec![1; if n == 0 { 3000 } else { 50 }]));
            let head = [b"FLV\x01\x01\0\0\0\x09\0\0\0\0".to_vec(), tag_of(18, 0, &script)];
            head.into_iter().chain(tags).collect::<Vec<_>>().concat()
        };
        let whole_size = keyed(100, 0.0).len();
        let piece = inspected(&keyed(15, whole_size as f64));
        assert_eq!((piece.end, piece.missing), (End::Cut, (whole_size - keyed(15, 0.0).len()) as u64));
        // A duration without a file size is not trusted.
        assert_eq!(inspected(&file(10.0, 0.0)[..half]).end, End::Unknown);
        assert_eq!(inspected(&file(1e9, 1e12)).end, End::Unknown);
        // A whole last tag without the length behind it.
        assert_eq!(inspected(&file(0.0, 0.0)[..whole.len() - 4]).end, End::Unknown);
    }

    #[test]
    fn missing_and_changed_bytes_are_breaks() {
        let whole = whole();
        for at in (200..whole.len() - 1000).step_by(97) {
            let mut shorter = whole.clone();
            shorter.drain(at..at + 300);
            assert_eq!(inspected(&shorter).breaks.len(), 1, "{at}");
        }
        assert_eq!(inspected(&[whole, vec![0; 500]].concat()).breaks.len(), 0);
    }

    #[test]
    fn encrypted_tags_are_recognised() {
        let mut bytes = b"FLV\x01\x01\0\0\0\x09\0\0\0\0".to_vec();
        bytes.extend(tag_of(0x29, 0, &[7; 30]));
        assert_eq!(inspected(&bytes).encryption.unwrap(), "FLV encryption");
        assert_eq!(inspected(&whole()).encryption, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(at in 0..2000_usize, noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut file = whole();
            file[at..at + noise.len()].copy_from_slice(&noise);
            inspected(&file);
            inspected(&noise);
        }
    }
}
