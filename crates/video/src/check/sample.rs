//! The decoding part of a deep check: chooses the packets to decode, and decodes all of them if anything looks wrong.

use std::ops::Range;

use ffmpeg_next as ff;

use super::Heartbeat;
use crate::decode::{self, Counter, DecodeSession, Decoded, Visitor, is_flawed};
use crate::error::VideoError;
use crate::media::Media;

/// Frames that are decoded in runs, besides single keyframes. If 5 % of the frames are broken here and there, the probability that
/// none of these is broken is one in half a million.
const SAMPLE: u64 = 256;

/// A video with at most this many packets is decoded as a whole.
const SMALL: u64 = 300;

/// What the packet scan collects for the choice.
#[derive(Debug, Default)]
pub(super) struct PacketKinds {
    packets: u64,
    /// Numbers of the packets with keyframes.
    keys: Vec<u64>,
}

impl PacketKinds {
    /// Notes the next packet.
    pub(super) fn note(&mut self, packet: &ff::Packet) {
        if packet.is_key() {
            self.keys.push(self.packets);
        }
        self.packets += 1;
    }

    /// The runs of packets to decode, ascending and separate. Each begins with a keyframe, except perhaps the first. `None`: all
    /// packets.
    fn plan(&self) -> Option<Vec<Range<u64>>> {
        if self.packets <= SMALL {
            return None;
        }
        let mut starts = self.keys.clone();
        if starts.first() != Some(&0) {
            starts.insert(0, 0);
        }
        let ends = starts.iter().skip(1).copied().chain([self.packets]);
        let groups: Vec<Range<u64>> = starts.iter().zip(ends).map(|(start, end)| *start..end).collect();
        // The first and the last group, and then others from all over the file until there are enough frames. The last frame
        // needs its whole group; of other groups the beginning may do.
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
        // If nearly every frame is a keyframe, all keyframes would be too many.
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

/// The numbers below `count`, each once, in an order in which any first few of them are spread evenly: bit-reversed counting.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    let bits = usize::BITS - count.leading_zeros();
    (0..1_usize << bits).map(move |n| n.reverse_bits() >> (usize::BITS - bits)).filter(move |n| *n < count)
}

/// Decodes a sample. `None`: nothing in it looks wrong. Otherwise all frames are decoded with one thread, as in extraction, so
/// that the verdict is what extraction will find.
///
/// # Errors
/// If reading fails, there is no decoder, and what `heartbeat` returns.
pub(super) fn decode(
    open: &dyn Fn() -> Result<Media, VideoError>,
    kinds: &PacketKinds,
    suspicious: bool,
    heartbeat: Heartbeat<'_>,
) -> Result<Option<Decoded>, VideoError> {
    if let Some(runs) = kinds.plan().filter(|_| !suspicious)
        && !looks_wrong(&mut open()?, &runs, heartbeat)?
    {
        return Ok(None);
    }
    let mut counter = Counter::new(heartbeat);
    decode::run(&mut open()?, &mut counter)?;
    Ok(Some(counter.decoded))
}

/// Whether anything looks wrong in these runs of packets.
fn looks_wrong(media: &mut Media, runs: &[Range<u64>], heartbeat: Heartbeat<'_>) -> Result<bool, VideoError> {
    let mut session = DecodeSession::start(media)?;
    let mut packet = ff::Packet::empty();
    let mut runs = runs.iter();
    let mut run = runs.next();
    let (mut number, mut result) = (0, RunResult::default());
    while let Some(range) = run {
        let more = media.read(&mut packet)?;
        heartbeat()?;
        if more && range.contains(&number) {
            let shown = session.packet(&packet, &mut result)?;
            result.expect(&packet, number == range.start, shown);
        }
        number += 1;
        if !more || number >= range.end {
            session.end(&mut result)?;
            // The run ended between the two fields of a frame.
            result.expected = result.expected.saturating_sub(u64::from(more && session.is_half()));
            if result.is_suspicious(range.start == 0) {
                return Ok(true);
            }
            session.reset();
            (result, run) = (RunResult::default(), if more { runs.next() } else { None });
        }
    }
    Ok(false)
}

/// The result of one run.
#[derive(Default)]
struct RunResult {
    key: Option<i64>,
    expected: u64,
    frames: u64,
    /// Frames marked as wrongly decoded.
    wrong: u64,
    /// Frames marked as damaged for any reason, also because the decoder started in the middle.
    flawed: u64,
    rejected: u64,
}

impl RunResult {
    /// Records how many frames a packet should give.
    fn expect(&mut self, packet: &ff::Packet, first: bool, shown: u64) {
        if first {
            self.key = packet.pts();
        }
        // Frames that are shown before the keyframe may need frames before it.
        let leading = packet.pts().zip(self.key).is_some_and(|(time, key)| time < key);
        self.expected += if leading { 0 } else { shown };
    }

    fn is_suspicious(&self, from_the_start: bool) -> bool {
        self.rejected + self.wrong > 0 || self.frames < self.expected || (from_the_start && self.flawed > 0)
    }
}

impl Visitor for RunResult {
    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        self.frames += 1;
        self.wrong += u64::from(frame.has_decode_errors());
        self.flawed += u64::from(is_flawed(frame));
        Ok(())
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        self.rejected += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(packets: u64, every: u64) -> PacketKinds {
        PacketKinds { packets, keys: (0..packets).step_by(every as usize).collect() }
    }

    #[test]
    fn small_files_are_decoded_as_a_whole_and_large_ones_in_runs() {
        assert_eq!(kinds(300, 30).plan(), None);
        assert_eq!(PacketKinds { packets: 900, keys: vec![] }.plan(), None);
        assert_eq!(kinds(900, 900).plan(), None);
        assert_eq!(kinds(900, 450).plan().unwrap(), [0..256, 450..900]);
        assert_eq!(kinds(450, 225).plan(), None);
        let runs = kinds(3600, 150).plan().unwrap();
        assert_eq!(runs.len(), 24 - 1);
        assert!(runs[0] == (0..151) && runs[1] == (300..301) && runs[22] == (3450..3600), "{runs:?}");
        let intra = kinds(9000, 1).plan().unwrap();
        assert_eq!(intra.iter().map(|run| run.end - run.start).sum::<u64>(), SAMPLE);
        assert!(intra[0].start == 0 && intra.last().unwrap().end == 9000);
    }

    proptest! {
        #[test]
        fn plans_include_the_first_packets_all_keyframes_and_the_last_group(gaps in proptest::collection::vec(1..400_u64, 0..80), first in 0..20_u64) {
            let mut at = first;
            let mut keys = PacketKinds::default();
            for gap in gaps {
                keys.keys.push(at);
                at += gap;
            }
            keys.packets = at;
            let Some(runs) = keys.plan() else { return Ok(()) };
            prop_assert!(at > SMALL);
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
        fn spread_gives_every_number_once(count in 1..600_usize) {
            let mut all: Vec<_> = spread(count).collect();
            prop_assert!(all[0] == 0);
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..count));
        }
    }
}
