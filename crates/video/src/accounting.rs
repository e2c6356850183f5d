//! Accounts for a video's frames: how many are expected, from which source, how many there are, and what is wrong. Check and
//! extraction both use this code, so they cannot contradict each other.

use ffmpeg_next as ff;
use reeldeck_common::error::{COMPARE_WITH_SOURCE, DOWNLOAD_AGAIN};
use reeldeck_common::feature::{ExpectedFrom, FrameCounts};
use reeldeck_common::limits::Limits;

use crate::container::{Amount, Declaration, End, Structure};
use crate::decode::Decoded;
use crate::error::VideoError;
use crate::index::PacketIndex;
use crate::media::Media;

/// This share of the frames may be missing at the beginning without a fault: if a file begins between two keyframes, or with frames
/// that refer to earlier ones, the decoder drops frames although the file is undamaged.
const SILENT: f64 = 0.05;

/// What is known of a video's frames before decoding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FrameAccount {
    pub index: PacketIndex,
    structure: Structure,
    /// The number of expected frames.
    expected: u64,
    source: ExpectedFrom,
    /// Why the index of an MP4 file is wrong, if frames are missing or have wrong times because of that.
    contradiction: Option<&'static str>,
    tick: f64,
}

impl FrameAccount {
    /// Reads the structure of the container and all packets. Shows each packet to `look`. Afterwards the media is at its end.
    ///
    /// # Errors
    /// If reading fails, the video is encrypted or over a limit, and what `look` returns.
    pub(crate) fn open(
        media: &mut Media,
        limits: &Limits,
        look: &mut dyn FnMut(&ff::Packet) -> Result<(), VideoError>,
    ) -> Result<Self, VideoError> {
        let mut structure = media.structure()?;
        if let Some(scheme) = structure.encryption {
            return Err(VideoError::Encrypted(scheme));
        }
        if let Some(reason) = structure.unreadable {
            return Err(VideoError::DamagedHeader(reason.to_owned()));
        }
        let ticks = media.duration_ticks();
        let amount = match media.container().as_str() {
            "mxf" => Some(Amount::Frames(ticks)),
            // Where the last page of an Ogg file is there, it has the time at which the track ends.
            "ogg" if structure.end == End::Complete => {
                Some(Amount::Seconds { seconds: ticks as f64 * media.tick(), from_zero: false })
            }
            _ => None,
        };
        if let Some(amount) = amount.filter(|_| ticks > 0) {
            let declaration = Declaration::if_incomplete(amount, ExpectedFrom::TrackStatistics);
            structure.declarations.insert(0, declaration);
        }
        let index = PacketIndex::scan(media, limits, &structure, look)?;
        Ok(Self::new(index, structure, media.index_entries(), media.tick()))
    }

    /// `entries`: frames in FFmpeg's own index.
    fn new(index: PacketIndex, structure: Structure, entries: u64, tick: f64) -> Self {
        let mut account =
            Self { index, structure, expected: 0, source: ExpectedFrom::Nothing, contradiction: None, tick };
        let incomplete = account.is_incomplete();
        let declared = account.structure.declarations.iter().filter(|declaration| declaration.always || incomplete);
        let declared = declared
            .clone()
            .find_map(|declaration| Some((account.declared(declaration, entries)?, declaration.source)));
        // FFmpeg gives up at long gaps in Ogg and MPEG-TS. Only the size of the file tells how much follows.
        let by_size = || {
            let amount = Amount::Share(account.index.read_share?);
            let unread = Declaration::if_incomplete(amount, ExpectedFrom::Nothing);
            Some((account.declared(&unread, entries)?, unread.source))
        };
        let declared = declared.or_else(by_size);
        let there = account.index.shown + account.index.missing_inside.max(account.structure.lost);
        (account.expected, account.source) = match declared {
            Some((frames, source)) => (frames.max(there), source),
            // A part of unknown length is missing: at least one frame.
            None if account.structure.end == End::Cut && account.index.truncated == 0 => {
                (there.max(account.index.shown + 1), ExpectedFrom::Nothing)
            }
            None if account.structure.end == End::Complete => (there, ExpectedFrom::PacketCount),
            None => (there, ExpectedFrom::Nothing),
        };
        let table = account.structure.table.as_ref();
        account.contradiction = match table {
            _ if account.structure.seconds.is_some() => Some("the durations of its frames do not fit its headers"),
            Some(table) if account.expected > account.index.shown => table.contradiction(),
            _ => None,
        };
        account
    }

    /// The file is known to lack something.
    fn is_incomplete(&self) -> bool {
        self.structure.end == End::Cut || self.index.truncated > 0 || !self.structure.breaks.is_empty()
    }

    /// Frames that should be shown according to a declaration; `None` if that is unknown.
    fn declared(&self, declaration: &Declaration, entries: u64) -> Option<u64> {
        let PacketIndex { shown, discarded, hidden, seconds, start, missing_last, .. } = self.index;
        let scaled = |frames: f64| frames.is_finite().then(|| (frames.round() as u64).max(shown));
        match declaration.amount {
            Amount::Frames(frames) => {
                let listed = match &self.structure.table {
                    Some(table) => table.expected(entries.saturating_sub(discarded)),
                    // FFmpeg also discards frames of fragments whose times go back, and those are lost.
                    None => frames.saturating_sub(discarded.min(self.structure.indexed.unwrap_or(discarded))),
                };
                let there = shown + hidden;
                // Of the missing packets as many may be hidden as of the others.
                let share = shown as f64 / there.max(1) as f64;
                scaled(shown as f64 + listed.saturating_sub(there) as f64 * share)
            }
            Amount::Seconds { seconds: declared, from_zero } => {
                // A container that starts late counts its duration from zero, not from its first frame.
                let late = if from_zero { (start? as f64 * self.tick).max(0.0) } else { 0.0 };
                let declared = declared - late;
                let there = shown + missing_last;
                let frame = seconds / there.max(1) as f64;
                match declared - seconds {
                    _ if seconds <= 0.0 => None,
                    more if more < frame / 2.0 => Some(there),
                    _ => scaled(there as f64 * declared / seconds),
                }
            }
            Amount::Share(share) => {
                // Frames that are listed and are zeros belong to the other share.
                let there = shown.saturating_sub(self.index.flaws.zeroed) as f64;
                (share > 0.0).then(|| scaled(there / share))?
            }
        }
    }

    /// Where the number of expected frames comes from.
    pub(crate) fn source(&self) -> ExpectedFrom {
        self.source
    }

    /// Whether anything looks wrong before decoding.
    pub(crate) fn is_suspicious(&self) -> bool {
        self.undecoded().is_damaged() || self.is_incomplete() || self.index.has_jumps
    }

    /// What is known of the frames without decoding them.
    pub(crate) fn undecoded(&self) -> FrameCounts {
        FrameCounts { expected: self.expected, output: self.index.shown, concealed: self.flawed() }
    }

    /// Packets that are seen to be damaged. Wrong times of frames count as one: the frames themselves are right.
    fn flawed(&self) -> u64 {
        self.index.truncated + self.index.flaws.packets() + u64::from(self.structure.seconds.is_some())
    }

    /// How long the video plays, in seconds, and its average frame rate as numerator and denominator.
    pub(crate) fn length(&self, media: &Media) -> (f64, [i32; 2]) {
        let (seconds, fps) = (self.index.seconds, media.fps());
        if self.structure.seconds.is_some() && seconds > 0.0 {
            // In thousandths, as the times say nothing.
            let rate = (self.expected as f64 / seconds * 1000.0).round() as i32;
            return (seconds, [rate, 1000]);
        }
        let by_rate = if fps[0] > 0 { self.index.shown as f64 * f64::from(fps[1]) / f64::from(fps[0]) } else { 0.0 };
        (if seconds > 0.0 { seconds } else { by_rate }, fps)
    }

    /// What is known of the frames after decoding them.
    pub(crate) fn decoded(&self, decoded: Decoded) -> FrameCounts {
        let Decoded { output, concealed, rejected, first, .. } = decoded;
        let lost = self.index.shown.saturating_sub(output);
        let leading = first.map_or(lost, |first| self.index.before(first));
        let is_sound = concealed + rejected + self.flawed() == 0 && !self.is_incomplete();
        let silent = is_sound && lost <= leading && lost as f64 <= SILENT * self.expected as f64;
        let expected = self.expected - if silent { lost } else { 0 };
        // A damaged packet that gave no frame already counts as lost.
        let concealed = if lost > 0 { concealed } else { concealed.max(self.flawed()) };
        FrameCounts { expected: expected.max(output), output, concealed }
    }

    /// All problems of the file, and the next step. `decoded`: the result of decoding, if the file was decoded.
    pub(crate) fn reason(&self, counts: FrameCounts, decoded: Option<Decoded>) -> String {
        let mut parts = vec![];
        let PacketIndex { truncated, flaws, last, .. } = self.index;
        let Structure { missing, zeros, end, .. } = self.structure;
        let is_cut = end == End::Cut || truncated > 0;
        // Damage to a time can make it immense.
        let at = |time: Option<i64>| {
            let seconds = time.map(|time| self.index.seconds_at(time, self.tick));
            seconds.filter(|seconds| *seconds <= self.index.seconds + 1.0)
        };
        if missing > 0 && (is_cut || counts.lost() > 0) {
            parts.push(format!("the file ends {} too early", bytes(missing)));
        } else if zeros > 0 {
            parts.push(format!("the last {} of the file are zeros", bytes(zeros)));
        } else if truncated > 0 {
            let place = at(last).map(|seconds| format!(", at {seconds:.1} s")).unwrap_or_default();
            parts.push(format!("the file ends in the middle of a frame{place}"));
        } else if end == End::Cut {
            parts.push("the file ends too early".to_owned());
        }
        match counts.lost() {
            0 => {}
            1 => parts.push(format!("1 of {} is missing", counted(counts.expected, "frame"))),
            lost => parts.push(format!("{lost} of {} are missing", counted(counts.expected, "frame"))),
        }
        parts.extend(self.contradiction.map(|reason| format!("the index is damaged: {reason}")));
        if let Some(place) = self.structure.breaks.first() {
            let others = match self.structure.breaks.len() - 1 {
                0 => String::new(),
                others => format!(" and at {}", counted(others as u64, "other place")),
            };
            parts.push(format!("the container is broken at byte {place}{others}"));
        }
        let first =
            |time: Option<i64>| at(time).map(|seconds| format!(", first at {seconds:.1} s")).unwrap_or_default();
        for (packets, what) in [(flaws.zeroed, "zeros"), (flaws.misframed, "garbage")] {
            if packets > 0 {
                let when = first(flaws.first);
                parts.push(format!("{what} where frames should be in {}{when}", counted(packets, "frame")));
            }
        }
        let Decoded { concealed, rejected, first_concealed, .. } = decoded.unwrap_or_default();
        if concealed > 0 {
            let when = first(first_concealed);
            parts.push(format!("{} cannot be decoded without faults{when}", counted(concealed, "frame")));
        }
        if rejected > flaws.packets() {
            parts.push(format!("the decoder refuses {}", counted(rejected, "packet")));
        }
        if !self.source.is_verified() {
            parts
                .push("the container does not say how long the video is, so more may be missing at its end".to_owned());
        }
        // What was lost on the way shows as a cut or as zeros. Anything else may be so in the source as well, and so may the end of a
        // recording whose container does not say how long it is.
        let is_short = (is_cut || missing > 0 && counts.lost() > 0) && self.source.is_verified();
        let was_lost_on_the_way = is_short || flaws.zeroed > 0;
        parts.join("; ") + if was_lost_on_the_way { DOWNLOAD_AGAIN } else { COMPARE_WITH_SOURCE }
    }
}

fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn bytes(n: u64) -> String {
    match n {
        0..10_000 => counted(n, "byte"),
        10_000..10_000_000 => format!("{} kB", n / 1000),
        _ => format!("{} MB", n / 1_000_000),
    }
}
