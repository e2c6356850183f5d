//! The packet scan: which frame each packet will become, found without decoding.

use ff::ffi;
use ff::packet::Ref;
use ffmpeg_next as ff;
use reeldeck_common::limits::Limits;

use crate::error::VideoError;
use crate::media::Media;
use crate::memory;

/// What the packets of a video stream say about its frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PacketIndex {
    /// Presentation times of the packets that will be shown, ascending. The n-th belongs to the n-th frame, if `exact`.
    times: Vec<i64>,
    /// Packets that an edit list does not discard.
    pub shown: u64,
    /// Every shown packet has a time of its own and none is marked as damaged.
    pub exact: bool,
    /// Frames that should be there: `shown`, or more where the container promises more.
    pub expected: u64,
    /// The most packets that come before one that is shown before them: so many frames a decoder must hold back.
    pub reorder: usize,
    /// No packet is missing between others: an index lists as many, or their times follow one another evenly. Nothing
    /// else tells that a frame that others refer to was lost with its packet: the decoder makes one up without a word.
    pub gapless: bool,
    /// Seconds from the first frame's beginning to the last one's end; 0 where packets have no times.
    pub seconds: f64,
}

/// No decoder holds back more frames.
const MAX_REORDER: usize = 16;

/// No picture stands for so long: a longer step is a clock that was set anew, or damage to one time.
const LONGEST_STEP_SECONDS: f64 = 3600.0;

/// Containers round times, to a millisecond for the most part.
const ROUNDING_SECONDS: f64 = 0.001;

/// A promise is only held against a file that breaks it by this much: sound often ends a little after the pictures.
const SLACK_SECONDS: f64 = 0.5;

impl PacketIndex {
    /// Reads all packets of the stream. Use the media for nothing else afterwards: it is at its end.
    ///
    /// # Errors
    /// When reading fails, or there are more frames or more seconds of them than the limits allow.
    pub fn scan(media: &mut Media, limits: &Limits) -> Result<Self, VideoError> {
        Self::scan_with(media, limits, &mut |_| Ok(()))
    }

    /// The same, and shows each packet to `look`, in the order of the file.
    ///
    /// # Errors
    /// As [`Self::scan`], and what `look` returns.
    pub fn scan_with(
        media: &mut Media,
        limits: &Limits,
        look: &mut dyn FnMut(&ff::Packet) -> Result<(), VideoError>,
    ) -> Result<Self, VideoError> {
        let mut index = Self { exact: true, ..Self::default() };
        let mut packet = ff::Packet::empty();
        let mut end = i64::MIN;
        let mut discarded = 0;
        let mut latest: Vec<i64> = vec![];
        // Times of decoding, of packets that have no other; and how long the last packet lasts.
        let mut others: Vec<i64> = vec![];
        let mut last = (i64::MIN, 0);
        while media.read(&mut packet)? {
            look(&packet)?;
            // SAFETY: the packet is alive; its flags are a plain public field.
            let flags = unsafe { (*packet.as_ptr()).flags };
            if let Some(time) = packet.pts() {
                let place = latest.partition_point(|other| *other <= time);
                index.reorder = index.reorder.max(latest.len() - place);
                latest.insert(place, time);
                latest.drain(..latest.len().saturating_sub(MAX_REORDER + 1));
            }
            if flags & ffi::AV_PKT_FLAG_DISCARD != 0 {
                discarded += 1;
                continue;
            }
            index.shown += 1;
            if index.shown > limits.frames {
                return Err(VideoError::Limit(format!("the video has more than {} frames", limits.frames)));
            }
            index.exact &= flags & ffi::AV_PKT_FLAG_CORRUPT == 0;
            if let Some(time) = packet.pts().or(packet.dts()) {
                last = last.max((time, packet.duration().max(0)));
            }
            match packet.pts() {
                Some(time) => {
                    memory::push(&mut index.times, time)?;
                    end = end.max(time.saturating_add(packet.duration().max(0)));
                }
                None => {
                    index.exact = false;
                    packet.dts().map_or(Ok(()), |time| memory::push(&mut others, time))?;
                }
            }
        }
        index.times.sort_unstable();
        let plays = index.plays(media, others, last.1)?;
        if plays > limits.duration_s + ROUNDING_SECONDS {
            let (plays, most) = ((plays * 1e3).round() / 1e3, limits.duration_s);
            return Err(VideoError::Limit(format!("the video plays for {plays} seconds, more than {most}")));
        }
        index.exact &= index.times.windows(2).all(|pair| pair[0] != pair[1]) && index.shown > 0;
        let indexed = media.indexed_frames();
        index.gapless = indexed == Some(index.shown + discarded) || index.is_even();
        if let Some(first) = index.times.first() {
            index.seconds = (end.saturating_sub(*first) as f64 * media.tick()).max(0.0);
        }
        let promised = match indexed {
            Some(indexed) => indexed.saturating_sub(discarded),
            None => index.promised(media).max(media.fragment_frames().unwrap_or(0).saturating_sub(discarded)),
        };
        index.expected = index.shown.max(promised);
        Ok(index)
    }

    /// Seconds that the pictures fill when they are played: what their times cover, not what the container says, which may
    /// be anything. Where packets have no times, at the rate that FFmpeg takes for theirs.
    fn plays(&self, media: &Media, others: Vec<i64>, last: i64) -> Result<f64, VideoError> {
        let (tick, mut times) = (media.tick(), others);
        let timed = (self.times.len() + times.len()) as u64;
        let times = if times.is_empty() {
            &self.times
        } else {
            self.times.iter().try_for_each(|time| memory::push(&mut times, *time))?;
            times.sort_unstable();
            &times
        };
        let seconds = |ticks: i64| Some(ticks as f64 * tick).filter(|seconds| *seconds <= LONGEST_STEP_SECONDS);
        let covered: f64 = times.windows(2).filter_map(|pair| seconds(pair[1].saturating_sub(pair[0]))).sum();
        let [rate, per] = media.fps().map(f64::from);
        // A rate may lie as well; slower than this there is hardly any.
        let untimed = (self.shown - timed) as f64 / (rate / per).max(1.0);
        Ok(covered + untimed + seconds(last).unwrap_or(0.0))
    }

    /// Whether all steps of time are the same, but for rounding.
    fn is_even(&self) -> bool {
        let steps = || self.times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        let (shortest, longest) = (steps().min().unwrap_or(0), steps().max().unwrap_or(0));
        longest.saturating_mul(2) < shortest.saturating_mul(3)
    }

    /// Frames that the container's duration implies at the rate of the packets that are there.
    fn promised(&self, media: &Media) -> u64 {
        let (Some(promise), Some(first)) = (media.promised_seconds(), self.times.first()) else { return 0 };
        // A container that starts late may count its duration from zero, not from its first frame.
        let late = if promise.from_zero { (*first as f64 * media.tick()).max(0.0) } else { 0.0 };
        let promised = promise.seconds - late;
        if self.seconds <= 0.0 || promised - self.seconds < SLACK_SECONDS {
            return 0;
        }
        (self.shown as f64 * promised / self.seconds).round() as u64
    }

    /// Frames that may be shown before this time: those of packets without a time are counted.
    pub fn before(&self, time: i64) -> u64 {
        let untimed = self.shown.saturating_sub(self.times.len() as u64);
        self.times.partition_point(|other| *other < time) as u64 + untimed
    }

    /// Which frame has this presentation time.
    pub fn frame_at(&self, time: i64) -> Option<u64> {
        self.times.binary_search(&time).ok().map(|at| at as u64)
    }
}
