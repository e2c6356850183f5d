//! What a container's own structure says about its video track: whether the file reaches its end, how many frames it should
//! hold, and whether it is encrypted. FFmpeg skips over most damage silently, so the structure is read here as well.

mod asf;
mod avi;
mod flv;
pub(crate) mod holes;
#[cfg(test)]
mod hostile;
mod ivf;
pub(crate) mod matroska;
pub(crate) mod mp4;
mod mpegps;
mod mpegts;
mod mxf;
mod ogg;
mod reader;

use std::io::{self, Read, Seek};

use reeldeck_common::feature::ExpectedFrom;

use holes::Source;
use reader::Reader;

/// More breaks are not recorded: a file with so many is damaged all over.
const MAX_BREAKS: usize = 64;

/// What the structure of a container says about its video track.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Structure {
    /// Bytes that the container claims beyond the end of the file.
    pub missing: u64,
    /// Bytes at the end of the file that were never filled in, and are zeros.
    pub zeros: u64,
    /// Positions of bytes where the chain of elements is broken, ascending.
    pub breaks: Vec<u64>,
    /// Whether the file reaches the end of its video track.
    pub end: End,
    /// What the container declares about its video track, the most reliable first.
    pub declarations: Vec<Declaration>,
    /// Why the video track cannot be decoded, if it is encrypted.
    pub encryption: Option<String>,
    /// The container's own name of the codec.
    pub codec: Option<String>,
    /// The index of an MP4 file.
    pub table: Option<mp4::SampleTable>,
    /// Frames in the index of a fragmented MP4 file. An edit list can leave out only these.
    pub indexed: Option<u64>,
    /// The least number of lost frames, independent of the times of the others: the chain of elements is broken among them, or they
    /// have numbers.
    pub lost: u64,
    /// How long the video plays, in seconds, if the container has wrong times for its frames.
    pub seconds: Option<f64>,
    /// Why the container cannot be read, although FFmpeg reads some of it.
    pub unreadable: Option<&'static str>,
}

impl Structure {
    /// Records a position where the chain of elements is broken.
    fn broken_at(&mut self, at: u64) {
        if self.breaks.len() < MAX_BREAKS && self.breaks.last().is_none_or(|last| *last < at) {
            self.breaks.push(at);
        }
    }
}

/// Whether a file reaches the end of its video track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// The container does not tell.
    #[default]
    Unknown,
    /// The container shows that all of the track is there.
    Complete,
    /// The container shows that a part of the track is missing.
    Cut,
}

/// What a container declares about its video track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Declaration {
    pub amount: Amount,
    /// Where the container says it.
    pub source: ExpectedFrom,
    /// True for a list of all frames. Otherwise the declaration counts only if the file is known to be incomplete: headers may be
    /// wrong, and the sound may outlast the frames.
    pub always: bool,
}

/// How much of something a container declares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    /// Coded frames, those that are never shown included.
    Frames(u64),
    /// Seconds of playing time; counted from time zero, or from the first frame.
    Seconds { seconds: f64, from_zero: bool },
    /// The file has this share of the track's data, 0 to 1.
    Share(f64),
}

impl Declaration {
    /// A list of all frames.
    fn list(frames: u64, source: ExpectedFrom) -> Self {
        Self { amount: Amount::Frames(frames), source, always: true }
    }

    /// A declaration that counts only if the file is known to be incomplete.
    pub(crate) fn if_incomplete(amount: Amount, source: ExpectedFrom) -> Self {
        Self { amount, source, always: false }
    }
}

/// Which stream of a container is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId {
    /// Its position among all streams, counted by FFmpeg.
    pub index: usize,
    /// The container's number of it.
    pub id: i32,
}

/// Reads the structure of a file. `format` is FFmpeg's name of the container.
///
/// # Errors
/// If reading fails. Damage is part of the result.
pub(crate) fn inspect(file: impl Source, format: &str, stream: StreamId) -> io::Result<Structure> {
    let mut file = Reader::new(file)?;
    let mut structure = walk(&mut file, format, stream)?;
    if file.is_exhausted() {
        // Its elements refer to each other without an end.
        structure.broken_at(file.size());
    }
    if structure.end == End::Unknown || structure.end == End::Cut && structure.missing == 0 {
        let (zeros, size) = (trailing_zeros(&mut file)?, file.size());
        // Downloads and recordings are often laid out in full before they are filled. A little padding is usual.
        if zeros >= MIN_ZEROS.max(size / 20) {
            (structure.zeros, structure.end) = (zeros, End::Cut);
            // The size of the file tells about how much is missing, if nothing else does.
            let share = Amount::Share((size - zeros) as f64 / size as f64);
            let known =
                structure.declarations.iter().take_while(|declaration| declaration.source.is_verified()).count();
            structure.declarations.insert(known, Declaration::if_incomplete(share, ExpectedFrom::ContainerHeader));
        }
    }
    Ok(structure)
}

/// Fewer zeros at the end of a file are padding.
const MIN_ZEROS: u64 = 4096;

/// The number of zero bytes at the end of a file.
fn trailing_zeros<R: Read + Seek>(file: &mut Reader<R>) -> io::Result<u64> {
    const BLOCK: u64 = 1 << 16;
    // A hole may be far larger than everything that can be read.
    let mut end = file.data_end();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let block = file.bytes(start, end - start, BLOCK as usize)?;
        if let Some(last) = block.iter().rposition(|byte| *byte != 0) {
            return Ok(file.size() - (start + last as u64 + 1));
        }
        end = start;
    }
    Ok(file.size())
}

fn walk<R: Read + Seek>(file: &mut Reader<R>, format: &str, stream: StreamId) -> io::Result<Structure> {
    match format {
        name if name.contains("mp4") => mp4::inspect(file, stream.id),
        name if name.contains("matroska") => matroska::inspect(file, stream.index),
        "avi" => avi::inspect(file, stream.index),
        "flv" => flv::inspect(file),
        "asf" | "asf_o" => asf::inspect(file, stream.id),
        "mpegts" => mpegts::inspect(file, stream.id),
        "mpeg" => mpegps::inspect(file),
        "ogg" => ogg::inspect(file, stream.index),
        "ivf" => ivf::inspect(file),
        "mxf" => mxf::inspect(file),
        // Elementary streams have no structure of their own.
        _ => Ok(Structure::default()),
    }
}

/// The container that a file begins like; `None` for anything else.
pub(crate) fn guess(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some("Matroska or WebM"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] | [_, _, _, _, b'm', b'o', b'o', b'v', ..] => Some("MP4 or MOV"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Some("AVI"),
        [b'F', b'L', b'V', 1, ..] => Some("FLV"),
        [b'O', b'g', b'g', b'S', 0, ..] => Some("Ogg"),
        [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, ..] => Some("ASF or WMV"),
        [0, 0, 1, 0xba, ..] => Some("MPEG"),
        [b'D', b'K', b'I', b'F', ..] => Some("IVF"),
        [0x06, 0x0e, 0x2b, 0x34, ..] => Some("MXF"),
        _ => None,
    }
}
