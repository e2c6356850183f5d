//! What a video of the dataset can be, before any run: what the manifest, the disk and a probe say together.

use std::collections::HashMap;

use reeldeck_common::probe::{Probed, Verdict};
use reeldeck_common::video::VideoName;
use serde::Serialize;

use super::scan::VideoFile;

/// What probes found out, by video. Those of another version of a file are not believed.
pub type Probes = HashMap<VideoName, Probed>;

/// The state of a video, or of one of its files.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum State {
    /// In the manifest, and not on disk.
    Missing,
    /// On disk, and not in the manifest.
    Unlisted,
    /// On disk more than once: in two classes, or in two containers.
    Duplicate {
        /// All its files, `Class/file`.
        files: Vec<VideoName>,
    },
    /// No frames can be had of it.
    Corrupt {
        /// Why, for people.
        reason: String,
    },
    /// It plays much longer or shorter than the manifest says: its annotations may not fit.
    WrongDuration {
        /// Seconds that it plays.
        have: f64,
        /// Seconds that the manifest says.
        want: f64,
    },
    /// It can be read, and something is missing or broken.
    Degraded {
        /// Frames that the container promises and the file does not have.
        lost: u64,
        /// Frames that were seen to be broken and patched up.
        concealed: u64,
        /// What was seen, for people.
        reason: String,
    },
    /// On disk, and not probed, or changed since.
    Unchecked,
    /// On disk, probed, and nothing wrong was seen.
    Ready,
}

impl State {
    /// The words for all states, in the order of reports: the worst first.
    pub const WORDS: [&'static str; 8] =
        ["missing", "corrupt", "wrong duration", "duplicate", "degraded", "unlisted", "unchecked", "ready"];

    /// The state's place in [`State::WORDS`].
    pub fn index(&self) -> usize {
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

    /// The state in a word or two.
    pub fn word(&self) -> &'static str {
        Self::WORDS[self.index()]
    }

    /// Why it is so, for people; quotes names and messages as they are.
    pub fn reason(&self) -> String {
        match self {
            Self::Missing => "in the manifest, not on disk".into(),
            Self::Unlisted => "on disk, not in the manifest".into(),
            Self::Duplicate { files } => {
                let names: Vec<_> = files.iter().take(4).map(VideoName::as_str).collect();
                let more = if files.len() > names.len() { ", …" } else { "" };
                let one_class = files.iter().all(|file| files.first().is_some_and(|f| f.class() == file.class()));
                let what = if one_class { "with several extensions" } else { "in several classes" };
                format!("there {} times {what}: {}{more}", files.len(), names.join(", "))
            }
            Self::Corrupt { reason } => reason.clone(),
            Self::WrongDuration { have, want } => format!("plays {have:.1} s, and the manifest says {want:.1} s"),
            Self::Degraded { lost, concealed, reason } => {
                let text = match (lost, concealed) {
                    (0, concealed) => format!("{concealed} frames concealed"),
                    (lost, 0) => format!("{lost} frames lost"),
                    (lost, concealed) => format!("{lost} frames lost, {concealed} concealed"),
                };
                if reason.is_empty() { text } else { format!("{text}: {reason}") }
            }
            Self::Unchecked => "on disk, not looked into".into(),
            Self::Ready => "nothing wrong was seen".into(),
        }
    }

    /// What to do about it; `None` where nothing need be done.
    pub fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("`reeldeck missing` writes the lists by which to fetch or request it"),
            Self::Unlisted => {
                Some("leave it, or check the manifest and `[manifest] prefix`; it is extracted like any other")
            }
            Self::Duplicate { .. } => {
                Some("keep one; the official downloader puts a video with several labels into each class")
            }
            Self::Corrupt { .. } => {
                Some("fetch it again; `reeldeck missing --manifest` lists it with the missing ones")
            }
            Self::WrongDuration { .. } => {
                Some("fetch it again or leave it out of training; `[manifest] tolerance_s` says how much may differ")
            }
            Self::Degraded { .. } => {
                Some("fetch it again, or use it as it is: the recipe's max_lost says how much may be lost")
            }
            Self::Unchecked | Self::Ready => None,
        }
    }

    /// Whether something is to be done before the dataset is what the manifest says.
    pub fn is_problem(&self) -> bool {
        matches!(self, Self::Missing | Self::Corrupt { .. } | Self::WrongDuration { .. } | Self::Duplicate { .. })
    }

    /// Whether no usable file is there, so that one must be fetched.
    pub fn is_wanted(&self) -> bool {
        matches!(self, Self::Missing | Self::Corrupt { .. })
    }
}

/// The state of one file by itself. `want_s` is the manifest's duration, `tolerance_s` how much the file's may differ
/// from it, both in seconds.
pub fn of_file(file: &VideoFile, want_s: Option<f64>, probed: Option<&Probed>, tolerance_s: f64) -> State {
    if file.stamp.size == 0 {
        return State::Corrupt { reason: "the file is empty".into() };
    }
    // What was seen of another version of the file says nothing of this one.
    let Some(probed) = probed.filter(|probed| probed.source == file.stamp) else { return State::Unchecked };
    let facts = match &probed.verdict {
        // Over a limit of ours or broken: neither gives a feature.
        Verdict::Corrupt { reason } | Verdict::OverLimit { reason } => {
            return State::Corrupt { reason: reason.clone() };
        }
        Verdict::Healthy { facts } | Verdict::Damaged { facts, .. } => facts,
    };
    let have = facts.duration_s;
    let is_off = |seconds: f64, want: f64| (seconds - want).abs() > tolerance_s;
    // A duration that is not a number, or not known and given as 0, cannot be judged.
    if let Some(want) = want_s
        && have > 0.0
        && is_off(have, want)
        // What is cut off is lost; with it, it may be the right video.
        && is_off(have * promised(&probed.verdict), want)
    {
        return State::WrongDuration { have, want };
    }
    match &probed.verdict {
        Verdict::Damaged { lost, concealed, reason, .. } => {
            State::Degraded { lost: *lost, concealed: *concealed, reason: reason.clone() }
        }
        _ => State::Ready,
    }
}

/// How much longer the file would play if nothing of it were lost, as a factor.
fn promised(verdict: &Verdict) -> f64 {
    match verdict {
        Verdict::Damaged { facts, lost, .. } if *lost < facts.frames => {
            facts.frames as f64 / (facts.frames - lost) as f64
        }
        _ => 1.0,
    }
}

/// The state of a video by those of its files. A copy that cannot be used does not make a second one.
pub fn of_video(mut files: Vec<(&VideoFile, State)>) -> State {
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
        Facts { duration_s, frames: 300, fps: [30, 1], size: [4, 4], codec, container }
    }

    fn probed(verdict: Verdict) -> Probed {
        Probed { level: Level::Quick, source: SourceStamp { size: 9, mtime_ns: 7 }, verdict }
    }

    fn state(verdict: Verdict, want: Option<f64>) -> State {
        of_file(&file("A/v.mp4", 9), want, Some(&probed(verdict)), 2.0)
    }

    fn damaged(lost: u64, concealed: u64, duration_s: f64) -> Verdict {
        Verdict::Damaged { facts: facts(duration_s), lost, concealed, reason: "cut".into() }
    }

    #[test]
    fn a_file_is_what_disk_probe_and_manifest_say() {
        assert_eq!(of_file(&file("A/v.mp4", 9), None, None, 2.0), State::Unchecked);
        assert_eq!(of_file(&file("A/v.mp4", 0), None, None, 2.0).reason(), "the file is empty");
        let healthy = || Verdict::Healthy { facts: facts(10.0) };
        assert_eq!(state(healthy(), None), State::Ready);
        assert_eq!(state(healthy(), Some(12.0)), State::Ready);
        assert_eq!(state(healthy(), Some(8.0)), State::Ready);
        let wrong = state(healthy(), Some(12.1));
        assert_eq!(wrong, State::WrongDuration { have: 10.0, want: 12.1 });
        assert_eq!(wrong.reason(), "plays 10.0 s, and the manifest says 12.1 s");
        assert_eq!(state(Verdict::Corrupt { reason: "no index".into() }, Some(1.0)).reason(), "no index");
        let degraded = state(damaged(3, 2, 10.0), Some(10.0));
        assert_eq!(degraded.reason(), "3 frames lost, 2 concealed: cut");
        assert_eq!(state(damaged(0, 2, 10.0), None).reason(), "2 frames concealed: cut");
        assert_eq!(state(damaged(3, 0, 10.0), None).reason(), "3 frames lost: cut");
        assert!(matches!(state(damaged(3, 0, 10.0), Some(20.0)), State::WrongDuration { .. }));
        // Half of 300 frames are gone, and with them half of the time.
        assert!(matches!(state(damaged(150, 0, 10.0), Some(20.0)), State::Degraded { .. }));
        assert!(matches!(state(damaged(150, 0, 10.0), Some(30.0)), State::WrongDuration { .. }));
        assert!(matches!(state(damaged(150, 0, 10.0), Some(10.0)), State::Degraded { .. }));
        assert!(matches!(state(damaged(300, 0, 10.0), Some(20.0)), State::WrongDuration { .. }));
        // Not known, or nonsense.
        for unknown in [0.0, -1.0, f64::NAN] {
            assert_eq!(state(Verdict::Healthy { facts: facts(unknown) }, Some(99.0)), State::Ready);
        }
    }

    #[test]
    fn a_probe_of_another_version_of_the_file_says_nothing() {
        let old = probed(Verdict::Corrupt { reason: "cut".into() });
        assert_eq!(of_file(&file("A/v.mp4", 10), None, Some(&old), 2.0), State::Unchecked);
    }

    #[test]
    fn several_files_are_a_duplicate_unless_none_can_be_used() {
        let (a, b, c) = (file("A/v.mp4", 9), file("B/v.mp4", 9), file("A/v.mkv", 9));
        let corrupt = || State::Corrupt { reason: "cut".into() };
        assert_eq!(of_video(vec![]), State::Missing);
        assert_eq!(of_video(vec![(&a, State::Ready)]), State::Ready);
        let classes = of_video(vec![(&a, State::Ready), (&b, corrupt())]);
        assert_eq!(classes.reason(), "there 2 times in several classes: A/v.mp4, B/v.mp4");
        let containers = of_video(vec![(&c, State::Unchecked), (&a, State::Unchecked)]);
        assert_eq!(containers.reason(), "there 2 times with several extensions: A/v.mkv, A/v.mp4");
        assert_eq!(of_video(vec![(&a, corrupt()), (&b, corrupt())]), corrupt());
    }

    #[test]
    fn every_state_has_its_word_and_problems_a_next_step() {
        let duplicate = State::Duplicate { files: vec![] };
        let corrupt = State::Corrupt { reason: String::new() };
        let wrong = State::WrongDuration { have: 1.0, want: 2.0 };
        let degraded = State::Degraded { lost: 0, concealed: 1, reason: String::new() };
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
