//! Resampling to a constant rate: which frames FFmpeg's filter `fps=RATE:round=near` outputs, by their times.

use ff::ffi;
use ffmpeg_next as ff;

use crate::error::VideoError;

/// The unit of a stream's times, and the time at which the file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Seconds of a tick.
    pub(crate) tick: ff::Rational,
    /// In ticks. FFmpeg counts times from here.
    pub(crate) start: i64,
}

impl Clock {
    /// The place of a time among the frames at this rate: the nearest one; in the middle, the one farther from zero.
    fn place(self, time: i64, rate: ff::Rational) -> i64 {
        // SAFETY: the function computes with numbers alone.
        unsafe { ffi::av_rescale_q(time.saturating_sub(self.start), self.tick.into(), rate.invert().into()) }
    }
}

/// When the last frame ends. `duration` is that of its packet; 0 if it is not known.
fn end(times: &[i64], duration: i64, tick: ff::Rational, average: ff::Rational) -> i64 {
    let step = match times {
        [.., before, last] => last.saturating_sub(*before),
        _ => 0,
    };
    // FFmpeg's program does not believe a duration of one tick where the last step is longer: demuxers make it up.
    let is_made_up = duration == 1 && step > 2;
    let lasts = if duration > 0 && !is_made_up {
        duration
    } else if step > 0 {
        step
    } else if average.numerator() > 0 && average.denominator() > 0 {
        // SAFETY: the function computes with numbers alone.
        unsafe { ffi::av_rescale_q(1, average.invert().into(), tick.into()) }
    } else {
        duration
    };
    times.last().map_or(0, |last| last.saturating_add(lasts.max(1)))
}

/// What the rates of a stream say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing<'a> {
    /// The times of the frames, in the order in which they are shown.
    pub(crate) times: &'a [i64],
    /// The duration of the last frame's packet, in ticks; 0 if it is not known.
    pub(crate) last_duration: i64,
    /// The clock of these times.
    pub(crate) clock: Clock,
    /// The average rate, or 0/1.
    pub(crate) average: ff::Rational,
}

/// For each frame at the rate `fps`, the index of the video's frame that it shows. Indices never decrease.
///
/// # Errors
/// When there would be more than `most` frames, or no memory for them.
pub(crate) fn resample(timing: &Timing<'_>, fps: f64, most: u64) -> Result<Vec<u32>, VideoError> {
    let Timing { times, last_duration, clock, average } = *timing;
    // SAFETY: the function computes with numbers alone.
    let rate = ff::Rational::from(unsafe { ffi::av_d2q(fps, i32::MAX) });
    let most = usize::try_from(most.min(u64::from(u32::MAX))).unwrap_or(usize::MAX);
    let end = clock.place(end(times, last_duration, clock.tick, average), rate);
    let mut shown = vec![];
    let mut next = times.first().map_or(0, |time| clock.place(*time, rate));
    for (frame, after) in times.iter().skip(1).map(|time| clock.place(*time, rate)).chain([end]).enumerate() {
        if frame == times.len() {
            break;
        }
        // A frame is shown until the place of the next one; not at all if that is the same.
        let count = usize::try_from(after.saturating_sub(next)).unwrap_or(0);
        if count > most - shown.len() {
            return Err(VideoError::Limit(format!("at {fps} frames per second the video has more than {most} frames")));
        }
        shown.try_reserve(count).map_err(|_| VideoError::NoMemory("resample the frames"))?;
        shown.extend(std::iter::repeat_n(frame as u32, count));
        next = next.max(after);
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: ff::Rational = ff::Rational(1, 1000);

    fn timing(times: &[i64], last_duration: i64, tick: ff::Rational, start: i64) -> Timing<'_> {
        Timing { times, last_duration, clock: Clock { tick, start }, average: ff::Rational(25, 1) }
    }

    /// The nearest place, halves away from zero, in whole numbers.
    fn plain_place(time: i64, tick: (i64, i64), fps: (i64, i64)) -> i64 {
        let (over, under) = (i128::from(time) * i128::from(tick.0 * fps.0), i128::from(tick.1 * fps.1));
        let magnitude = (over.abs() * 2 + under) / (under * 2);
        (magnitude * over.signum()) as i64
    }

    /// The filter's machine with its two buffered frames, one output or drop at a time.
    fn plain(times: &[i64], end: i64, tick: (i64, i64), fps: (i64, i64)) -> Vec<u32> {
        let place = |time| plain_place(time, tick, fps);
        let mut waiting: std::collections::VecDeque<(u32, i64)> =
            times.iter().enumerate().map(|(index, time)| (index as u32, place(*time))).collect();
        let mut next = waiting.front().map_or(0, |(_, place)| *place);
        let mut out = vec![];
        while let Some((index, _)) = waiting.front() {
            let is_over = match waiting.get(1) {
                Some((_, second)) => *second <= next,
                None => place(end) <= next,
            };
            if is_over {
                waiting.pop_front();
            } else {
                out.push(*index);
                next += 1;
            }
        }
        out
    }

    #[test]
    fn constant_rates_drop_and_repeat_frames_in_turn() {
        let at_30: Vec<i64> = (0..10).map(|n| n * 512).collect();
        let shown = |fps| resample(&timing(&at_30, 512, ff::Rational(1, 15360), 0), fps, 1000).unwrap();
        assert_eq!(shown(30.0), (0..10).collect::<Vec<_>>());
        assert_eq!(shown(15.0), [0, 2, 4, 6, 8]);
        assert_eq!(shown(60.0), (0..20).map(|n| n / 2).collect::<Vec<_>>());
        assert_eq!(shown(20.0), [0, 2, 3, 5, 6, 8, 9]);
        assert_eq!(shown(1.0), Vec::<u32>::new(), "a third of a second has no place of its own");
    }

    #[test]
    fn times_count_from_where_the_file_begins() {
        let times: Vec<i64> = (0..6).map(|n| 1467 + n * 40).collect();
        let shown = |start| resample(&timing(&times, 40, MS, start), 15.0, 1000).unwrap();
        assert_eq!(shown(1467), plain(&[0, 40, 80, 120, 160, 200], 240, (1, 1000), (15, 1)));
        assert_eq!(shown(1440), plain(&[27, 67, 107, 147, 187, 227], 267, (1, 1000), (15, 1)));
    }

    #[test]
    fn the_last_frame_lasts_as_long_as_its_packet_or_as_the_one_before() {
        let shown = |times: &[i64], duration| resample(&timing(times, duration, MS, 0), 10.0, 1000).unwrap().len();
        assert_eq!(shown(&[0, 100, 200], 300), 5);
        assert_eq!(shown(&[0, 100, 300], 0), 5, "no duration");
        assert_eq!(shown(&[0, 100, 300], 1), 5, "a made up one");
        assert_eq!(shown(&[0], 0), 0, "at 25 frames per second, 40 ms");
        assert_eq!(shown(&[], 0), 0);
    }

    #[test]
    fn a_time_that_is_far_off_is_over_the_limit() {
        for times in [vec![0, i64::MAX / 2], vec![i64::MIN / 2, 0, i64::MAX], vec![0, 3_600_000]] {
            let error = resample(&timing(&times, 1, MS, 0), 15.0, 50_000).unwrap_err();
            assert!(error.to_string().starts_with("at 15 frames per second the video has more than 50000"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_times_and_rate_give_what_the_filter_gives(
            steps in proptest::collection::vec(-40..400i64, 1..80), first in -3000..3000i64, duration in 1..500i64,
            fps in proptest::sample::select(vec![(1, 1), (8, 1), (15, 1), (25, 1), (25, 2), (30, 1), (2997, 100), (120, 1)]),
            tick in proptest::sample::select(vec![(1, 1000), (1, 90000), (1001, 30000), (1, 12800)]),
        ) {
            let times: Vec<i64> = steps.iter().scan(first, |at, step| { *at += step; Some(*at) }).collect();
            let rational = ff::Rational(tick.0 as i32, tick.1 as i32);
            // One tick may be taken for a made up duration.
            let duration = if duration == 1 { 2 } else { duration };
            let ours = resample(&timing(&times, duration, rational, 0), fps.0 as f64 / fps.1 as f64, 1_000_000).unwrap();
            prop_assert_eq!(ours, plain(&times, times[times.len() - 1] + duration, tick, fps));
        }
    }
}
