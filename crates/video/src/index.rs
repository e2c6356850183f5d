//! The packet scan: what the packets of a stream say about its frames, found without decoding.

use ff::ffi;
use ff::packet::Ref;
use ffmpeg_next as ff;
use reeldeck_common::limits::Limits;

use crate::codec::CodecId;
use crate::container::{End, Structure};
use crate::error::VideoError;
use crate::fields::FrameCounter;
use crate::media::Media;
use crate::memory;
use crate::mpeg2;
use crate::packet_rules::{Flaws, PacketRules};

/// What the packets of a video stream say about its frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PacketIndex {
    /// Presentation times of the frames that will be shown, ascending. The n-th belongs to the n-th frame, if `exact`.
    times: Vec<i64>,
    /// Frames that the packets will show: an edit list does not discard them, and they are not hidden.
    pub shown: u64,
    /// Packets that an edit list discards.
    pub discarded: u64,
    /// Packets whose frame is never shown, second fields of frames, and empty packets in front of the first frame.
    pub hidden: u64,
    /// Packets that the file ends in the middle of.
    pub truncated: u64,
    /// Packets whose bytes break the rules of their codec.
    pub flaws: Flaws,
    /// Each frame has a packet of its own with a time of its own, and no packet is damaged.
    pub exact: bool,
    /// The most packets that come before one that is shown before them: the decoder must hold back that many frames.
    pub reorder: usize,
    /// No packet is missing between others: an index lists as many, or their times are evenly spaced. Otherwise a frame that
    /// others refer to may be missing, and the decoder replaces it silently.
    pub gapless: bool,
    /// Seconds from the beginning of the first frame to the end of the last one; 0 if packets have no times.
    pub seconds: f64,
    /// A transport stream's counters jump. That may be damage, or a place where recordings were joined.
    pub has_jumps: bool,
    /// Frames that are missing at places where the container is broken, by the times around them.
    pub missing_inside: u64,
    /// Frames that are missing between the last ones, by their times: in a file that is cut, some of those that would have come
    /// after it are shown before its last frame.
    pub missing_last: u64,
    /// Which share of the file lies in front of damage at which FFmpeg gave up, 0 to 1.
    pub read_share: Option<f64>,
    /// Duration of the packet that is shown last, in ticks; 0 if it is not known.
    pub last_duration: i64,
    /// Time of the first frame and of the last packet in the file, in ticks.
    pub start: Option<i64>,
    pub last: Option<i64>,
}

/// No decoder holds back more frames.
const MAX_REORDER: usize = 16;

/// The longest time that one frame is shown: a longer step is a clock that was reset, or damage to one time.
const LONGEST_STEP_SECONDS: f64 = 3600.0;

/// In a transport stream, a longer gap is a place where recordings were joined.
const LONGEST_LOSS_SECONDS: f64 = 10.0;

/// Containers round times, mostly to a millisecond.
const ROUNDING_SECONDS: f64 = 0.001;

impl PacketIndex {
    /// Reads all packets of the stream and shows each to `look`, in the order of the file. Afterwards the media is at its end.
    ///
    /// # Errors
    /// If reading fails, there are more frames or seconds than the limits allow, and what `look` returns.
    pub(crate) fn scan(
        media: &mut Media,
        limits: &Limits,
        structure: &Structure,
        look: &mut dyn FnMut(&ff::Packet) -> Result<(), VideoError>,
    ) -> Result<Self, VideoError> {
        let (codec, extradata) = media.codec();
        let rules = PacketRules::new(codec, extradata);
        let mut scan = Scan::new(media.frame_counter(), rules, structure, media.container() == "mpegts");
        let (mut packet, mut previous) = (ff::Packet::empty(), ff::Packet::empty());
        while media.read(&mut packet)? {
            look(&packet)?;
            scan.add(&packet, limits)?;
            std::mem::swap(&mut packet, &mut previous);
        }
        if codec == CodecId::MPEG2 && structure.end != End::Complete && scan.index.truncated == 0 {
            let last = previous.data().unwrap_or_default();
            scan.index.truncated += u64::from(mpeg2::is_incomplete(last, media.coded_size().1));
        }
        scan.finish(media, limits, structure)
    }

    /// Whether all steps of time are the same, but for rounding.
    fn is_even(&self) -> bool {
        let steps = || self.times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        let (shortest, longest) = (steps().min().unwrap_or(0), steps().max().unwrap_or(0));
        longest.saturating_mul(2) < shortest.saturating_mul(3)
    }

    /// Frames that may be shown before this time: frames without a time are counted.
    pub(crate) fn before(&self, time: i64) -> u64 {
        let untimed = self.shown.saturating_sub(self.times.len() as u64);
        self.times.partition_point(|other| *other < time) as u64 + untimed
    }

    /// Presentation times of the frames, ascending, if the index is `exact`.
    pub(crate) fn times(&self) -> &[i64] {
        &self.times
    }

    /// Which frame has this presentation time.
    pub(crate) fn frame_at(&self, time: i64) -> Option<u64> {
        self.times.binary_search(&time).ok().map(|at| at as u64)
    }

    /// Seconds from the first frame to this time.
    pub(crate) fn seconds_at(&self, time: i64, tick: f64) -> f64 {
        (time.saturating_sub(self.start.unwrap_or(0)) as f64 * tick).max(0.0)
    }
}

/// The state of the scan.
struct Scan<'a> {
    index: PacketIndex,
    counter: FrameCounter,
    rules: PacketRules,
    is_ts: bool,
    /// The latest presentation times, ascending.
    latest: Vec<i64>,
    /// Decoding times of packets that have no other.
    untimed: Vec<i64>,
    /// Time and duration of the packet that comes last.
    tail: (i64, i64),
    /// When the last frame ends.
    end: i64,
    has_frame: bool,
    /// The breaks that were not yet reached, and the times of the packets between those that were.
    breaks: &'a [u64],
    spans: Vec<Span>,
    position: u64,
}

/// The earliest and the latest time of packets between two breaks.
#[derive(Clone, Copy)]
struct Span {
    first: i64,
    last: i64,
}

impl<'a> Scan<'a> {
    fn new(counter: FrameCounter, rules: PacketRules, structure: &'a Structure, is_ts: bool) -> Self {
        Self {
            index: PacketIndex { exact: true, ..PacketIndex::default() },
            counter,
            rules,
            is_ts,
            latest: vec![],
            untimed: vec![],
            tail: (i64::MIN, 0),
            end: i64::MIN,
            has_frame: false,
            breaks: &structure.breaks,
            spans: vec![],
            position: 0,
        }
    }

    fn add(&mut self, packet: &ff::Packet, limits: &Limits) -> Result<(), VideoError> {
        // SAFETY: the packet is alive; its flags are a plain public field.
        let flags = unsafe { (*packet.as_ptr()).flags };
        let data = packet.data().unwrap_or_default();
        let frames = self.counter.shown(packet);
        let is_second_field = frames == 0 && self.counter.has_pairs();
        let index = &mut self.index;
        if let Some(time) = packet.pts().filter(|_| !is_second_field) {
            let place = self.latest.partition_point(|other| *other <= time);
            index.reorder = index.reorder.max(self.latest.len() - place);
            self.latest.insert(place, time);
            self.latest.drain(..self.latest.len().saturating_sub(MAX_REORDER + 1));
        }
        let marked = flags & ffi::AV_PKT_FLAG_CORRUPT != 0;
        index.exact &= !marked;
        // A transport stream marks what follows a jump of its counters; other demuxers mark a packet that is cut off.
        let is_cut = marked && !self.is_ts;
        index.truncated += u64::from(is_cut);
        index.has_jumps |= marked && self.is_ts;
        index.last = packet.pts().or(packet.dts()).or(index.last);
        // The bytes of a packet that is cut off break the rules as well, but that is one damaged packet, not two.
        if !is_cut {
            self.rules.check(data, packet.pts());
        }
        if flags & ffi::AV_PKT_FLAG_DISCARD != 0 {
            index.discarded += 1;
            return Ok(());
        }
        // An empty packet repeats the previous frame, which there must be.
        self.has_frame |= !data.is_empty();
        let frames = if self.has_frame { frames } else { 0 };
        if frames == 0 {
            index.hidden += 1;
            if let Some(time) = packet.pts().filter(|_| is_second_field) {
                self.prolong(time, packet.duration().max(0));
            }
            return Ok(());
        }
        index.shown += frames;
        index.exact &= frames == 1 && !data.is_empty();
        if index.shown > limits.frames {
            return Err(VideoError::Limit(format!("the video has more than {} frames", limits.frames)));
        }
        if let Some(time) = packet.pts().or(packet.dts()) {
            self.tail = self.tail.max((time, packet.duration().max(0)));
            self.end = self.end.max(time.saturating_add(packet.duration().max(0)));
            self.note(packet.position(), time);
        }
        match packet.pts() {
            Some(time) => memory::push(&mut self.index.times, time)?,
            None => {
                self.index.exact = false;
                packet.dts().map_or(Ok(()), |time| memory::push(&mut self.untimed, time))?;
            }
        }
        Ok(())
    }

    /// Adds the time of the second field to that of the frame.
    fn prolong(&mut self, time: i64, duration: i64) {
        self.end = self.end.max(time.saturating_add(duration));
        if self.tail.0.saturating_add(self.tail.1) == time {
            self.tail.1 = self.tail.1.saturating_add(duration);
        }
    }

    /// Notes the time of a packet at this position of the file.
    fn note(&mut self, position: isize, time: i64) {
        self.position = u64::try_from(position).unwrap_or(self.position);
        let passed = self.breaks.partition_point(|at| *at <= self.position);
        self.breaks = &self.breaks[passed..];
        match self.spans.last_mut().filter(|_| passed == 0) {
            Some(span) => *span = Span { first: span.first.min(time), last: span.last.max(time) },
            None => self.spans.push(Span { first: time, last: time }),
        }
    }

    fn finish(self, media: &Media, limits: &Limits, structure: &Structure) -> Result<PacketIndex, VideoError> {
        let Self { mut index, counter, rules, untimed, tail, end, spans, is_ts, breaks, .. } = self;
        index.flaws = rules.flaws();
        let unread = breaks.first().filter(|_| media.has_given_up());
        index.read_share = unread.map(|at| *at as f64 / media.stamp().size.max(1) as f64);
        index.last_duration = tail.1;
        index.times.sort_unstable();
        let times = all_times(&index.times, untimed)?;
        let plays = structure.seconds.unwrap_or_else(|| plays(&times, index.shown, media, tail.1));
        if plays > limits.duration_s + ROUNDING_SECONDS {
            let (plays, limit) = ((plays * 1e3).round() / 1e3, limits.duration_s);
            return Err(VideoError::Limit(format!("the video plays for {plays} seconds, more than {limit}")));
        }
        index.start = times.first().copied();
        let longest = if is_ts { LONGEST_LOSS_SECONDS } else { LONGEST_STEP_SECONDS };
        index.missing_inside = missing(&times, &spans, (longest / media.tick()) as i64, index.reorder);
        index.missing_last = missing_last(&times, index.reorder);
        let unique = index.times.windows(2).all(|pair| pair[0] != pair[1]);
        index.exact &=
            unique && !counter.has_pairs() && index.shown > 0 && index.truncated == 0 && index.flaws.packets() == 0;
        let packets = index.shown + index.discarded + index.hidden;
        index.gapless = structure.table.is_some() && media.index_entries() == packets || index.is_even();
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            // If packets have no duration, the last frame is taken to last as long as a typical one.
            let end = if end > *last { end } else { last.saturating_add(typical_step(&times)) };
            index.seconds = (end.saturating_sub(*first) as f64 * media.tick()).max(0.0);
            // Damage to a time can make it immense. Longer steps than any frame lasts do not count.
            if index.seconds > plays + LONGEST_STEP_SECONDS || structure.seconds.is_some() {
                index.seconds = plays;
            }
        }
        Ok(index)
    }
}

/// Presentation times, and decoding times in the place of those that are missing, ascending.
fn all_times(times: &[i64], untimed: Vec<i64>) -> Result<Vec<i64>, VideoError> {
    let mut all = untimed;
    times.iter().try_for_each(|time| memory::push(&mut all, *time))?;
    all.sort_unstable();
    Ok(all)
}

/// Seconds that the frames fill when they are played: what their times cover, not what the container says, which may be wrong. If
/// packets have no times, at the rate that FFmpeg assumes.
fn plays(times: &[i64], shown: u64, media: &Media, last: i64) -> f64 {
    let tick = media.tick();
    let seconds = |ticks: i64| Some(ticks as f64 * tick).filter(|seconds| *seconds <= LONGEST_STEP_SECONDS);
    let covered: f64 = times.windows(2).filter_map(|pair| seconds(pair[1].saturating_sub(pair[0]))).sum();
    let [rate, per] = media.fps().map(f64::from);
    // A rate may be wrong as well; hardly any is slower than this.
    let untimed = shown.saturating_sub(times.len() as u64) as f64 / (rate / per).max(1.0);
    covered + untimed + seconds(last).unwrap_or(0.0)
}

/// The median of all steps of time; 0 if there is none.
fn typical_step(times: &[i64]) -> i64 {
    let steps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let mut steps: Vec<i64> = steps.filter(|step| *step > 0).collect();
    let middle = steps.len() / 2;
    if steps.is_empty() { 0 } else { *steps.select_nth_unstable(middle).1 }
}

/// Frames that are missing around the places between spans of packets, where the container is broken: at steps of time that are longer
/// than a typical one, but not longer than `longest` ticks.
fn missing(times: &[i64], spans: &[Span], longest: i64, reorder: usize) -> u64 {
    let step = if spans.len() > 1 { typical_step(times) } else { 0 };
    if step == 0 {
        return 0;
    }
    // Reordering mixes the frames of both sides, and a packet that is read across the break may be shown before the gap.
    let reach = step.saturating_mul(reorder as i64 + 2);
    // Steps in front of this one were looked at for an earlier place.
    let (mut frames, mut next) = (0, 0);
    for pair in spans.windows(2) {
        let gap = pair[1].first.saturating_sub(pair[0].last);
        if !(-reach..=longest).contains(&gap) {
            continue;
        }
        let from = pair[0].last.min(pair[1].first).saturating_sub(reach);
        let to = pair[1].first.saturating_add(reach);
        next = times.partition_point(|time| *time < from).saturating_sub(1).max(next);
        while let Some([before, after]) = times.get(next..next + 2).filter(|step| step[0] < to) {
            let gap = after.saturating_sub(*before);
            if gap <= longest {
                frames += ((gap as f64 / step as f64).round() as u64).saturating_sub(1);
            }
            next += 1;
        }
    }
    frames
}

/// Frames that are missing between the last frames, among which reordering can put the frames of later packets.
fn missing_last(times: &[i64], reorder: usize) -> u64 {
    let step = typical_step(times);
    if step == 0 || reorder == 0 {
        return 0;
    }
    let last = &times[times.len().saturating_sub(reorder + 2)..];
    let gaps = last.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    gaps.map(|gap| ((gap as f64 / step as f64).round() as u64).saturating_sub(1).min(MAX_REORDER as u64)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_between_spans_are_counted_in_typical_steps() {
        let span = |first: i64, last: i64| Span { first: first * 40, last: last * 40 };
        let times: Vec<i64> = (0..100).filter(|n| !(30..35).contains(n)).map(|n| n * 40).collect();
        let count = |spans: &[Span], longest| missing(&times, spans, longest, 1);
        assert_eq!(count(&[span(0, 29), span(35, 99)], 10_000), 5);
        assert_eq!(count(&[span(0, 28), span(29, 99)], 10_000), 5, "one packet was read across the break");
        assert_eq!(count(&[span(0, 29), span(35, 35), span(36, 99)], 10_000), 5, "counted once");
        assert_eq!(count(&[span(0, 36), span(35, 99)], 10_000), 5, "reordered");
        assert_eq!(count(&[span(0, 29), span(35, 99)], 100), 0, "too long a gap");
        assert_eq!(count(&[span(0, 99)], 10_000), 0);
        assert_eq!(count(&[span(0, 50), span(51, 99)], 10_000), 0, "nothing is missing");
        assert_eq!(count(&[span(0, 50), span(7, 99)], 10_000), 0, "the clock was set anew");
        assert_eq!(missing(&[5], &[span(0, 1), span(22, 23)], 10_000, 1), 0);
    }

    #[test]
    fn frames_that_a_cut_takes_from_between_the_last_ones_are_counted() {
        let times: Vec<i64> = (0..50).filter(|n| ![47, 48].contains(n)).map(|n| n * 40).collect();
        assert_eq!((missing_last(&times, 1), missing_last(&times, 0)), (2, 0));
        let early: Vec<i64> = (0..50).filter(|n| *n != 20).map(|n| n * 40).collect();
        assert_eq!((missing_last(&early, 2), missing_last(&[], 2)), (0, 0));
    }
}
