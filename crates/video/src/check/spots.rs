//! The decoding part of a deep check: which packets are decoded, what comes of them, and, where anything looks wrong, all
//! of them.

use std::ops::Range;

use ff::ffi;
use ff::packet::Ref;
use ffmpeg_next as ff;

use super::Alive;
use crate::decode::{self, DecodeSession, Visitor};
use crate::error::VideoError;
use crate::frames::is_flawed;
use crate::media::Media;

/// Frames that are decoded one after another, besides the single keyframes: of a file in which 5 % of the frames are broken,
/// here and there, none of these would be with a probability of one in half a million.
const SAMPLE: u64 = 256;

/// A video of so few packets is decoded as a whole, at once.
const WHOLE: u64 = 300;

/// What the packet scan finds out for the plan.
#[derive(Debug, Default)]
pub struct Keys {
    packets: u64,
    keys: Vec<u64>,
}

impl Keys {
    /// Notes the next packet.
    pub fn note(&mut self, packet: &ff::Packet) {
        if packet.is_key() {
            self.keys.push(self.packets);
        }
        self.packets += 1;
    }

    /// The runs of packets to decode, ascending, none touching another; each begins with a keyframe, but for the first.
    /// `None`: all packets.
    fn plan(&self) -> Option<Vec<Range<u64>>> {
        if self.packets <= WHOLE {
            return None;
        }
        let mut starts = self.keys.clone();
        if starts.first() != Some(&0) {
            starts.insert(0, 0);
        }
        let ends = starts.iter().skip(1).copied().chain([self.packets]);
        let groups: Vec<Range<u64>> = starts.iter().zip(ends).map(|(start, end)| *start..end).collect();
        // The first group and the last one, and others from all over the file until there are enough. The last frame needs
        // its whole group; of any other group the beginning may do.
        let last = groups.len() - 1;
        let mut taken = vec![0; groups.len()];
        let mut decoded = 0;
        for (turn, at) in [0, last].into_iter().chain(spread(groups.len())).enumerate() {
            if turn >= 2 && decoded >= SAMPLE {
                break;
            }
            if let (Some(group), Some(taken @ 0)) = (groups.get(at), taken.get_mut(at)) {
                let length = group.end - group.start;
                *taken = if at == last { length } else { length.min(SAMPLE) };
                decoded += *taken;
            }
        }
        // Where nearly every frame is a keyframe, they are too many.
        let alone = u64::from(groups.len() as u64 <= self.packets / 2);
        let mut runs: Vec<Range<u64>> = vec![];
        for (group, taken) in groups.iter().zip(taken) {
            let end = group.start + taken.max(alone);
            match runs.last_mut() {
                Some(last) if last.end == group.start => last.end = end,
                _ if end > group.start => runs.push(group.start..end),
                _ => {}
            }
        }
        (runs.first() != Some(&(0..self.packets))).then_some(runs)
    }
}

/// Numbers below `count`, each once, such that any first few of them are spread over all: the bits of a counter reversed.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    let bits = usize::BITS - count.leading_zeros();
    (0..1_usize << bits).map(move |n| n.reverse_bits() >> (usize::BITS - bits)).filter(move |n| *n < count)
}

/// What came of decoding all packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Frames that came out.
    pub output: u64,
    /// Frames among them that the decoder marked as damaged.
    pub concealed: u64,
    /// Packets that the decoder refused.
    pub refused: u64,
    /// When the first frame is shown, in ticks, where that is known.
    pub first: Option<i64>,
}

impl Whole {
    /// The decoder saw something broken.
    pub fn is_flawed(&self) -> bool {
        self.concealed + self.refused > 0
    }
}

/// Decodes the sample. `None`: nothing looked wrong in it. Else all frames are decoded, by one thread as in extraction, so
/// that what is said of the file is what extraction will find.
///
/// # Errors
/// When reading fails, when there is no decoder, and what `alive` returns.
pub fn decode(
    open: &dyn Fn() -> Result<Media, VideoError>,
    keys: &Keys,
    suspicious: bool,
    alive: Alive<'_>,
) -> Result<Option<Whole>, VideoError> {
    if let Some(runs) = keys.plan().filter(|_| !suspicious)
        && !look(&mut open()?, &runs, alive)?
    {
        return Ok(None);
    }
    let mut all = Count { counts: Whole::default(), alive };
    decode::run(&mut open()?, &mut all)?;
    Ok(Some(all.counts))
}

/// Whether anything looks wrong in these runs of packets.
fn look(media: &mut Media, runs: &[Range<u64>], alive: Alive<'_>) -> Result<bool, VideoError> {
    let mut session = DecodeSession::start(media)?;
    let mut packet = ff::Packet::empty();
    let mut runs = runs.iter();
    let mut run = runs.next();
    let (mut number, mut spot) = (0, Spot::default());
    while let Some(range) = run {
        let more = media.read(&mut packet)?;
        alive()?;
        if more && range.contains(&number) {
            spot.expect(&packet, number == range.start);
            session.packet(&packet, &mut spot)?;
        }
        number += 1;
        if !more || number >= range.end {
            session.end(&mut spot)?;
            if spot.is_suspicious(range.start == 0) {
                return Ok(true);
            }
            session.reset();
            (spot, run) = (Spot::default(), if more { runs.next() } else { None });
        }
    }
    Ok(false)
}

/// What came of one run.
#[derive(Default)]
struct Spot {
    key: Option<i64>,
    expected: u64,
    frames: u64,
    /// Marked as wrongly decoded.
    wrong: u64,
    /// Marked as damaged for any reason, also because the decoder began in the middle.
    flawed: u64,
    refused: u64,
}

impl Spot {
    /// Notes what is to come of a packet.
    fn expect(&mut self, packet: &ff::Packet, first: bool) {
        // SAFETY: the packet is alive; its flags are a plain public field.
        let discarded = unsafe { (*packet.as_ptr()).flags } & ffi::AV_PKT_FLAG_DISCARD != 0;
        if first {
            self.key = packet.pts();
        }
        // What is shown before the keyframe may need frames before it.
        let leading = packet.pts().zip(self.key).is_some_and(|(time, key)| time < key);
        self.expected += u64::from(!discarded && !leading);
    }

    fn is_suspicious(&self, from_the_start: bool) -> bool {
        self.refused + self.wrong > 0 || self.frames < self.expected || (from_the_start && self.flawed > 0)
    }
}

impl Visitor for Spot {
    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        self.frames += 1;
        self.wrong += u64::from(frame.has_decode_errors());
        self.flawed += u64::from(is_flawed(frame));
        Ok(())
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        self.refused += 1;
        Ok(())
    }
}

struct Count<'a> {
    counts: Whole,
    alive: Alive<'a>,
}

impl Visitor for Count<'_> {
    fn heartbeat(&mut self) -> Result<(), VideoError> {
        (self.alive)()
    }

    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        if self.counts.output == 0 {
            self.counts.first = frame.pts();
        }
        self.counts.output += 1;
        self.counts.concealed += u64::from(is_flawed(frame));
        Ok(())
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        self.counts.refused += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(packets: u64, every: u64) -> Keys {
        Keys { packets, keys: (0..packets).step_by(every as usize).collect() }
    }

    #[test]
    fn small_files_are_decoded_as_a_whole_and_large_ones_in_spots() {
        assert_eq!(keys(300, 30).plan(), None);
        assert_eq!(Keys { packets: 900, keys: vec![] }.plan(), None);
        assert_eq!(keys(900, 900).plan(), None);
        assert_eq!(keys(900, 450).plan().unwrap(), [0..256, 450..900]);
        assert_eq!(keys(450, 225).plan(), None);
        let runs = keys(3600, 150).plan().unwrap();
        assert_eq!(runs.len(), 24 - 1);
        assert!(runs[0] == (0..151) && runs[1] == (300..301) && runs[22] == (3450..3600), "{runs:?}");
        let intra = keys(9000, 1).plan().unwrap();
        assert_eq!(intra.iter().map(|run| run.end - run.start).sum::<u64>(), SAMPLE);
        assert!(intra[0].start == 0 && intra.last().unwrap().end == 9000);
    }

    proptest! {
        #[test]
        fn plans_have_first_keys_and_last(gaps in proptest::collection::vec(1..400_u64, 0..80), first in 0..20_u64) {
            let mut at = first;
            let mut keys = Keys::default();
            for gap in gaps {
                keys.keys.push(at);
                at += gap;
            }
            keys.packets = at;
            let Some(runs) = keys.plan() else { return Ok(()) };
            prop_assert!(at > WHOLE);
            prop_assert!(runs[0].start == 0 && runs.last().unwrap().end == at);
            prop_assert!(runs.windows(2).all(|w| w[0].end < w[1].start) && runs.iter().all(|r| r.start < r.end));
            if (keys.keys.len() as u64) < at / 2 {
                prop_assert!(keys.keys.iter().all(|key| runs.iter().any(|run| run.contains(key))));
                let last = keys.keys.last().copied().unwrap_or(0);
                prop_assert!(runs.last().unwrap().contains(&last));
            }
            let decoded = runs.iter().map(|run| run.end - run.start).sum::<u64>();
            prop_assert!(decoded >= SAMPLE.min(at / 2), "{decoded} of {at}");
        }

        #[test]
        fn all_numbers_come_once(count in 1..600_usize) {
            let mut all: Vec<_> = spread(count).collect();
            prop_assert!(all[0] == 0);
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..count));
        }
    }
}
