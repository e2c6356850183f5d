//! The summary of a run that has ended. The engine writes it to the output folder, `reeldeck status` prints it, and clients show
//! it.

use std::path::PathBuf;

use jiff::Timestamp;
use reeldeck_common::error::ErrorKind;
use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// Groups of failures beyond this number are summed up in the last one.
pub(crate) const MAX_GROUPS: usize = 8;

/// A run that has ended, with all engines that took part in it. An engine that was killed has written nothing: its videos are
/// counted, its clips are not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// When its first engine began.
    pub started: Timestamp,
    /// When the last worker ended.
    pub ended: Timestamp,
    /// The engines.
    #[serde(default)]
    pub engines: Vec<EnginePart>,
    /// How it ended, for the engine that knew the most results. So it is with the exit code, the reason, and the next step.
    pub ending: Ending,
    /// The exit code.
    pub exit: u8,
    /// Why it ended early, unless a user stopped it.
    pub reason: Option<String>,
    /// Its duration in seconds, without pauses.
    pub seconds: f64,
    /// The final counts of the output folder. `done - resumed` and `failed - failed_before` are those of this run.
    pub counts: Counts,
    /// The files of the dataset folder that were refused.
    pub refused: usize,
    /// The failed videos by reason, the largest group first, at most 8 groups.
    pub failures: Vec<FailureGroup>,
    /// Clips computed in this run by all engines.
    pub clips: usize,
    /// Clips per second of the whole run.
    pub clips_per_s: f64,
    /// The exports of this run, those that ended after it included.
    pub exports: Vec<ExportSummary>,
    /// The folder of the features.
    pub features: PathBuf,
    /// What to do next, for people; none if nothing is left.
    pub next_step: Option<String>,
}

/// What to do after a run; none if nothing is left. `is_unreadable`: a part of the dataset folder cannot be read.
pub(crate) fn next_step(ending: Ending, counts: Counts, refused: usize, is_unreadable: bool) -> Option<&'static str> {
    match ending {
        Ending::Failed => Some("fix the cause, then start the run again: it resumes"),
        Ending::Stopped if counts.unfinished() > 0 => Some("start the run again: it resumes"),
        // Until then, nothing is exported.
        _ if is_unreadable => Some("make all of the dataset folder readable, then start the run again"),
        _ if counts.failed > 0 && counts.failed == counts.unreadable => {
            Some("repair the disk of the output folder, or extract them again (`--retry-failed`)")
        }
        _ if counts.failed > 0 && counts.failed == counts.failed_corrupt => Some("download the corrupt videos again"),
        _ if counts.failed > 0 => Some("fix the cause of the failures, then retry them (`--retry-failed`)"),
        _ if counts.stale > 0 => Some("extract the changed videos again (`--redo-stale`)"),
        _ if counts.unfinished() > 0 => Some("start the run again: it extracts damaged and missing features again"),
        _ if refused > 0 => Some("move or rename the refused files; `reeldeck scan` names them"),
        _ => None,
    }
}

impl RunSummary {
    /// The videos that this run has done.
    pub fn done(&self) -> usize {
        self.counts.done_in_run()
    }

    /// The videos that this run has failed.
    pub fn failed(&self) -> usize {
        self.counts.failed_in_run()
    }

    /// Whether both are of one run: of the same features, and at the same time.
    fn is_one_run_with(&self, other: &Self) -> bool {
        // Machines may see the folder under different paths.
        self.features.file_name() == other.features.file_name()
            && self.started <= other.ended
            && other.started <= self.ended
    }

    /// The summary of the run of this engine and of those that have ended before it.
    pub(crate) fn joined(self, earlier: Self) -> Self {
        if !self.is_one_run_with(&earlier) {
            return self;
        }
        let is_own =
            |part: &EnginePart| self.engines.iter().any(|own| (&own.id, own.started) == (&part.id, part.started));
        let mut engines: Vec<EnginePart> = earlier.engines.iter().filter(|part| !is_own(part)).cloned().collect();
        engines.extend(self.engines.iter().cloned());
        let mut exports: Vec<ExportSummary> = earlier.exports.clone();
        exports.retain(|export| self.exports.iter().all(|own| own.path != export.path));
        exports.extend(self.exports.iter().cloned());
        let (started, ended) = (self.started.min(earlier.started), self.ended.max(earlier.ended));
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
        // Engines pause together.
        let paused = engines.iter().map(|part| seconds(part.started, part.ended) - part.seconds).fold(0.0, f64::max);
        let seconds = (seconds(started, ended) - paused).max(0.0);
        let clips = engines.iter().map(|part| part.clips).sum();
        let resumed = self.counts.resumed.min(earlier.counts.resumed);
        let failed_before = self.counts.failed_before.min(earlier.counts.failed_before);
        // Engines learn late what others have done.
        let known = |run: &Self| run.counts.done + run.counts.failed;
        let most = if known(&earlier) > known(&self) { earlier } else { self };
        Self {
            started,
            ended,
            engines,
            seconds,
            counts: Counts { resumed, failed_before, ..most.counts },
            clips,
            clips_per_s: if seconds > 0.0 { clips as f64 / seconds } else { 0.0 },
            exports,
            ..most
        }
    }
}

/// What one engine did in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnginePart {
    /// The engine's id.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// When its last worker ended.
    pub ended: Timestamp,
    /// How long it worked, in seconds, without pauses.
    pub seconds: f64,
    /// Clips that it computed.
    pub clips: usize,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It has processed all its videos.
    Finished,
    /// A user or a signal has stopped it.
    Stopped,
    /// It could not continue; `reason` says why.
    Failed,
}

impl Ending {
    /// The name, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// Videos that failed for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureGroup {
    /// The kind of the failure; none for the sum of all smaller groups.
    pub kind: Option<ErrorKind>,
    /// The reason, for people. Numbers in it are those of the first video.
    pub reason: String,
    /// The number of videos.
    pub videos: usize,
    /// One of the videos.
    pub example: String,
}

/// An export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportSummary {
    /// Its folder, or `result.pkl`.
    pub path: PathBuf,
    /// The videos in it.
    pub videos: usize,
    /// Those that are missing from it.
    pub missing: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// What an engine that worked from `from` to `to` writes: it found `resumed` results, and knows of `done` at the end.
    fn of(id: &str, from: i64, to: i64, clips: usize, resumed: usize, done: usize) -> RunSummary {
        let (started, ended, seconds) = (at(from), at(to), (to - from) as f64);
        RunSummary {
            started,
            ended,
            engines: vec![EnginePart { id: id.into(), started, ended, seconds, clips }],
            ending: if done == 10 { Ending::Finished } else { Ending::Stopped },
            exit: 0,
            reason: None,
            seconds,
            counts: Counts { videos: 10, done, resumed, queued: 10 - done, ..Counts::default() },
            refused: 0,
            failures: vec![],
            clips,
            clips_per_s: clips as f64 / seconds,
            exports: vec![],
            features: "/out/features/s-1".into(),
            next_step: None,
        }
    }

    fn export(path: &str, videos: usize) -> ExportSummary {
        ExportSummary { path: path.into(), videos, missing: 0 }
    }

    #[test]
    fn the_summaries_of_engines_are_added_up() {
        let first = RunSummary { exports: vec![export("a", 10), export("b", 10)], ..of("a", 0, 100, 40, 2, 10) };
        // It joined later, and was stopped before it knew of all results.
        let second = RunSummary { exports: vec![export("b", 9)], ..of("b", 50, 200, 60, 4, 9) };
        let run = second.clone().joined(first.clone());
        assert_eq!((run.started, run.ended, run.seconds), (at(0), at(200), 200.0));
        assert_eq!((run.clips, run.clips_per_s, run.engines.len()), (100, 0.5, 2));
        assert_eq!((run.done(), run.ending, run.counts.queued), (8, Ending::Finished, 0));
        assert_eq!(run.exports, [export("a", 10), export("b", 9)]);
        // An engine that writes again replaces its own part.
        assert_eq!(second.joined(run.clone()), run);
    }

    #[test]
    fn pauses_do_not_count() {
        let mut first = of("a", 0, 100, 40, 0, 10);
        first.engines[0].seconds = 70.0;
        assert_eq!(of("b", 20, 100, 0, 0, 10).joined(first).seconds, 70.0);
    }

    #[test]
    fn other_runs_are_not_added() {
        let own = of("b", 50, 200, 60, 4, 9);
        let elsewhere = RunSummary { features: "/out/features/s-2".into(), ..of("a", 0, 100, 40, 2, 10) };
        for earlier in [of("a", 0, 49, 40, 2, 10), elsewhere] {
            assert_eq!(own.clone().joined(earlier), own);
        }
        let elsewhere = RunSummary { features: "/mnt/features/s-1".into(), ..of("a", 0, 50, 40, 2, 10) };
        assert_eq!(own.joined(elsewhere).clips, 100);
    }
}
