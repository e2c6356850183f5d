//! The index (`moov`) of an MP4 file: how many frames its tables list, and which of them its edit list leaves out.
//!
//! FFmpeg believes every number in the index. A single wrong byte in a time scale or a duration makes an edit list leave out
//! most of a video, so the numbers are compared with each other here.

mod consistency;

use super::super::reader::be;
use super::SLACK_SECONDS;
use super::timeline::Timeline;

/// Samples are listed one by one, so a table can be long: two million frames take 16 MB.
const MAX_TABLE: usize = 64 << 20;

/// FFmpeg reads no more streams of a file.
const MAX_TRACKS: usize = 1000;

/// The tables of one video track. Durations are in ticks of the scale that the specification gives them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SampleTable {
    /// Samples by the table of sizes, and by the length of that table.
    sizes: [u64; 2],
    /// Samples by the table of decoding times.
    times: u64,
    /// Samples by the table of presentation offsets, if there is one.
    offsets: Option<u64>,
    /// Samples in all chunks of data, if the tables of chunks are there.
    chunked: Option<u64>,
    /// Sum of all sample durations, and the longest of them.
    total: u64,
    longest: u64,
    /// The difference of the largest and the smallest presentation offset, in ticks.
    spread: u64,
    /// The sum does not fit the media header, and would fit it if one entry of the table were slightly different.
    one_entry_off: bool,
    /// Bytes of all samples, and of data in the file that belongs to no sample of any track.
    size: u64,
    pub(super) unreferenced: u64,
    timeline: Timeline,
    /// Ticks per second of the movie and of the track.
    movie_scale: u64,
    scale: u64,
    /// Time scales of all tracks.
    scales: Vec<u64>,
    /// Durations of the movie, the track and the media, if the headers name them.
    movie_duration: Option<u64>,
    track_duration: Option<u64>,
    media_duration: Option<u64>,
    edits: Vec<Edit>,
    /// The edit list has as many entries as it says.
    has_all_edits: bool,
}

/// An entry of an edit list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edit {
    /// In ticks of the movie.
    duration: u64,
    /// Where it begins in the media, in ticks of the track; negative for an empty edit.
    start: i64,
}

/// What the index says of the wanted track.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    pub table: SampleTable,
    /// Four characters that name the format of the samples.
    pub format: Option<[u8; 4]>,
    /// Why the samples cannot be decoded, if they are encrypted.
    pub encryption: Option<String>,
    /// The wanted track's number.
    pub track: u32,
    /// What fragments need to know of all tracks.
    pub tracks: Vec<Track>,
    /// Fragments should follow.
    pub has_fragments: bool,
    /// Seconds that the movie lasts, if it has fragments and a header says so.
    pub fragments_seconds: Option<f64>,
    /// Bytes of the samples of all tracks.
    pub referenced: u64,
}

/// What fragments need to know of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Track {
    pub number: u32,
    /// Ticks per second.
    pub scale: u64,
    /// Default duration of samples, in ticks.
    pub default_duration: u64,
}

/// The boxes inside a box; stops where they make no sense.
pub(super) fn children(content: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let (head, _) = rest.split_first_chunk::<8>()?;
        let (length, body) = match be(&head[..4]) {
            0 => (rest.len(), 8),
            1 => (usize::try_from(be(rest.get(8..16)?)).ok()?, 16),
            short => (short as usize, 8),
        };
        if length < body {
            return None;
        }
        let (this, next) = rest.split_at(length.min(rest.len()));
        rest = next;
        Some(([head[4], head[5], head[6], head[7]], this.get(body..)?))
    })
}

/// The content of the box at the end of this path.
pub(super) fn find<'a>(content: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(content, |content, kind| children(content).find(|(own, _)| own == *kind).map(|(_, body)| body))
}

fn word(content: &[u8], at: usize) -> Option<u64> {
    content.get(at..at + 4).map(be)
}

/// Lengths of headers: in version 1, times and durations take eight bytes instead of four.
const MOVIE_HEADER: [usize; 2] = [100, 112];
const MEDIA_HEADER: [usize; 2] = [24, 36];
const TRACK_HEADER: [usize; 2] = [84, 96];

/// The version of a header. `None` if the header is shorter than this version must be.
fn version(header: &[u8], lengths: [usize; 2]) -> Option<u8> {
    let version = *header.first()?;
    (header.len() >= *lengths.get(usize::from(version))?).then_some(version)
}

/// Creation time, modification time, scale and duration come in two widths.
fn scale_and_duration(header: &[u8], lengths: [usize; 2]) -> Option<(u64, Option<u64>)> {
    let (scale, duration, unknown) = match version(header, lengths)? {
        0 => (word(header, 12)?, word(header, 16)?, u64::from(u32::MAX)),
        _ => (word(header, 20)?, header.get(24..32).map(be)?, u64::MAX),
    };
    Some((scale, Some(duration).filter(|duration| *duration != 0 && *duration != unknown)))
}

fn track_header(header: &[u8]) -> Option<(u32, Option<u64>)> {
    let (track, duration, unknown) = match version(header, TRACK_HEADER)? {
        0 => (word(header, 12)?, word(header, 20)?, u64::from(u32::MAX)),
        _ => (word(header, 20)?, header.get(28..36).map(be)?, u64::MAX),
    };
    Some((track as u32, Some(duration).filter(|duration| *duration != 0 && *duration != unknown)))
}

/// The entries of a table of fixed width, without a version, flags and count of `head` bytes.
fn entries<const N: usize>(table: &[u8], head: usize, count: u64) -> &[[u8; N]] {
    let all = table.get(head..).unwrap_or_default().as_chunks::<N>().0;
    all.get(..usize::try_from(count).unwrap_or(usize::MAX)).unwrap_or(all)
}

impl Index {
    /// Parses the content of a `moov` box for the video track of this number, or else for the first one.
    pub(super) fn parse(content: &[u8], id: i32) -> Option<Self> {
        let movie = find(content, &[b"mvhd"]).map(|header| scale_and_duration(header, MOVIE_HEADER));
        let tracks = || children(content).filter(|(kind, _)| kind == b"trak").map(|(_, track)| track).take(MAX_TRACKS);
        let is_video = |track: &&[u8]| {
            let handler = find(track, &[b"mdia", b"hdlr"]).and_then(|handler| handler.get(8..12));
            handler == Some(b"vide")
        };
        let number_of = |track: &[u8]| find(track, &[b"tkhd"]).and_then(track_header).map(|(number, _)| number);
        let wanted = u32::try_from(id).ok();
        let track = tracks().filter(is_video).find(|track| wanted.is_some() && number_of(track) == wanted);
        let track = track.or_else(|| tracks().find(is_video))?;
        let (number, track_duration) = track_header(find(track, &[b"tkhd"])?)?;
        let media_header = |track: &[u8]| scale_and_duration(find(track, &[b"mdia", b"mdhd"])?, MEDIA_HEADER);
        let (scale, media_duration) = media_header(track)?;
        let edit_list = find(track, &[b"edts", b"elst"]);
        // Without an edit list, nothing depends on the header of the movie.
        let (movie_scale, movie_duration) = match (movie, edit_list) {
            (None, None) => (scale, None),
            (movie, _) => movie??,
        };
        let scale_of = |track: &[u8]| media_header(track).map(|(scale, _)| scale);
        let samples = find(track, &[b"mdia", b"minf", b"stbl"])?;
        let mut table = SampleTable {
            movie_scale,
            scale,
            scales: tracks().filter_map(scale_of).collect(),
            movie_duration,
            track_duration,
            media_duration,
            ..SampleTable::default()
        };
        if let Some(list) = edit_list {
            table.edits = edits(list);
            table.has_all_edits = word(list, 4) == Some(table.edits.len() as u64);
        }
        table.read(samples);
        let extends = find(content, &[b"mvex"]);
        let default = |number: u32| {
            let defaults = extends.into_iter().flat_map(children).filter(|(kind, _)| kind == b"trex");
            let mut defaults = defaults.take(MAX_TRACKS);
            let (_, own) = defaults.find(|(_, body)| word(body, 4) == Some(u64::from(number)))?;
            word(own, 12)
        };
        let track_of = |track: &[u8]| {
            let (number, scale) = (number_of(track)?, scale_of(track)?);
            Some(Track { number, scale, default_duration: default(number).unwrap_or(0) })
        };
        let fragments =
            extends.and_then(|extends| find(extends, &[b"mehd"])).and_then(|header| match header.first()? {
                0 => word(header, 4),
                _ => header.get(4..12).map(be),
            });
        let seconds = |ticks: u64| ticks as f64 / movie_scale as f64;
        // If the index lists frames itself, the header of the movie may count these alone.
        let own = table.total as f64 / scale as f64;
        let movie = movie_duration.filter(|movie| table.samples() == 0 || seconds(*movie) > own + SLACK_SECONDS);
        let fragments = extends.and(fragments.into_iter().chain(movie).max()).map(seconds);
        let (format, encryption) = sample_entry(samples);
        let sizes = tracks().filter_map(|track| find(track, &[b"mdia", b"minf", b"stbl"])).map(size_of_samples);
        Some(Self {
            table,
            format,
            encryption,
            track: number,
            tracks: tracks().filter_map(track_of).collect(),
            has_fragments: extends.is_some(),
            fragments_seconds: fragments.filter(|seconds| seconds.is_finite()),
            referenced: sizes.fold(0, u64::saturating_add),
        })
    }
}

/// Bytes of all samples, by the table of sizes in an `stbl` box.
fn size_of_samples(samples: &[u8]) -> u64 {
    let Some(table) = find(samples, &[b"stsz"]) else { return 0 };
    match (word(table, 4), word(table, 8)) {
        (Some(0), Some(count)) => entries::<4>(table, 12, count).iter().map(|size| be(size)).sum(),
        (Some(size), Some(count)) => size.saturating_mul(count),
        _ => 0,
    }
}

/// Samples in all chunks: entries say from which chunk on how many samples each has.
fn chunked(samples: &[u8]) -> Option<u64> {
    let chunks = find(samples, &[b"stco"]).or_else(|| find(samples, &[b"co64"])).and_then(|table| word(table, 4))?;
    let table = find(samples, &[b"stsc"])?;
    let runs = entries::<12>(table, 8, word(table, 4)?);
    let ends = runs.iter().skip(1).map(|run| be(&run[..4])).chain([chunks + 1]);
    let in_run = |(run, end): (&[u8; 12], u64)| end.saturating_sub(be(&run[..4])).saturating_mul(be(&run[4..8]));
    Some(runs.iter().zip(ends).map(in_run).fold(0, u64::saturating_add))
}

/// The format of the samples, and why they cannot be decoded if they are encrypted.
fn sample_entry(samples: &[u8]) -> (Option<[u8; 4]>, Option<String>) {
    let Some((kind, entry)) = find(samples, &[b"stsd"]).and_then(|table| children(table.get(8..)?).next()) else {
        return (None, None);
    };
    // A video sample entry has 78 bytes in front of its boxes.
    let protection = entry.get(78..).and_then(|boxes| find(boxes, &[b"sinf"]));
    let original = protection.and_then(|info| find(info, &[b"frma"])).and_then(|format| format.first_chunk::<4>());
    let encryption = match &kind {
        b"drmi" => Some("FairPlay".to_owned()),
        b"encv" => {
            let information = protection.and_then(|info| find(info, &[b"schi", b"tenc"]));
            let scheme = protection.and_then(|info| find(info, &[b"schm"])).and_then(|scheme| scheme.get(4..8));
            let scheme = scheme.map(|scheme| String::from_utf8_lossy(scheme).into_owned());
            match (scheme.as_deref(), information.and_then(|information| information.get(6))) {
                // The entry says of itself that its samples are in the clear.
                (_, Some(0)) => None,
                (Some("cenc" | "cens" | "cbc1" | "cbcs"), _) | (None, Some(_)) => Some("CENC".to_owned()),
                (Some("piff"), _) => Some("PlayReady".to_owned()),
                (scheme, _) => Some(scheme.unwrap_or("unknown scheme").to_owned()),
            }
        }
        _ => None,
    };
    (Some(original.copied().unwrap_or(kind)), encryption)
}

fn edits(table: &[u8]) -> Vec<Edit> {
    let count = word(table, 4).unwrap_or(0);
    let signed = |bytes: &[u8]| be(bytes) as u32 as i32;
    match table.first() {
        Some(0) => entries::<12>(table, 8, count)
            .iter()
            .map(|entry| Edit { duration: be(&entry[..4]), start: i64::from(signed(&entry[4..8])) })
            .collect(),
        _ => entries::<20>(table, 8, count)
            .iter()
            .map(|entry| Edit { duration: be(&entry[..8]), start: be(&entry[8..16]) as i64 })
            .collect(),
    }
}

impl SampleTable {
    /// Reads the tables inside an `stbl` box.
    fn read(&mut self, samples: &[u8]) {
        if let Some(table) = find(samples, &[b"stsz"]) {
            let count = word(table, 8).unwrap_or(0);
            // A table without entries gives all samples the same size.
            let listed = if word(table, 4) == Some(0) { (table.len().saturating_sub(12) / 4) as u64 } else { count };
            self.sizes = [count, listed];
        } else if let Some(table) = find(samples, &[b"stz2"]) {
            self.sizes = [word(table, 8).unwrap_or(0); 2];
        }
        let pairs = |kind: &[u8; 4]| {
            let table = find(samples, &[kind])?;
            Some(entries::<8>(table.get(..table.len().min(MAX_TABLE))?, 8, word(table, 4)?))
        };
        let times = pairs(b"stts").unwrap_or_default();
        let split = |entry: &[u8; 8]| (be(&entry[..4]), be(&entry[4..]));
        for (count, delta) in times.iter().map(split) {
            self.times = self.times.saturating_add(count);
            self.total = self.total.saturating_add(count.saturating_mul(delta));
            self.longest = self.longest.max(delta);
        }
        self.one_entry_off = self.is_one_entry_off(times);
        self.chunked = chunked(samples);
        self.size = size_of_samples(samples);
        let offsets = pairs(b"ctts");
        let shifts = || offsets.into_iter().flatten().map(|entry| be(&entry[4..]) as u32 as i32);
        self.spread = shifts().max().zip(shifts().min()).map_or(0, |(most, least)| most.abs_diff(least).into());
        self.offsets = offsets.map(|table| table.iter().map(|entry| be(&entry[..4])).sum());
        self.timeline = Timeline::new(self.samples(), times, offsets.unwrap_or_default(), self.single_edit());
    }

    /// Samples that the tables list: what most of them say, or the table of sizes.
    pub(crate) fn samples(&self) -> u64 {
        let all = [Some(self.sizes[0]), Some(self.sizes[1]), Some(self.times).filter(|n| *n > 0), self.offsets];
        let votes = |number: u64| all.iter().filter(|other| **other == Some(number)).count();
        all.iter().flatten().copied().max_by_key(|number| (votes(*number), *number == self.sizes[0])).unwrap_or(0)
    }

    /// The only edit that shows frames; `None` for several edits, or without any.
    fn shown_edit(&self) -> Option<Edit> {
        let mut shown = self.edits.iter().filter(|edit| edit.start >= 0);
        shown.next().filter(|_| shown.next().is_none()).copied()
    }

    /// Where the only edit begins and ends, in ticks of the track; `None` for several edits, or without any.
    fn single_edit(&self) -> Option<(i64, i64)> {
        let edit = self.shown_edit()?;
        let length = edit.duration as f64 / self.movie_scale as f64 * self.scale as f64;
        // A duration of 0 lasts to the end of the media.
        (edit.duration > 0 && length.is_finite()).then(|| (edit.start, edit.start.saturating_add(length.ceil() as i64)))
    }

    /// Frames that the table lists, but for those that an edit list leaves out. `entries` is what FFmpeg makes of both.
    pub(crate) fn expected(&self, entries: u64) -> u64 {
        let samples = self.samples();
        let hidden = samples.saturating_sub(entries);
        let entries = entries.saturating_add(self.unlisted());
        if hidden == 0 {
            return entries;
        }
        let timeline = self.timeline;
        let explained = match (self.edits.is_empty(), self.single_edit()) {
            (true, _) => 0,
            _ if self.contradiction().is_some() => 0,
            (false, None) => hidden,
            (false, Some(_)) => timeline.outside - timeline.displaced,
        };
        // FFmpeg rounds at the ends of an edit in ways of its own.
        let unexplained = hidden.saturating_sub(explained);
        let rounding = if explained == 0 { 0 } else { 2.max(samples / 100) };
        entries.saturating_add(if unexplained > rounding { unexplained } else { unexplained.min(timeline.displaced) })
    }
}
