//! When the samples of an MP4 track are presented, and which of them its edit list leaves out.

use super::super::reader::be;

/// Times are computed for this many samples at most, which is twice the default limit of frames.
const MAX_SAMPLES: u64 = 1 << 22;

/// A decoder holds back at most this many frames, so reordering moves a frame no farther.
pub(super) const REORDER: u64 = 16;

/// Times of the samples, in ticks of the track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timeline {
    /// The earliest presentation time.
    pub first: i64,
    /// When the last sample ends.
    pub end: i64,
    /// Samples that are presented outside the edit.
    pub outside: u64,
    /// Samples among them that do not belong there: their own presentation times are wrong.
    pub displaced: u64,
}

impl Timeline {
    /// From the entries of the tables of decoding times (number and duration) and of presentation offsets (number and offset).
    /// `edit`: when the only edit begins and ends, if there is just one.
    pub(super) fn new(samples: u64, times: &[[u8; 8]], offsets: &[[u8; 8]], edit: Option<(i64, i64)>) -> Self {
        let mut timeline = Self { first: i64::MAX, ..Self::default() };
        let mut offsets = Offsets { entries: offsets.iter(), left: 0, offset: 0 };
        // Where all samples last equally long, their times follow each other without a gap.
        let step = constant(times).filter(|_| edit.is_some());
        let mut all = vec![];
        let longest = times.iter().map(|entry| be(&entry[4..]) as i64).max().unwrap_or(0);
        let reach = longest.saturating_mul(REORDER as i64);
        let (mut number, mut time) = (0, 0_i64);
        for entry in times {
            let delta = be(&entry[4..]) as i64;
            for _ in 0..be(&entry[..4]).min(samples.min(MAX_SAMPLES) - number) {
                let shown = time.saturating_add(offsets.next());
                timeline.first = timeline.first.min(shown);
                timeline.end = timeline.end.max(shown.saturating_add(delta));
                match edit {
                    Some((start, end)) if !(start..end).contains(&shown) => {
                        timeline.outside += 1;
                        // Decoded well inside the edit: reordering alone cannot move the sample out of it.
                        let inside = time > start.saturating_add(reach) && time.saturating_add(reach) < end;
                        timeline.displaced += u64::from(inside);
                    }
                    _ => {}
                }
                all.extend(step.map(|_| shown));
                number += 1;
                time = time.saturating_add(delta);
            }
        }
        if number == 0 {
            return Self::default();
        }
        if let (Some(step), Some(edit), 1..) = (step, edit, timeline.outside) {
            timeline.displaced = timeline.displaced.max(displaced(all, step, edit).min(timeline.outside));
        }
        timeline
    }
}

/// The duration of all samples, if it is the same.
fn constant(times: &[[u8; 8]]) -> Option<i64> {
    let (first, rest) = times.split_first()?;
    // The last sample may last longer or shorter.
    let rest = match rest.split_last() {
        Some((last, others)) if last[..4] == [0, 0, 0, 1] => others,
        _ => rest,
    };
    let same = rest.iter().all(|entry| entry[4..] == first[4..]);
    Some(be(&first[4..]) as i64).filter(|step| same && *step > 0)
}

/// The presentation offsets of samples, one after another; 0 behind the last.
struct Offsets<'a> {
    entries: std::slice::Iter<'a, [u8; 8]>,
    left: u64,
    offset: i64,
}

impl Offsets<'_> {
    fn next(&mut self) -> i64 {
        while self.left == 0 {
            (self.left, self.offset) = match self.entries.next() {
                Some(entry) => (be(&entry[..4]), i64::from(be(&entry[4..]) as u32 as i32)),
                None => (u64::MAX, 0),
            };
        }
        self.left -= 1;
        self.offset
    }
}

/// Samples that are presented outside an edit because their presentation times are wrong: they left a gap in the edit, or there is
/// a gap between them and the edit. `step`: the duration of each sample.
fn displaced(mut times: Vec<i64>, step: i64, edit: (i64, i64)) -> u64 {
    times.sort_unstable();
    let gap = |pair: &[i64]| (pair[1].saturating_sub(pair[0]).saturating_add(step / 2) / step - 1).max(0) as u64;
    let first = times.partition_point(|time| *time < edit.0);
    let last = times.partition_point(|time| *time < edit.1);
    let inside: u64 = times[first..last].windows(2).map(gap).sum();
    let before =
        times[..(first + 1).min(times.len())].windows(2).rposition(|pair| gap(pair) > 0).map_or(0, |at| at + 1);
    let from = last.saturating_sub(1);
    let behind = times[from..].windows(2).position(|pair| gap(pair) > 0).map_or(0, |at| times.len() - from - at - 1);
    inside.max((before + behind) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(u32, i32)]) -> Vec<[u8; 8]> {
        list.iter().map(|(a, b)| [a.to_be_bytes(), b.to_be_bytes()].concat().try_into().unwrap()).collect()
    }

    fn timeline(offsets: &[(u32, i32)], edit: (i64, i64)) -> Timeline {
        Timeline::new(100, &entries(&[(100, 10)]), &entries(offsets), Some(edit))
    }

    #[test]
    fn an_edit_leaves_out_samples_at_both_ends() {
        let found = timeline(&[(100, 20)], (220, 720));
        assert_eq!(found, Timeline { first: 20, end: 1020, outside: 50, displaced: 0 });
        assert_eq!(timeline(&[], (0, 1000)), Timeline { first: 0, end: 1000, outside: 0, displaced: 0 });
    }

    #[test]
    fn a_wrong_offset_displaces_a_sample() {
        for place in [1, 2, 5, 50, 95, 98] {
            for offset in [5000, -5000] {
                let found = timeline(&[(place, 20), (1, offset), (99 - place, 20)], (20, 1020));
                assert_eq!((found.outside, found.displaced), (1, 1), "{place} {offset}");
            }
        }
    }

    #[test]
    fn a_sample_at_either_end_is_displaced_if_there_is_a_gap() {
        let first = timeline(&[(1, 20 + 10 * 110), (99, 20)], (20, 1020));
        assert_eq!((first.outside, first.displaced), (1, 1));
        let last = timeline(&[(99, 20), (1, 200)], (20, 1020));
        assert_eq!((last.outside, last.displaced), (1, 1));
        // The edit does not know of the delay by reordering: its last two frames are outside, but where they should be.
        assert_eq!(timeline(&[(100, 20)], (0, 1000)), Timeline { first: 20, end: 1020, outside: 2, displaced: 0 });
    }

    #[test]
    fn samples_of_uneven_durations_have_no_places() {
        let times = entries(&[(50, 10), (50, 30)]);
        let found = Timeline::new(100, &times, &[], Some((0, 1000)));
        assert_eq!(found, Timeline { first: 0, end: 2000, outside: 33, displaced: 0 });
    }

    #[test]
    fn a_sample_at_the_end_that_is_short_is_not_displaced() {
        // Slow motion of a telephone: some samples last 1, others 1000 times as long.
        let times = entries(&[(1, 1000), (3, 1), (20, 1000), (3, 1), (1, 40)]);
        let found = Timeline::new(28, &times, &[], Some((0, 21_000)));
        assert_eq!((found.outside, found.displaced), (4, 0));
        // Samples of single steps that are longer leave no gap behind.
        let times = entries(&[(2, 20), (1, 60), (1, 20), (1, 60), (45, 20), (1, 21)]);
        let found = Timeline::new(51, &times, &[], Some((130, 1000)));
        assert_eq!((found.outside > 0, found.displaced), (true, 0));
    }

    #[test]
    fn numbers_may_be_anything() {
        let huge = entries(&[(u32::MAX, -1), (u32::MAX, i32::MIN)]);
        Timeline::new(1000, &huge, &huge, Some((i64::MIN, i64::MAX)));
        Timeline::new(1000, &huge, &huge, Some((i64::MAX, i64::MIN)));
        assert_eq!(Timeline::new(0, &huge, &[], None), Timeline::default());
    }
}
