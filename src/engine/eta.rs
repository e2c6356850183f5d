//! The estimate of a run's remaining time.
//!
//! Videos are uneven and the largest come first, so neither clips nor videos per minute tell how long the others take: early in
//! a run such a rate is too low, and it changes with every video. The estimate is made in three steps.
//!
//! 1. *Cost.* The time of a video is about `a + b × size`. `a` is the mean time that the model and writing take: they do the same
//!    for most videos. `b` comes from the mean time that the model waits for frames: decoding takes longer for a larger file. So
//!    the cost of small videos is known before any is done. A regression of time on size could not give it. Older videos count
//!    less. Before the first [`MIN_DONE`] videos are done, half of the cost is taken to come from the size.
//! 2. *Speed.* The cost of what was done in the last ten minutes, divided by that time. Videos in progress count by their clips.
//!    So neither the number of workers nor their parallel decoding has to be known. Time in which the run was paused or held does
//!    not count.
//! 3. *Smoothing.* The remaining cost divided by the speed gives the time of the end, unless a single video in progress takes
//!    longer, because its size does not tell its cost ([`rest_of_video`]). The displayed time approaches the estimate
//!    within a tenth of the remaining time, at most one minute. A single video cannot make it jump, but the loss of a device is
//!    visible soon.
//!
//! In the first minute the speed is that of workers that have just started, and the cost is that of one or two videos, so the
//! estimate may be wrong by a factor of three and change by as much. It is shown when [`MIN_ENDED`] videos have ended, which also
//! means that each worker has worked for a while. A run of few videos does not get there: it is shown when [`MIN_SHARE`] of the
//! cost is done. Until then there is a guess, without smoothing, from the videos in progress.

use std::collections::VecDeque;

/// The time over which the speed is measured, in seconds.
const WINDOW_S: f64 = 600.0;

/// Before so many seconds of work there is no estimate.
const MIN_WORK_S: f64 = 2.0;

/// Videos that are needed to know the cost.
const MIN_DONE: f64 = 3.0;

/// The videos that must have ended before the estimate is shown.
const MIN_ENDED: f64 = 8.0;

/// The share of the run's cost that must be done if fewer videos have ended.
const MIN_SHARE: f64 = 0.25;

/// Before so many seconds of work, and before so many videos or that share of the cost is done, there is no guess either.
const GUESS_AFTER_S: f64 = 5.0;
const GUESS_VIDEOS: f64 = 0.5;
const GUESS_SHARE: f64 = 0.01;

/// The weight of older videos decreases by this factor with each new one.
const FORGET: f64 = 0.98;

/// The time within which the shown end follows the estimate, in seconds, and as a share of the remaining time.
const FOLLOW_S: (f64, f64) = (1.0, 60.0);
const FOLLOW_SHARE: f64 = 0.1;

/// The share of a video that must be done before its rest follows from it. Opening a file takes time, too.
const VIDEO_SHARE: f64 = 0.1;

/// The remaining time of a video in progress, at least, after `elapsed_s` and with this share done. A video that does not tell its
/// share is taken to be half done.
pub(crate) fn rest_of_video(elapsed_s: f64, share: f64) -> f64 {
    if share >= VIDEO_SHARE { elapsed_s * (1.0 - share) / share } else { elapsed_s }
}

/// Work: a number of videos, and their size in bytes. Videos in progress count in part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Work {
    /// The videos.
    pub videos: f64,
    /// Their bytes.
    pub bytes: f64,
}

impl Work {
    fn add(self, other: Self) -> Self {
        Self { videos: self.videos + other.videos, bytes: self.bytes + other.bytes }
    }

    /// The cost, for `shape` per video and per byte.
    fn cost(self, shape: (f64, f64)) -> f64 {
        self.videos * shape.0 + self.bytes * shape.1
    }
}

/// Sums over the videos that are done, older ones with less weight.
#[derive(Clone, Copy, Debug, Default)]
struct Costs {
    weight: f64,
    bytes: f64,
    fixed_s: f64,
    waited_s: f64,
}

impl Costs {
    fn add(&mut self, bytes: f64, fixed_s: f64, waited_s: f64) {
        for (sum, term) in [
            (&mut self.weight, 1.0),
            (&mut self.bytes, bytes),
            (&mut self.fixed_s, fixed_s),
            (&mut self.waited_s, waited_s),
        ] {
            *sum = *sum * FORGET + term;
        }
    }

    /// The cost per video and per byte. None before enough videos are done.
    fn shape(&self) -> Option<(f64, f64)> {
        let is_known = self.weight >= MIN_DONE - 0.5 && self.fixed_s + self.waited_s > 0.0;
        let per_byte = if self.bytes > 0.0 { self.waited_s / self.bytes } else { 0.0 };
        is_known.then(|| (self.fixed_s / self.weight, per_byte))
    }
}

/// Estimates the remaining time.
#[derive(Debug, Default)]
pub(crate) struct Eta {
    /// Seconds in which the run worked.
    clock: f64,
    /// Finished videos.
    done: Work,
    costs: Costs,
    /// What was done at which time of the clock.
    samples: VecDeque<(f64, Work)>,
    /// The shown end, on the clock. None until the estimate can be relied on.
    end: Option<f64>,
    /// The remaining time before that, roughly.
    guess: Option<f64>,
}

impl Eta {
    /// Takes note of a finished video: its size in bytes, how long its worker computed and wrote it, and how long it waited for
    /// frames, in seconds.
    pub(crate) fn finished(&mut self, bytes: f64, fixed_s: f64, waited_s: f64) {
        self.done = self.done.add(Work { videos: 1.0, bytes });
        // The durations of an unreported video are unknown.
        if fixed_s + waited_s > 0.0 {
            self.costs.add(bytes, fixed_s, waited_s);
        }
    }

    /// Takes note of `seconds` of work, after which this is done of the videos in progress, and this is left, without them. The
    /// rest of a single video takes at least `rest_s`.
    pub(crate) fn sample(&mut self, seconds: f64, in_progress: Work, left: Work, rest_s: f64) {
        self.clock += seconds;
        let done = self.done.add(in_progress);
        if self.samples.back().is_none_or(|(at, _)| self.clock >= at + 1.0) {
            self.samples.push_back((self.clock, done));
            while self.samples.get(1).is_some_and(|(at, _)| self.clock - at > WINDOW_S) {
                self.samples.pop_front();
            }
        }
        let Some(raw) = self.raw(done, left).map(|raw| raw.max(rest_s)) else { return };
        if self.end.is_none() && !self.is_settled(done, left) {
            self.guess = Some(raw).filter(|_| self.is_begun(done, left));
            return;
        }
        self.guess = None;
        let aim = self.clock + raw;
        let follow = (raw * FOLLOW_SHARE).clamp(FOLLOW_S.0, FOLLOW_S.1);
        let end = self.end.get_or_insert(aim);
        *end += (aim - *end) * (1.0 - (-seconds / follow).exp());
    }

    /// The remaining time without smoothing.
    fn raw(&self, done: Work, left: Work) -> Option<f64> {
        let (from, before) = *self.samples.front()?;
        let passed = self.clock - from;
        let shape = self.shape(done.add(left));
        let cost = done.cost(shape) - before.cost(shape);
        (passed >= MIN_WORK_S && cost > 0.0).then(|| left.cost(shape).max(0.0) * passed / cost)
    }

    /// The cost per video and per byte, or a guess.
    fn shape(&self, all: Work) -> (f64, f64) {
        self.costs.shape().unwrap_or(match all.bytes > 0.0 {
            true => (0.5, 0.5 * all.videos / all.bytes),
            false => (1.0, 0.0),
        })
    }

    /// Whether enough is known for an estimate that stays about the same.
    fn is_settled(&self, done: Work, left: Work) -> bool {
        let all = done.add(left);
        let shape = self.shape(all);
        self.done.videos >= MIN_ENDED || done.cost(shape) >= MIN_SHARE * all.cost(shape)
    }

    /// Whether enough is done for a guess.
    fn is_begun(&self, done: Work, left: Work) -> bool {
        let all = done.add(left);
        let shape = self.shape(all);
        let much = done.videos >= GUESS_VIDEOS || done.cost(shape) >= GUESS_SHARE * all.cost(shape);
        self.clock >= GUESS_AFTER_S && much
    }

    /// A guess of the remaining time in seconds, before there is an estimate.
    pub(crate) fn guess_s(&self) -> Option<f64> {
        self.guess
    }

    /// The remaining time in seconds. None before there is enough to estimate it.
    pub(crate) fn seconds(&self) -> Option<f64> {
        self.end.map(|end| (end - self.clock).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A video of a run: its size in kB, and for how many seconds its worker computed and waited for frames.
    type Played = (f64, f64, f64);

    /// Plays a run back, with this many workers. Returns the estimate and the true rest at each second.
    fn play(videos: &[Played], workers: usize) -> Vec<(Option<f64>, f64)> {
        play_with(videos, workers, Eta::seconds)
    }

    fn play_with(videos: &[Played], workers: usize, read: impl Fn(&Eta) -> Option<f64>) -> Vec<(Option<f64>, f64)> {
        let mut ends = vec![0.0_f64; workers];
        let mut plan: Vec<(f64, f64, f64, f64)> = vec![];
        for (size, fixed, waited) in videos {
            let worker = (0..workers).min_by(|a, b| ends[*a].total_cmp(&ends[*b])).unwrap();
            let begins = ends[worker];
            ends[worker] += fixed + waited;
            plan.push((*size * 1e3, begins, ends[worker], *waited));
        }
        let over = ends.iter().fold(0.0_f64, |a, b| a.max(*b));
        let (mut eta, mut shown) = (Eta::default(), vec![]);
        let mut finished = vec![false; plan.len()];
        for second in 1..over as usize {
            let now = second as f64;
            let (mut part, mut left, mut rest_s) = (Work::default(), Work::default(), 0.0_f64);
            for ((bytes, begins, ends, waited), finished) in plan.iter().zip(&mut finished) {
                if *ends <= now {
                    if !std::mem::replace(finished, true) {
                        eta.finished(*bytes, ends - begins - waited, *waited);
                    }
                    continue;
                }
                let share = ((now - begins) / (ends - begins)).max(0.0);
                rest_s = rest_s.max(rest_of_video((now - begins).max(0.0), share));
                part = part.add(Work { videos: share, bytes: share * bytes });
                left = left.add(Work { videos: 1.0 - share, bytes: (1.0 - share) * bytes });
            }
            eta.sample(1.0, part, left, rest_s);
            shown.push((read(&eta), over - now));
        }
        shown
    }

    /// Checks that the estimate never jumps by a factor of two within a minute, that it is within a factor of two of the truth
    /// from the first one shown until the last seconds, and that it is shown early.
    #[track_caller]
    fn check(videos: &[Played], workers: usize) {
        let shown = play(videos, workers);
        let begin = shown.iter().position(|(eta, _)| eta.is_some()).expect("there is an estimate");
        assert!(begin <= shown.len() / 5, "no estimate before {begin} s of {} s", shown.len());
        for (second, (eta, truth)) in shown.iter().enumerate().skip(begin) {
            let eta = eta.expect("an estimate that was shown stays");
            if *truth >= 30.0 {
                assert!((0.5..2.0).contains(&(eta / truth)), "at {second} s: {eta:.0} s, and {truth:.0} s are left");
            }
            for passed in [5, 20, 60] {
                let before = second.checked_sub(passed).filter(|before| *before >= begin);
                let Some((Some(before), _)) = before.and_then(|before| shown.get(before)) else { continue };
                let expected = before - passed as f64;
                if expected >= 30.0 {
                    let jump = eta / expected;
                    assert!((0.5..2.0).contains(&jump), "at {second} s: {before:.0} s became {eta:.0} s in {passed} s");
                }
            }
        }
    }

    /// Numbers that look random, from 0 to 1.
    fn noise(seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1_u64 << 31) as f64
        })
    }

    /// Sizes with a long tail, the largest first, and times that follow them with noise.
    fn uneven(count: usize, seed: u64, a: f64, b: f64) -> Vec<Played> {
        let mut noise = noise(seed);
        let mut next = || noise.next().unwrap();
        let mut videos: Vec<Played> = (0..count)
            .map(|_| {
                let size = 300.0 * (4.0 * next()).exp();
                (size, a * (0.6 + 0.8 * next()), b * size * (0.6 + 0.8 * next()))
            })
            .collect();
        videos.sort_by(|a, b| b.0.total_cmp(&a.0));
        videos
    }

    #[test]
    fn uneven_videos_the_largest_first_make_no_jumps() {
        for seed in 1..6 {
            for (a, b) in [(2.0, 0.0), (0.0, 0.001), (1.0, 0.0005), (5.0, 0.0001)] {
                for workers in [1, 4] {
                    check(&uneven(400, seed, a, b), workers);
                }
            }
        }
    }

    #[test]
    fn a_recorded_run_on_a_busy_machine_is_estimated_within_a_factor_of_two() {
        let recorded = include_str!("../../tests/engine/recorded_run.txt");
        let number = |text: &str| text.parse::<f64>().unwrap() / 1e3;
        let mut videos: Vec<Played> = vec![];
        for line in recorded.lines().filter(|line| !line.starts_with('#')) {
            let [bytes, fixed, waited] = line.split(' ').map(number).collect::<Vec<_>>().try_into().unwrap();
            videos.push((bytes, fixed, waited));
        }
        assert!(videos.len() == 90 && videos[0].0 > 50.0 * videos[89].0, "the largest come first, with a long tail");
        // Eight times as slow, as with larger videos.
        let slow: Vec<Played> = videos.iter().map(|(size, fixed, waited)| (*size, fixed * 8.0, waited * 8.0)).collect();
        for videos in [&videos, &slow] {
            let shown = play(videos, 2);
            // At the end, some workers have nothing left to do.
            let end = (shown.len() as f64 / 20.0).max(30.0);
            let begin = shown.iter().position(|(eta, _)| eta.is_some()).unwrap();
            assert!(begin <= shown.len() / 5, "no estimate before {begin} s of {} s", shown.len());
            for (second, pair) in shown.windows(2).enumerate().skip(begin) {
                let [(Some(before), _), (Some(eta), truth)] = pair else { panic!("no estimate at {second} s") };
                let close = *truth < end || (0.5..2.0).contains(&(eta / truth));
                assert!(close, "at {second} s: {eta:.0} s, and {truth:.0} s are left");
                // The machine became three times as fast and as slow again, which the estimate has to follow.
                let step = (eta - (before - 1.0)).abs();
                assert!(step <= 1.0 + before * 0.05, "at {second} s: {before:.0} s became {eta:.0} s in a second");
            }
        }
    }

    #[test]
    fn a_run_of_few_videos_has_an_estimate_after_a_quarter() {
        for count in [1, 3, 6] {
            let videos: Vec<Played> = uneven(count, 5, 100.0, 0.01);
            let shown = play(&videos, 1);
            let first = shown.iter().position(|(eta, _)| eta.is_some()).unwrap();
            assert!(first <= shown.len() / 2, "{count} videos: at {first} s of {} s", shown.len());
            for (second, (eta, truth)) in shown.iter().enumerate().skip(first).filter(|(_, (_, truth))| *truth > 30.0) {
                assert!((0.4..2.5).contains(&(eta.unwrap() / truth)), "{count} videos, {second} s: {eta:?}, {truth}");
            }
        }
    }

    #[test]
    fn until_there_is_an_estimate_there_is_a_guess_from_the_videos_in_progress() {
        for (count, workers) in [(1, 1), (3, 2), (15, 2), (40, 8)] {
            let videos = uneven(count, 5, 100.0, 0.01);
            let shown = play_with(&videos, workers, |eta| eta.guess_s().xor(eta.seconds()).map(|_| 0.0));
            let first = shown.iter().position(|(either, _)| either.is_some()).unwrap();
            assert!(first <= 2 + shown.len() / 50, "{count} videos: at {first} s of {} s", shown.len());
            assert!(
                shown.iter().skip(first).all(|(either, _)| either.is_some()),
                "{count} videos: never both, never none"
            );
            for (second, (guess, truth)) in play_with(&videos, workers, Eta::guess_s).into_iter().enumerate() {
                let close = guess.is_none_or(|guess| (0.3..3.0).contains(&(guess / truth)));
                assert!(close, "{count} videos, {second} s: {guess:?}, {truth}");
            }
        }
    }

    #[test]
    fn a_single_video_that_takes_long_for_its_size_shows() {
        let mut videos = vec![(1000.0, 1.0, 0.0); 100];
        videos.push((1000.0, 600.0, 0.0));
        for (second, (eta, truth)) in play(&videos, 1).into_iter().enumerate().skip(100 + 120).step_by(30) {
            let eta = eta.unwrap();
            assert!(truth < 60.0 || (0.5..2.0).contains(&(eta / truth)), "at {second} s: {eta:.0} s, not {truth:.0} s");
        }
        assert!(rest_of_video(90.0, 0.0) == 90.0 && rest_of_video(90.0, 0.75) == 30.0);
    }

    #[test]
    fn a_lost_worker_shows_within_minutes() {
        let mut videos = uneven(600, 7, 2.0, 0.0005);
        let half = videos.len() / 2;
        videos.iter_mut().skip(half).for_each(|(_, fixed, waited)| (*fixed, *waited) = (*fixed * 2.0, *waited * 2.0));
        let shown = play(&videos, 1);
        let (eta, truth) = shown[shown.len() * 8 / 10];
        assert!((0.7..1.4).contains(&(eta.unwrap() / truth)), "{eta:?} {truth}");
    }

    #[test]
    fn there_is_no_estimate_without_work() {
        let mut eta = Eta::default();
        let left = Work { videos: 3.0, bytes: 3e6 };
        eta.sample(1.0, Work::default(), left, 0.0);
        eta.sample(10.0, Work::default(), left, 0.0);
        assert_eq!(eta.seconds(), None);
        eta.sample(10.0, Work { videos: 1.0, bytes: 1e6 }, Work { videos: 2.0, bytes: 2e6 }, 0.0);
        let before = eta.seconds().unwrap();
        assert!((30.0..60.0).contains(&before), "{before}");
        // Time without work does not count.
        assert_eq!(eta.seconds(), Some(before));
    }
}
