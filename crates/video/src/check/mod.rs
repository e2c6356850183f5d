//! The probe: whether a file is healthy, found out as quickly as it can be.
//!
//! *Quick* opens the container, holds its boxes against the file's size and reads all packets; their bytes must keep the
//! rules of their codec. *Deep* decodes the first frames, every keyframe, the last frames and a sample of the others, and
//! all of them where anything looks wrong: nothing is called damaged on a mere suspicion.

mod ebml;
mod packets;
mod riff;
mod spots;

use std::fs::File;
use std::path::Path;

use ff::ffi;
use ff::packet::Ref;
use ffmpeg_next as ff;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Facts, Level, Probed, Verdict};
use reeldeck_common::source::SourceStamp;

use crate::error::VideoError;
use crate::index::PacketIndex;
use crate::media::Media;
use packets::{Flaws, Packets};
use spots::{Keys, Whole};

/// Called again and again while the work goes on; an error ends it.
pub type Alive<'a> = &'a mut dyn FnMut() -> Result<(), VideoError>;

/// So many frames at the beginning may be missing in silence: a decoder that begins between two keyframes, or with pictures
/// that refer to others before them, drops frames of a file that is as it was made. More is more than a recipe bears.
const SILENT: f64 = 0.05;

/// What a walk over a container's own structure found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Walked {
    /// Bytes that the container claims beyond the end of the file.
    missing: u64,
    /// The first place where the structure does not hold, in bytes.
    broken_at: Option<u64>,
}

/// Looks at a file.
///
/// # Errors
/// Only what may pass, or is not the file's fault: a file that cannot be read or that changes meanwhile, no memory left, and
/// what `alive` returns. What is wrong with the file is in the verdict.
pub fn check(path: &Path, level: Level, limits: &Limits, alive: Alive<'_>) -> Result<Probed, VideoError> {
    let source = SourceStamp::read(path)?;
    let judged = judge(path, level, limits, alive);
    if matches!(judged, Err(VideoError::Stopped)) {
        return Err(VideoError::Stopped);
    }
    // What was found means nothing when the file is not the one that was opened.
    if SourceStamp::read(path)? != source {
        return Err(VideoError::Changed);
    }
    let verdict = judged.or_else(|error| {
        let reason = Failure::from_error(error.kind(), &error).line();
        match error.kind() {
            ErrorKind::Corrupt => Ok(Verdict::Corrupt { reason }),
            ErrorKind::Limit => Ok(Verdict::OverLimit { reason }),
            _ => Err(error),
        }
    })?;
    Ok(Probed { level, source, verdict })
}

fn judge(path: &Path, level: Level, limits: &Limits, alive: Alive<'_>) -> Result<Verdict, VideoError> {
    let mut media = Media::open(path, limits)?;
    drop(media.decoder(None)?);
    let (codec, extradata) = media.codec();
    let mut packets = Packets::new(codec, extradata);
    let mut keys = Keys::default();
    // A transport stream marks what follows a jump of its counters, which may only be where two recordings were joined.
    let (is_ts, mut jumps) = (media.container() == "mpegts", false);
    let index = PacketIndex::scan_with(&mut media, limits, &mut |packet| {
        alive()?;
        keys.note(packet);
        // SAFETY: the packet is alive; its flags are a plain public field.
        let marked = unsafe { (*packet.as_ptr()).flags } & ffi::AV_PKT_FLAG_CORRUPT != 0;
        jumps |= marked;
        packets.look(packet.data().unwrap_or_default(), packet.pts(), marked && !is_ts);
        Ok(())
    })?;
    if index.shown == 0 {
        return Err(media.no_frames());
    }
    let signs = Signs::of(path, &media, &index, packets.flaws())?;
    let whole = match level {
        Level::Quick => None,
        Level::Deep => spots::decode(&|| Media::open(path, limits), &keys, signs.are_any() || jumps, alive)?,
    };
    if whole.is_some_and(|whole| whole.output == 0) {
        return Err(media.no_frames());
    }
    let facts = facts(&media, &index, signs.lost);
    let lost = whole.map_or(0, |whole| index.shown.saturating_sub(whole.output));
    let leading = whole.and_then(|whole| whole.first).map_or(lost, |first| index.before(first));
    let bearable = lost <= leading && lost as f64 <= SILENT * facts.frames as f64;
    if !signs.are_any() && !whole.is_some_and(|whole| whole.is_flawed()) && bearable {
        return Ok(Verdict::Healthy { facts });
    }
    let broken = whole.map_or(0, |whole| whole.concealed);
    Ok(Verdict::Damaged {
        lost: signs.lost + lost,
        // A packet that was refused gave no frame and is counted as lost already.
        concealed: broken.max(if lost > 0 { 0 } else { signs.flaws.packets() }),
        reason: signs.reason(&media, whole, lost, facts.frames),
        facts,
    })
}

fn facts(media: &Media, index: &PacketIndex, missing: u64) -> Facts {
    let fps = media.fps();
    let by_rate = if fps[0] > 0 { index.shown as f64 * f64::from(fps[1]) / f64::from(fps[0]) } else { 0.0 };
    Facts {
        duration_s: if index.seconds > 0.0 { index.seconds } else { by_rate },
        frames: index.shown + missing,
        fps,
        size: media.displayed_size(),
        codec: media.codec().0.name(),
        container: media.container(),
    }
}

/// What speaks against a file before anything is decoded.
#[derive(Debug)]
struct Signs {
    /// Frames that the container promises beyond those that are there.
    lost: u64,
    /// Bytes that the container claims beyond the end of the file.
    missing: u64,
    /// Where the container's structure first does not hold.
    broken_at: Option<u64>,
    flaws: Flaws,
}

impl Signs {
    /// Gathers them. The media must be at its end.
    fn of(path: &Path, media: &Media, index: &PacketIndex, flaws: Flaws) -> Result<Self, VideoError> {
        let mut lost = index.expected.saturating_sub(index.shown);
        let boxes = media.boxes();
        let walked = match media.container().as_str() {
            name if name.contains("matroska") => ebml::walk(File::open(path)?)?,
            "avi" => riff::walk(File::open(path)?)?,
            // Bytes that belong to no picture are not missed: the index knows of each picture where it is.
            _ if lost > 0 || flaws.cut > 0 || boxes.cut_fragment => {
                let segments = boxes.segments.map_or(0, |segments| segments.end.saturating_sub(media.stamp().size));
                Walked { missing: boxes.cut_bytes.max(segments), broken_at: None }
            }
            _ => Walked::default(),
        };
        if let Some(listed) = media.listed_chunks() {
            lost = lost.max(listed.saturating_sub(index.shown));
        }
        if walked.missing > 0 {
            lost = lost.max(media.announced_frames().saturating_sub(index.shown));
        }
        Ok(Self { lost, missing: walked.missing, broken_at: walked.broken_at, flaws })
    }

    fn are_any(&self) -> bool {
        self.lost > 0 || self.missing > 0 || self.broken_at.is_some() || self.flaws.packets() > 0
    }

    /// All that is known, for people, and what to do.
    fn reason(&self, media: &Media, whole: Option<Whole>, dropped: u64, frames: u64) -> String {
        let mut parts = vec![];
        if self.missing > 0 {
            parts.push(format!("the file ends {} too early", bytes(self.missing)));
        }
        let lost = self.lost + dropped;
        if lost > 0 {
            parts.push(format!("{lost} of {frames} frames are missing"));
        }
        if let Some(at) = self.broken_at {
            parts.push(format!("the container is broken at byte {at}"));
        }
        let Flaws { zeroed, misframed, first, .. } = self.flaws;
        let tick = media.tick();
        let when = first.map(|time| format!(", first at {:.1} s", time as f64 * tick)).unwrap_or_default();
        for (packets, what) in
            [(zeroed, "zeros where pictures should be"), (misframed, "garbage where pictures should be")]
        {
            if packets > 0 {
                parts.push(format!("{what} in {}{when}", counted(packets, "frame")));
            }
        }
        let Whole { concealed, refused, .. } = whole.unwrap_or_default();
        if concealed > 0 {
            parts.push(format!("{} cannot be decoded without faults", counted(concealed, "frame")));
        }
        if refused > zeroed + misframed {
            parts.push(format!("the decoder refuses {}", counted(refused, "packet")));
        }
        parts.join("; ") + "; download it again"
    }
}

fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn bytes(n: u64) -> String {
    match n {
        0..10_000 => format!("{n} bytes"),
        10_000..10_000_000 => format!("{} KB", n / 1000),
        _ => format!("{} MB", n / 1_000_000),
    }
}
