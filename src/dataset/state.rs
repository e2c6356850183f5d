//! The state of a video by manifest, disk and probe, independent of any run.

use std::collections::HashMap;

use reeldeck_common::error::{COMPARE_WITH_SOURCE, SAME_CONTENT, without_advice};
use reeldeck_common::feature::FrameCounts;
use reeldeck_common::probe::{Probed, Verdict};
use reeldeck_common::recipe::Damage;
use reeldeck_common::video::VideoName;
use serde::Serialize;

use super::scan::VideoFile;
use crate::out::count;

/// Ends the reason of a damaged video that the recipe does not accept.
const TOO_MUCH: &str = "; max_lost in the recipe accepts less";

/// What is accepted of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Accepted {
    /// The difference between its duration and the manifest's, in seconds.
    pub tolerance_s: f64,
    /// The damage of an extracted video.
    pub damage: Damage,
}

#[cfg(test)]
pub(crate) const ACCEPTED: Accepted = Accepted { tolerance_s: 2.0, damage: Damage { max_lost: 0.05 } };

/// Verdicts of probes by video. A verdict about another version of the file is ignored.
pub(crate) type Probes = HashMap<VideoName, Probed>;

/// The state of a video, or of one of its files.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub(crate) enum State {
    /// In the manifest, but not on disk.
    Missing,
    /// On disk, but not in the manifest.
    Unlisted,
    /// Several usable files on disk, in two classes or containers.
    Duplicate {
        /// All its files, `Class/file`.
        files: Vec<VideoName>,
    },
    /// No frame can be decoded.
    Corrupt {
        /// The reason, for people.
        reason: String,
    },
    /// The duration differs from the manifest's, so the annotations may not match.
    WrongDuration {
        /// Duration of the file, in seconds.
        have: f64,
        /// Duration in the manifest, in seconds.
        want: f64,
    },
    /// Readable, but parts are missing or broken.
    Degraded {
        /// Frames that the container promises and the file lacks.
        lost: u64,
        /// Frames that the decoder concealed.
        concealed: u64,
        /// The damage, for people.
        reason: String,
        /// The recipe accepts this damage: the video is extracted.
        accepted: bool,
    },
    /// On disk, but not probed in this version.
    Unchecked,
    /// On disk and probed without a problem.
    Ready,
}

impl State {
    /// The names of all states, in the order of reports, the worst first.
    pub(crate) const WORDS: [&'static str; 8] =
        ["missing", "corrupt", "wrong duration", "duplicate", "degraded", "unlisted", "unchecked", "ready"];

    /// The index in [`State::WORDS`].
    pub(crate) fn index(&self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Corrupt { .. } => 1,
            Self::WrongDuration { .. } => 2,
            Self::Duplicate { .. } => 3,
            Self::Degraded { .. } => 4,
            Self::Unlisted => 5,
            Self::Unchecked => 6,
            Self::Ready => 7,
        }
    }

    /// The name of the state.
    pub(crate) fn word(&self) -> &'static str {
        Self::WORDS[self.index()]
    }

    /// The reason, for people. Names and messages are not escaped.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Missing => "in the manifest, not on disk".into(),
            Self::Unlisted => "on disk, not in the manifest".into(),
            Self::Duplicate { files } => {
                let names: Vec<_> = files.iter().take(4).map(VideoName::as_str).collect();
                let more = if files.len() > names.len() { ", …" } else { "" };
                let one_class = files.iter().all(|file| files.first().is_some_and(|f| f.class() == file.class()));
                let what = if one_class { "with different extensions" } else { "in different classes" };
                let times = if files.len() == 2 { "twice".into() } else { format!("{} times", files.len()) };
                format!("appears {times}, {what}: {}{more}", names.join(", "))
            }
            Self::Corrupt { reason } => reason.clone(),
            Self::WrongDuration { have, want } => format!("is {have:.1} s long; the manifest says {want:.1} s"),
            Self::Degraded { lost, concealed, reason, accepted } => {
                let frames = |n: &u64| count(*n as usize, "frame", "frames");
                let text = match (lost, concealed) {
                    (0, concealed) => format!("{} concealed", frames(concealed)),
                    (lost, 0) => format!("{} lost", frames(lost)),
                    (lost, concealed) => format!("{} lost, {concealed} concealed", frames(lost)),
                };
                // The next step says what helps.
                let reason = without_advice(reason).trim_start_matches("; ");
                let too_much = if *accepted { "" } else { TOO_MUCH };
                if reason.is_empty() { format!("{text}{too_much}") } else { format!("{text}: {reason}{too_much}") }
            }
            Self::Unchecked => "on disk, not checked".into(),
            Self::Ready => "no problem was found".into(),
        }
    }

    /// What to do about it; `None` if nothing is necessary.
    pub(crate) fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("`reeldeck missing` writes lists to download or request missing videos"),
            Self::Unlisted => {
                Some("leave it, or check the manifest and `[manifest] prefix`; it is extracted like any other video")
            }
            Self::Duplicate { .. } => {
                Some("keep one; the official downloader puts a video with several labels into each class")
            }
            Self::Corrupt { reason } => Some(next_step_of_corrupt(reason)),
            Self::WrongDuration { .. } => Some(
                "download it again, or leave it out of training; `[manifest] tolerance_s` is the accepted difference",
            ),
            Self::Degraded { reason, accepted, .. } => Some(next_step_of_degraded(reason, *accepted)),
            Self::Unchecked | Self::Ready => None,
        }
    }

    /// What to do about a damaged video whose reason is that of [`State::reason`].
    pub(crate) fn next_step_of_degraded(reason: &str) -> &'static str {
        next_step_of_degraded(reason, !reason.ends_with(TOO_MUCH))
    }

    /// Whether the dataset differs from the manifest in this video.
    pub(crate) fn is_problem(&self) -> bool {
        self.is_wanted() || matches!(self, Self::WrongDuration { .. } | Self::Duplicate { .. })
    }

    /// Whether no file exists that can be extracted, so that the video must be fetched.
    pub(crate) fn is_wanted(&self) -> bool {
        matches!(self, Self::Missing | Self::Corrupt { .. } | Self::Degraded { accepted: false, .. })
    }
}

/// What to do about a damaged video, by the reason and whether the recipe accepts it.
fn next_step_of_degraded(reason: &str, accepted: bool) -> &'static str {
    match (reason.ends_with(SAME_CONTENT), reason.ends_with(COMPARE_WITH_SOURCE), accepted) {
        (true, _, true) => "use it as it is; the recipe's max_lost is the accepted share of lost frames",
        (_, true, true) => {
            "use it as it is; if its source plays without faults, download it again; the recipe's max_lost is the accepted share of \
             lost frames"
        }
        (_, _, true) => {
            "download it again, or use it as it is; the recipe's max_lost is the accepted share of lost frames"
        }
        (true, _, false) => "find another source; it is extracted only with a higher max_lost in the recipe",
        (_, true, false) => {
            "if its source plays without faults, download it again; it is extracted only with a higher max_lost in the recipe"
        }
        (_, _, false) => "download it again; it is extracted only with a higher max_lost in the recipe",
    }
}

/// What to do about a video that cannot be used, by the reason.
pub(crate) fn next_step_of_corrupt(reason: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if reason.ends_with(COMPARE_WITH_SOURCE) {
        "download it again if its source plays without faults; otherwise find another source, or exclude it"
    } else if reason.ends_with(SAME_CONTENT) {
        "find another source, or leave it out: exclude it with x in the terminal interface or in .reeldeck/excluded"
    } else if has(&["encrypted"]) {
        "get a copy without encryption; a download of the same file does not help"
    } else if has(&["no decoder"]) {
        "convert it to H.264 with a program that can decode it"
    } else if has(&["limit"]) {
        "raise the limit under `[limits]` in the configuration; if a damaged header claims the size, download it again"
    } else if has(&["no video stream"]) {
        "check that it is a video; a file with only sound has no frames"
    } else {
        "download it again; with a manifest, `reeldeck missing` lists it with the missing videos"
    }
}

/// The state of a single file. `want_s` is the duration in the manifest, in seconds.
pub(crate) fn of_file(file: &VideoFile, want_s: Option<f64>, probed: Option<&Probed>, accepted: &Accepted) -> State {
    if file.stamp.size == 0 {
        return State::Corrupt { reason: "the file is empty".into() };
    }
    // A verdict about another version of the file is ignored.
    let Some(probed) = probed.filter(|probed| probed.source == file.stamp) else { return State::Unchecked };
    let facts = match &probed.verdict {
        // Neither a broken video nor one over a limit yields a feature.
        Verdict::Corrupt { reason } | Verdict::OverLimit { reason } => {
            return State::Corrupt { reason: reason.clone() };
        }
        Verdict::Healthy { facts } | Verdict::Damaged { facts, .. } => facts,
    };
    let have = facts.duration_s;
    let is_off = |seconds: f64, want: f64| (seconds - want).abs() > accepted.tolerance_s;
    // A missing or zero duration cannot be compared.
    if let Some(want) = want_s
        && have > 0.0
        && is_off(have, want)
        // A truncated file may be the right video.
        && is_off(have * promised(&probed.verdict), want)
    {
        return State::WrongDuration { have, want };
    }
    match &probed.verdict {
        Verdict::Damaged { facts, lost, concealed, reason } => {
            let (lost, concealed) = (*lost, *concealed);
            let counts = FrameCounts { expected: facts.frames, output: facts.frames.saturating_sub(lost), concealed };
            State::Degraded { lost, concealed, reason: reason.clone(), accepted: counts.are_accepted(accepted.damage) }
        }
        _ => State::Ready,
    }
}

/// The factor by which the file would be longer without its losses.
fn promised(verdict: &Verdict) -> f64 {
    match verdict {
        Verdict::Damaged { facts, lost, .. } if *lost < facts.frames => {
            facts.frames as f64 / (facts.frames - lost) as f64
        }
        _ => 1.0,
    }
}

/// The state of a video with several files. An unusable copy is not a duplicate.
pub(crate) fn of_video(mut files: Vec<(&VideoFile, State)>) -> State {
    let is_corrupt = |state: &State| matches!(state, State::Corrupt { .. });
    let all_corrupt = files.iter().all(|(_, state)| is_corrupt(state));
    if files.len() > 1 && !all_corrupt {
        return State::Duplicate { files: files.iter().map(|(file, _)| file.name.clone()).collect() };
    }
    if files.is_empty() { State::Missing } else { files.swap_remove(0).1 }
}

#[cfg(test)]
mod tests {
    use reeldeck_common::probe::{Facts, Level};
    use reeldeck_common::source::SourceStamp;

    use super::*;

    fn file(name: &str, size: u64) -> VideoFile {
        VideoFile { name: VideoName::new(name).unwrap(), stamp: SourceStamp { size, mtime_ns: 7 } }
    }

    fn facts(duration_s: f64) -> Facts {
        let (codec, container) = ("h264".into(), "mp4".into());
        Facts { duration_s, frames: 300, fps: [30, 1], size: [4, 4], codec, container, expected_from: None }
    }

    fn probed(verdict: Verdict) -> Probed {
        Probed { level: Level::Quick, source: SourceStamp { size: 9, mtime_ns: 7 }, verdict }
    }

    fn state(verdict: Verdict, want: Option<f64>) -> State {
        of_file(&file("A/v.mp4", 9), want, Some(&probed(verdict)), &ACCEPTED)
    }

    fn damaged(lost: u64, concealed: u64, duration_s: f64) -> Verdict {
        Verdict::Damaged { facts: facts(duration_s), lost, concealed, reason: "cut".into() }
    }

    #[test]
    fn the_state_of_a_file_follows_from_disk_probe_and_manifest() {
        assert_eq!(of_file(&file("A/v.mp4", 9), None, None, &ACCEPTED), State::Unchecked);
        assert_eq!(of_file(&file("A/v.mp4", 0), None, None, &ACCEPTED).reason(), "the file is empty");
        let healthy = || Verdict::Healthy { facts: facts(10.0) };
        assert_eq!(state(healthy(), None), State::Ready);
        assert_eq!(state(healthy(), Some(12.0)), State::Ready);
        assert_eq!(state(healthy(), Some(8.0)), State::Ready);
        let wrong = state(healthy(), Some(12.1));
        assert_eq!(wrong, State::WrongDuration { have: 10.0, want: 12.1 });
        assert_eq!(wrong.reason(), "is 10.0 s long; the manifest says 12.1 s");
        assert_eq!(state(Verdict::Corrupt { reason: "no index".into() }, Some(1.0)).reason(), "no index");
        let degraded = state(damaged(3, 2, 10.0), Some(10.0));
        assert_eq!(degraded.reason(), "3 frames lost, 2 concealed: cut");
        assert_eq!(state(damaged(0, 2, 10.0), None).reason(), "2 frames concealed: cut");
        assert_eq!(state(damaged(3, 0, 10.0), None).reason(), "3 frames lost: cut");
        assert!(matches!(state(damaged(3, 0, 10.0), Some(20.0)), State::WrongDuration { .. }));
        // Half of 300 frames are missing, and so is half of the duration.
        assert!(matches!(state(damaged(150, 0, 10.0), Some(20.0)), State::Degraded { .. }));
        assert!(matches!(state(damaged(150, 0, 10.0), Some(30.0)), State::WrongDuration { .. }));
        assert!(matches!(state(damaged(150, 0, 10.0), Some(10.0)), State::Degraded { .. }));
        assert!(matches!(state(damaged(300, 0, 10.0), Some(20.0)), State::WrongDuration { .. }));
        // Unknown or invalid durations.
        for unknown in [0.0, -1.0, f64::NAN] {
            assert_eq!(state(Verdict::Healthy { facts: facts(unknown) }, Some(99.0)), State::Ready);
        }
    }

    #[test]
    fn each_reason_has_its_own_next_step() {
        let next = |reason: &str| State::Corrupt { reason: reason.into() }.next_step().unwrap();
        for (reason, says) in [
            ("the MP4 index is missing; download it again", "download it again"),
            (
                "cut; the same content failed before: if this is another download, the source itself is damaged",
                "exclude it",
            ),
            ("the header is damaged; if the source plays without faults, download it again", "if its source plays"),
            ("encrypted (CENC): the key is not in the file", "without encryption"),
            ("no decoder for the codec vvc1; convert the video to H.264", "convert it to H.264"),
            ("12336x12336 pixels; raise the limit in the configuration to accept it", "[limits]"),
            ("the file has no video stream", "only sound"),
        ] {
            assert!(next(reason).contains(says), "{reason}: {}", next(reason));
        }
        assert!(!next("encrypted").contains("download it again"));
        let degraded =
            |lost, concealed, reason: &str| State::Degraded { lost, concealed, reason: reason.into(), accepted: true };
        assert_eq!(degraded(0, 1, "; download it again").reason(), "1 frame concealed");
        assert_eq!(degraded(1, 1, "cut; download it again").reason(), "1 frame lost, 1 concealed: cut");
        let doubtful = degraded(0, 1, &format!("garbage{COMPARE_WITH_SOURCE}"));
        assert_eq!(doubtful.reason(), "1 frame concealed: garbage");
        assert!(doubtful.next_step().unwrap().starts_with("use it as it is; if its source plays"));
        assert!(!degraded(1, 0, &format!("cut{SAME_CONTENT}")).next_step().unwrap().contains("download"));
        let rejected = State::Degraded { lost: 1, concealed: 0, reason: String::new(), accepted: false };
        assert!(rejected.is_wanted() && !degraded(1, 0, "").is_problem());
    }

    #[test]
    fn damage_that_extraction_rejects_is_not_called_usable() {
        let of = |frames, lost, concealed, reason: &str| {
            let facts = Facts { frames, ..facts(10.0) };
            state(Verdict::Damaged { facts, lost, concealed, reason: reason.into() }, None)
        };
        for reason in ["cut; download it again", COMPARE_WITH_SOURCE, SAME_CONTENT] {
            for (frames, lost, concealed) in [(1, 0, 1), (100, 4, 2), (100, 6, 0), (0, 0, 1)] {
                let state = of(frames, lost, concealed, reason);
                assert!(state.reason().ends_with("max_lost in the recipe accepts less"), "{state:?}");
                assert!(!state.next_step().unwrap().contains("use it"), "{state:?}");
            }
            let state = of(100, 3, 2, reason);
            assert!(!state.reason().contains("max_lost"), "{state:?}");
            assert!(state.next_step().unwrap().contains("use it as it is"), "{state:?}");
        }
    }

    #[test]
    fn a_verdict_about_another_version_is_ignored() {
        let old = probed(Verdict::Corrupt { reason: "cut".into() });
        assert_eq!(of_file(&file("A/v.mp4", 10), None, Some(&old), &ACCEPTED), State::Unchecked);
    }

    #[test]
    fn several_usable_files_are_duplicates() {
        let (a, b, c) = (file("A/v.mp4", 9), file("B/v.mp4", 9), file("A/v.mkv", 9));
        let corrupt = || State::Corrupt { reason: "cut".into() };
        assert_eq!(of_video(vec![]), State::Missing);
        assert_eq!(of_video(vec![(&a, State::Ready)]), State::Ready);
        let classes = of_video(vec![(&a, State::Ready), (&b, corrupt())]);
        assert_eq!(classes.reason(), "appears twice, in different classes: A/v.mp4, B/v.mp4");
        let containers = of_video(vec![(&c, State::Unchecked), (&a, State::Unchecked)]);
        assert_eq!(containers.reason(), "appears twice, with different extensions: A/v.mkv, A/v.mp4");
        assert_eq!(of_video(vec![(&a, corrupt()), (&b, corrupt())]), corrupt());
    }

    #[test]
    fn every_state_has_a_name_and_problems_have_a_next_step() {
        let duplicate = State::Duplicate { files: vec![] };
        let corrupt = State::Corrupt { reason: String::new() };
        let wrong = State::WrongDuration { have: 1.0, want: 2.0 };
        let degraded = State::Degraded { lost: 0, concealed: 1, reason: String::new(), accepted: true };
        let all =
            [State::Missing, corrupt, wrong, duplicate, degraded, State::Unlisted, State::Unchecked, State::Ready];
        for (index, state) in all.iter().enumerate() {
            assert_eq!(state.index(), index);
            let json = serde_json::to_value(state).unwrap();
            assert_eq!(json["is"], state.word().replace(' ', "-"));
            assert!(!state.is_problem() || state.next_step().is_some());
            assert!(!state.is_wanted() || state.is_problem());
        }
    }
}
