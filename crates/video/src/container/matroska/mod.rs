//! Matroska and WebM files: checks that the file is as long as its headers say and that each cluster contains only complete
//! elements. FFmpeg skips other data, and does not report the frames in it.
//!
//! The duration of a file is that of its longest track, so it says nothing about the number of frames in a complete file. If a
//! part is missing, the statistics of the video track, or else the duration, show how much.

use std::io::{self, Read, Seek};

use reeldeck_common::feature::ExpectedFrom;

use super::reader::{Reader, be};
use super::{Amount, Declaration, End, Structure};

const HEADER: u64 = 0x1A45_DFA3;
const SEGMENT: u64 = 0x1853_8067;
const CLUSTER: u64 = 0x1F43_B675;
const SEEK_HEAD: u64 = 0x114D_9B74;
const INFO: u64 = 0x1549_A966;
const TRACKS: u64 = 0x1654_AE6B;
const CUES: u64 = 0x1C53_BB6B;
const TAGS: u64 = 0x1254_C367;

/// What the specification puts directly into a segment: what may follow a cluster that does not know its length.
const TOP: [u64; 8] = [CLUSTER, SEEK_HEAD, INFO, TRACKS, CUES, TAGS, 0x1941_A469, 0x1043_A770];

/// Headers and tags are far smaller.
const MAX_MASTER: usize = 16 << 20;

/// An element that knows neither its length nor its successor is at most this long: identity and length.
const MAX_HEAD: u64 = 12;

/// An element's identity, where its content begins, and where it ends; `None` if the file does not say.
struct Element {
    id: u64,
    body: u64,
    end: Option<u64>,
}

/// What the headers of a segment say.
#[derive(Default)]
struct Segment {
    body: u64,
    /// Seconds that the longest track lasts.
    duration: Option<f64>,
    writer: String,
    tracks: Vec<Track>,
    tags: Vec<Tag>,
    /// Where the cues lie, relative to the segment's content.
    cues_at: Option<u64>,
    /// Where the last cluster ends, and where elements follow that come after all clusters.
    clusters_end: u64,
    has_cues_behind: bool,
    cut_cluster: bool,
}

#[derive(Default)]
struct Track {
    uid: u64,
    codec: String,
    is_encrypted: bool,
}

/// A tag of a track: name and value.
struct Tag {
    track: u64,
    name: String,
    value: String,
}

/// Walks through the first segment. `index` is the position of the wanted track among all.
///
/// # Errors
/// If reading fails.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>, index: usize) -> io::Result<Structure> {
    let mut structure = Structure::default();
    let size = file.size();
    let Some(Element { id: HEADER, end: Some(at), .. }) = element(file, 0)? else { return Ok(structure) };
    let Some(head) = element(file, at)?.filter(|element| element.id == SEGMENT) else {
        structure.missing = at.saturating_sub(size);
        return Ok(structure);
    };
    structure.missing = head.end.map_or(0, |end| end.saturating_sub(size));
    let mut segment = Segment { body: head.body, ..Segment::default() };
    let end = head.end.unwrap_or(size).min(size);
    let mut at = head.body;
    while at < end {
        let next = match element(file, at)? {
            Some(Element { id: CLUSTER, body, end: known }) => {
                let next = cluster(file, body, known, end, &mut structure, &mut segment)?;
                segment.clusters_end = next;
                Some(next)
            }
            Some(Element { id, body, end: Some(next) }) if next <= head.end.unwrap_or(u64::MAX) => {
                if next <= size {
                    segment.read(id, &file.bytes(body, next - body, MAX_MASTER)?);
                }
                // What comes after the clusters, if it is the index, is behind all of them.
                segment.has_cues_behind |= id == CUES && segment.clusters_end > 0;
                Some(next)
            }
            // Only clusters may have an unknown length and be followed by something.
            Some(Element { end: None, .. }) => break,
            // The file may end in the middle of an element's head, and anything may follow a stream of unknown length.
            None if end - at <= MAX_HEAD || head.end.is_none() => break,
            _ => None,
        };
        at = match next {
            Some(next) => next,
            // Elements that make no sense: the next cluster is found by its identity.
            None => {
                structure.broken_at(at);
                match file.find(at + 1, &(CLUSTER as u32).to_be_bytes())? {
                    Some(next) if next < end => {
                        structure.lost = 1;
                        next
                    }
                    _ => break,
                }
            }
        };
    }
    structure.end = segment.end(head.end.is_some(), &structure, size);
    let track = segment.tracks.get(index);
    structure.codec = track.map(|track| track.codec.clone());
    structure.encryption = track.filter(|track| track.is_encrypted).map(|_| "Matroska encryption".to_owned());
    structure.declarations = segment.declarations(track);
    Ok(structure)
}

/// Walks through a cluster and returns where it ends.
fn cluster<R: Read + Seek>(
    file: &mut Reader<R>,
    body: u64,
    known: Option<u64>,
    end: u64,
    structure: &mut Structure,
    segment: &mut Segment,
) -> io::Result<u64> {
    let mut at = body;
    let limit = known.unwrap_or(end);
    segment.cut_cluster = limit > file.size();
    while at < limit.min(end) {
        match element(file, at)? {
            Some(element) if known.is_none() && TOP.contains(&element.id) => break,
            Some(Element { end: Some(next), .. }) if next <= limit => at = next,
            // Cut off with the file, not broken.
            Some(Element { end: Some(next), .. }) if known.is_none() && next > file.size() => {
                segment.cut_cluster = true;
                return Ok(end);
            }
            None if file.size() - at <= MAX_HEAD => {
                segment.cut_cluster |= known.is_none();
                return Ok(end);
            }
            _ => {
                structure.broken_at(at);
                structure.lost = 1;
                // The next cluster is found by the length of this one, or by its identity.
                let next = file.find(at + 1, &(CLUSTER as u32).to_be_bytes())?.filter(|next| *next < end);
                return Ok(known.filter(|known| next.is_none_or(|next| *known <= next)).or(next).unwrap_or(end));
            }
        }
    }
    Ok(known.unwrap_or(at))
}

impl Segment {
    /// Reads one of the elements that say something of the whole segment.
    fn read(&mut self, id: u64, content: &[u8]) {
        match id {
            SEEK_HEAD => {
                for (_, seek) in children(content).filter(|(id, _)| *id == 0x4DBB) {
                    if find(seek, 0x53AB).map(be) == Some(CUES) {
                        self.cues_at = find(seek, 0x53AC).map(be);
                    }
                }
            }
            INFO => {
                let scale = find(content, 0x2A_D7B1).map_or(1_000_000, be);
                let duration = find(content, 0x4489).and_then(float);
                self.duration = duration.map(|ticks| ticks * scale as f64 / 1e9).filter(|seconds| *seconds > 0.0);
                self.writer = find(content, 0x5741).map(text).unwrap_or_default();
            }
            TRACKS => {
                let entries = children(content).filter(|(id, _)| *id == 0xAE);
                self.tracks.extend(entries.filter_map(|(_, entry)| Track::new(entry)));
            }
            TAGS => {
                for (_, tag) in children(content).filter(|(id, _)| *id == 0x7373) {
                    let track = find(tag, 0x63C0).and_then(|targets| find(targets, 0x63C5)).map_or(0, be);
                    for (_, simple) in children(tag).filter(|(id, _)| *id == 0x67C8) {
                        if let (Some(name), Some(value)) = (find(simple, 0x45A3), find(simple, 0x4487)) {
                            self.tags.push(Tag { track, name: text(name), value: text(value) });
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether the file has all clusters.
    fn end(&self, knows_length: bool, structure: &Structure, size: u64) -> End {
        let reaches_cues = self.cues_at.is_some_and(|at| {
            let cues = self.body.saturating_add(at);
            self.clusters_end > 0 && cues >= self.clusters_end && cues <= size
        });
        match () {
            () if self.cut_cluster => End::Cut,
            () if self.has_cues_behind || reaches_cues => End::Complete,
            () if structure.missing > 0 => End::Cut,
            () if knows_length => End::Complete,
            () => End::Unknown,
        }
    }

    /// What the tags of the track and the header say, the most reliable first.
    fn declarations(&self, track: Option<&Track>) -> Vec<Declaration> {
        let tag = |name: &str| {
            let own = |tag: &&Tag| track.is_some_and(|track| tag.track == track.uid) && tag.name == name;
            self.tags.iter().find(own).map(|tag| tag.value.as_str())
        };
        // Other programs copy these tags and leave them as they are, so they count only from the one that wrote the file.
        let by_ffmpeg = self.writer.starts_with("Lavf");
        let by_mkvmerge = tag("_STATISTICS_WRITING_APP").is_some_and(|app| app == self.writer);
        let frames = tag("NUMBER_OF_FRAMES").filter(|_| by_mkvmerge).and_then(|number| number.parse().ok());
        let own = tag("DURATION").filter(|_| by_ffmpeg || by_mkvmerge).and_then(clock);
        let frames = frames.map(|frames| (Amount::Frames(frames), ExpectedFrom::TrackStatistics));
        // FFmpeg counts the duration from zero, mkvmerge from the first frame.
        let own = own.map(|seconds| Amount::Seconds { seconds, from_zero: by_ffmpeg });
        let own = own.map(|amount| (amount, ExpectedFrom::TrackStatistics));
        let all = self.duration.map(|seconds| Amount::Seconds { seconds, from_zero: true });
        let all = all.map(|amount| (amount, ExpectedFrom::ContainerHeader));
        let declarations = [frames, own, all].into_iter().flatten();
        declarations.map(|(amount, source)| Declaration::if_incomplete(amount, source)).collect()
    }
}

impl Track {
    /// `None` for tracks that FFmpeg makes no stream of.
    fn new(entry: &[u8]) -> Option<Self> {
        let encodings = find(entry, 0x6D80);
        let mut each = encodings.into_iter().flat_map(children).filter(|(id, _)| *id == 0x6240);
        // Type 1 is encryption, type 0 compression.
        let is_encrypted = each.any(|(_, encoding)| find(encoding, 0x5033).map(be) == Some(1));
        let codec = find(entry, 0x86).map(text).filter(|codec| !codec.is_empty())?;
        // Video, sound, subtitles and metadata.
        let is_known = matches!(find(entry, 0x83).map(be), Some(1 | 2 | 0x11 | 0x21));
        is_known.then(|| Self { uid: find(entry, 0x73C5).map_or(0, be), codec, is_encrypted })
    }
}

/// Hours, minutes and seconds, such as `00:00:03.000000000`, in seconds; `None` for zero.
fn clock(text: &str) -> Option<f64> {
    let seconds = text
        .trim_end_matches('\0')
        .split(':')
        .try_fold(0.0, |seconds, part| part.trim().parse::<f64>().ok().map(|part| seconds * 60.0 + part))?;
    (seconds > 0.0 && seconds.is_finite()).then_some(seconds)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => Some(f64::from(f32::from_bits(be(bytes) as u32))),
        8 => Some(f64::from_bits(be(bytes))),
        _ => None,
    }
}

/// Identity and length of an element at the start of `head`: both, and how many bytes they take. No length: it is unknown.
fn parse_head(head: &[u8]) -> Option<(u64, Option<u64>, usize)> {
    let id_length = head.first()?.leading_zeros() as usize + 1;
    let id = (id_length <= 4).then(|| head.get(..id_length).map(be))??;
    let rest = head.get(id_length..)?;
    let length = rest.first()?.leading_zeros() as usize + 1;
    let marked = (length <= 8).then(|| rest.get(..length).map(be))??;
    let ones = (1_u64 << (7 * length)) - 1;
    Some((id, (marked & ones != ones).then_some(marked & ones), id_length + length))
}

/// The elements inside a master element; stops where they make no sense.
fn children(content: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let (id, length, head) = parse_head(rest)?;
        let body = rest.get(head..)?;
        let (this, next) = body.split_at_checked(usize::try_from(length?).ok()?)?;
        rest = next;
        Some((id, this))
    })
}

fn find(content: &[u8], id: u64) -> Option<&[u8]> {
    children(content).find(|(own, _)| *own == id).map(|(_, body)| body)
}

/// The element that begins at this position; `None` if none does.
fn element<R: Read + Seek>(file: &mut Reader<R>, at: u64) -> io::Result<Option<Element>> {
    let mut head = [0; MAX_HEAD as usize];
    let there = file.read(at, &mut head)?;
    Ok(head.get(..there).and_then(parse_head).and_then(|(id, length, head)| {
        let body = at + head as u64;
        let end = match length {
            Some(length) => Some(body.checked_add(length)?),
            None => None,
        };
        Some(Element { id, body, end })
    }))
}

#[cfg(test)]
mod tests;
