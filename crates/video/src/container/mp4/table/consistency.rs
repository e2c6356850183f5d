//! Compares the numbers of an index with each other.

use super::super::super::reader::be;
use super::super::timeline::{REORDER, Timeline};
use super::SampleTable;

impl SampleTable {
    /// Why the numbers of the index contradict each other; `None` if they agree.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let samples = self.samples();
        if self.sizes[0] != samples || self.sizes[1] != samples {
            return Some("its table of sizes does not fit the other tables");
        }
        if self.times > 0 && self.times != samples {
            return Some("its table of times does not fit the table of sizes");
        }
        if self.offsets.is_some_and(|offsets| offsets != samples) {
            return Some("its table of presentation offsets does not fit the table of sizes");
        }
        if self.unlisted() > 0 {
            return Some("its tables list fewer frames than there is data and time for");
        }
        // The header may count up to the last presentation time, which reordering delays.
        let is_apart = |duration: u64| {
            let frame = self.longest.max(1);
            // Streams that were cut out of others may lack some frames at the beginning.
            let missing = REORDER.min(2 + samples / 8) * frame;
            duration.saturating_add(missing) < self.total || duration > self.total.saturating_add(REORDER * frame)
        };
        if self.media_duration.is_some_and(is_apart) {
            return Some("its frames last longer or shorter than its header says");
        }
        if !self.edits.is_empty() && !self.has_all_edits {
            return Some("its edit list is cut off");
        }
        let (start, end) = self.single_edit()?;
        let seconds = |ticks: i64| ticks as f64 / self.scale as f64;
        let frame = seconds(self.longest as i64);
        let Timeline { first: earliest, end: latest, .. } = self.timeline;
        let rest = seconds(latest.saturating_sub(start));
        let edit = seconds(end.saturating_sub(start));
        // The edit lasts as long as the media by its header. One wrong duration moves the last frames behind its end.
        let header = self.media_duration.map(|duration| earliest.saturating_add_unsigned(duration));
        let tolerance = (self.scale / self.movie_scale.max(1)).saturating_add(1);
        let is_of_header = header.is_some_and(|header| header.abs_diff(end) <= tolerance && latest > header);
        if self.one_entry_off && is_of_header && self.timeline.outside > 0 {
            return Some("the durations of its frames do not fit its headers");
        }
        // The edit lasts as long as all frames, but begins so late that it cannot.
        let whole = seconds(latest.saturating_sub(earliest));
        let rounding = 1.0 / self.movie_scale as f64 + 1.0 / self.scale as f64;
        // With negative presentation offsets the times say little.
        let is_plain = earliest >= 0;
        if is_plain && start > earliest && (edit - whole).abs() <= rounding {
            return Some("its edit list begins too late");
        }
        if is_plain && edit - rest > frame.max(whole * 0.02) && (edit - whole).abs() < (edit - rest).abs() {
            return Some("its edit list begins too late");
        }
        if rest - edit <= 2.0 * frame {
            return None;
        }
        // The edit leaves out frames at the end. The track's own duration must agree, for it is the sum of all edits.
        let all = self.edits.iter().map(|edit| edit.duration).fold(0, u64::saturating_add);
        let empty = self.empty_edits();
        let movie = |ticks: u64| ticks as f64 / self.movie_scale as f64;
        let agrees = |duration: Option<u64>| duration.is_some_and(|duration| duration.abs_diff(all) <= 2);
        if let Some(track) =
            self.track_duration.filter(|_| !agrees(self.track_duration) && !agrees(self.movie_duration))
        {
            let others_agree = self.movie_duration == Some(track) && track > all;
            let (track, rest) = (movie(track), rest + movie(empty));
            if others_agree || (track - rest).abs() < (track - movie(all)).abs() {
                return Some("its edit list is shorter than its track");
            }
        }
        self.wrong_scale(edit, rest).then_some("its time scale does not fit its durations")
    }

    /// The duration of all empty edits, in ticks of the movie.
    fn empty_edits(&self) -> u64 {
        let empty = self.edits.iter().filter(|edit| edit.start < 0);
        empty.map(|edit| edit.duration).fold(0, u64::saturating_add)
    }

    /// Ticks that the sum of all durations may lack or exceed. `duration`: that of the media by its header. The header may count up to
    /// the last presentation time, which reordering delays, and streams that were cut out of others may lack some frames.
    fn slack(&self, duration: u64) -> u64 {
        let samples = self.samples();
        let frame = (duration / samples.max(1)).max(1);
        REORDER.min(2 + samples / 8).saturating_mul(frame)
    }

    /// Whether the header of the track or of the movie, or the edit list, has this duration, in ticks of the track.
    fn is_confirmed(&self, duration: u64) -> bool {
        let ticks = |movie: u64| movie as f64 / self.movie_scale as f64 * self.scale as f64;
        let empty = self.empty_edits();
        let track = self.track_duration.map(|track| ticks(track.saturating_sub(empty)));
        let edit = self.single_edit().map(|(_, end)| end as f64);
        let tolerance = ticks(2) + self.slack(duration) as f64;
        let all = [track, edit, self.movie_duration.map(ticks)];
        all.into_iter().flatten().any(|other| (other - duration as f64).abs() <= tolerance)
    }

    /// The duration in the media header, if the sum of all durations does not fit it, but another header does.
    fn other_duration(&self) -> Option<u64> {
        let duration = self.media_duration?;
        let is_apart = duration.abs_diff(self.total) > self.slack(duration);
        (is_apart && self.samples() > 0 && self.is_confirmed(duration) && !self.is_confirmed(self.total))
            .then_some(duration)
    }

    /// Samples that the tables lack: the headers say that the video lasts longer, and there is data for more of them.
    pub(super) fn unlisted(&self) -> u64 {
        let Some(duration) = self.other_duration().filter(|duration| *duration > self.total) else { return 0 };
        let samples = self.samples();
        let share = duration as f64 / self.total as f64 - 1.0;
        let missing = (samples as f64 * share).round();
        match self.chunked {
            Some(chunked) if chunked > samples && chunked as f64 <= samples as f64 + missing * 1.1 => chunked - samples,
            _ if self.unreferenced as f64 > self.size as f64 * share / 2.0 => missing as u64,
            _ => 0,
        }
    }

    /// How long the video plays, in seconds, if the times of its samples are wrong but none is missing.
    pub(crate) fn seconds_if_times_are_wrong(&self) -> Option<f64> {
        let media = |ticks: u64| ticks as f64 / self.scale as f64;
        let by_header = self.other_duration().filter(|_| self.unlisted() == 0);
        let has_other_times = self.times != self.samples();
        let is_wrong = |duration: &u64| self.one_entry_off || has_other_times || self.total > *duration;
        let by_header = by_header.filter(is_wrong).map(media);
        // Reordering moves no sample so far from where it is decoded.
        let is_displaced = self.spread > self.longest.saturating_mul(2 * REORDER);
        let by_total = is_displaced.then_some(media(self.total));
        by_header.or(by_total).or_else(|| self.seconds_if_scale_is_wrong()).filter(|seconds| seconds.is_finite())
    }

    /// How long the track lasts by its own header, in seconds, if that gives an ordinary frame rate and the time scale of the media
    /// gives a quite different one that is not; a possible rate instead of an impossible one; or a usual time scale.
    fn seconds_if_scale_is_wrong(&self) -> Option<f64> {
        let ticks = self.track_duration.filter(|_| self.edits.len() < 2)? as f64;
        let track = ticks / self.movie_scale as f64;
        let rates = [self.total as f64 / self.scale as f64, track].map(|seconds| self.times as f64 / seconds);
        let is_usual = |rate: f64| USUAL_RATES.iter().any(|usual| (rate / usual - 1.0).abs() < 1e-3);
        let is_possible = rates[0] > HIGHEST_RATE && (1.0..=HIGHEST_RATE).contains(&rates[1]);
        let is_likelier = is_usual(rates[1]) || is_possible || self.has_other_scale(ticks);
        let is_wrong = (rates[0] / rates[1] - 1.0).abs() > 0.1 && !is_usual(rates[0]) && is_likelier;
        is_wrong.then_some(track)
    }

    /// Whether one entry of the table of times (number and duration) would make the sum equal to the duration in the media header if
    /// it were another: one that differs in a bit for a single sample, in a byte for several.
    pub(super) fn is_one_entry_off(&self, times: &[[u8; 8]]) -> bool {
        let Some(duration) = self.media_duration.filter(|duration| *duration != self.total) else { return false };
        times.iter().map(|entry| (be(&entry[..4]), be(&entry[4..]))).any(|(count, delta)| {
            let others = self.total.saturating_sub(count.saturating_mul(delta));
            let right = duration.checked_sub(others).filter(|right| count > 0 && right % count == 0);
            let differs = right.map_or(0, |right| (right / count) ^ delta);
            differs.is_power_of_two() || count > 1 && differs > 0 && is_one_byte(differs)
        })
    }

    /// Whether the time scale of the track is unusual, and a usual one that differs in one byte would make the media last exactly as
    /// many ticks of the movie.
    fn has_other_scale(&self, ticks: f64) -> bool {
        let media = self.media_duration.unwrap_or(self.total) as f64 * self.movie_scale as f64;
        let is_right = |scale: u64| is_usual_for_track(scale) && is_one_byte(scale ^ self.scale);
        !is_usual_for_track(self.scale) && near(media / (ticks + 1.0), media / (ticks - 1.0)).any(is_right)
    }

    /// Whether a time scale is wrong: an odd one that would be an ordinary one if the edit showed all frames.
    fn wrong_scale(&self, edit: f64, rest: f64) -> bool {
        let Some(ticks) = self.shown_edit().map(|edit| edit.duration as f64) else { return false };
        let is_usual = |scale: u64| scale.is_multiple_of(100) || scale <= 240 || self.scales.contains(&scale);
        let frame = self.longest as f64 / self.scale as f64;
        if !is_usual(self.movie_scale)
            && near((ticks - 1.0) / (rest + frame), (ticks + 1.0) / (rest - frame)).any(is_usual)
        {
            return true;
        }
        if self.has_other_scale(ticks) {
            return true;
        }
        // The same for the track's scale, by the frame rate that follows from it.
        let constant = self.total == self.longest.saturating_mul(self.times);
        let rate = |scale: f64| scale / self.longest as f64;
        let is_usual = |rate: f64| USUAL_RATES.iter().any(|usual| (rate / usual - 1.0).abs() < 1e-3);
        constant && !is_usual(rate(self.scale as f64)) && is_usual(rate(self.scale as f64 * rest / edit))
    }
}

/// Whether all bits of this number are in one of four bytes.
fn is_one_byte(number: u64) -> bool {
    [0, 8, 16, 24].iter().any(|shift| number & !(0xff << shift) == 0)
}

/// The numbers in an interval, but not more than a thousand.
fn near(low: f64, high: f64) -> impl Iterator<Item = u64> {
    (low.floor() as u64..=high.ceil() as u64).take(1000)
}

/// Whether tracks have this time scale: hundreds, or the numerator of a usual frame rate that was doubled several times.
fn is_usual_for_track(scale: u64) -> bool {
    scale.is_multiple_of(100) || [1, 3, 5, 15, 25, 2997].contains(&(scale >> scale.trailing_zeros()))
}

/// No camera takes more frames a second over the whole of a video.
const HIGHEST_RATE: f64 = 1000.0;

/// Frame rates that cameras and encoders use.
const USUAL_RATES: [f64; 15] =
    [10.0, 12.0, 12.5, 15.0, 20.0, 23.976, 24.0, 25.0, 29.97, 30.0, 48.0, 50.0, 59.94, 60.0, 120.0];
